/* What the files of src/api share: the public objects, and how public and inner types become each other.
 *
 * src/api is the public headers' implementation and nothing more: it translates, checks what a caller from outside may get
 * wrong, and keeps inner types out of <duet/...>. */
#ifndef DT_API_IMPL_H
#define DT_API_IMPL_H

#include "train/train.h"

#include <duet/data.h>
#include <duet/method.h>
#include <duet/network.h>
#include <duet/recipe.h>
#include <duet/run.h>

struct duet_recipe {
    dt_recipe *inner;
};

struct duet_data {
    dt_source *source;
    bool skip;       /* pictures that cannot be read are passed over */
    dt_log_sink log; /* and said here */
};

/* Hands the text over to the caller, or says that memory ran out; t is empty afterwards. */
duet_status dt_api_give_text(dt_text *t, char **out, duet_error *err);

dt_trained *dt_api_trained(duet_network *network); /* what the public object holds */
dt_log_sink dt_api_log(const duet_log *log); /* log may be NULL */
duet_measures dt_api_measures(const dt_task *task, const dt_measures *m);

#endif
