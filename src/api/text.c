/* Small things that every public header needs: texts handed out, nearest names, the version. */
#include "api/api_impl.h"

#include <math.h>
#include <string.h>

duet_status dt_api_give_text(dt_text *t, char **out, duet_error *err)
{
    if (!t->bytes) dt_text_append(t, "%s", ""); /* nothing was written: an empty text, not NULL */
    if (!dt_text_ok(t)) {
        dt_text_release(t);
        return dt_fail(err, DUET_MEMORY, "not enough memory for the text");
    }
    *out = t->bytes;
    *t = (dt_text){0};
    return DUET_OK;
}

void duet_text_free(char *text) { dt_free(text); }

const char *duet_nearest(const char *name, const char *const *names, size_t n) { return dt_nearest(name, names, n); }

const char *duet_version(void) { return DUET_VERSION; }

dt_log_sink dt_api_log(const duet_log *log)
{
    return log ? (dt_log_sink){.emit = log->emit, .user = log->user} : (dt_log_sink){0};
}

_Static_assert((int)DUET_MAX_MEASURES == (int)DT_MAX_METRICS, "the public limit follows the inner one");

duet_measures dt_api_measures(const dt_task *task, const dt_measures *m)
{
    duet_measures out = {.n = (size_t)task->scoring->n_metrics};
    for (size_t i = 0; i < out.n; i++) {
        const dt_metric *metric = &task->scoring->metrics[i];
        out.at[i] = (duet_measure){.name = metric->name, .title = metric->title, .help = metric->help, .value = m->value[i],
                                   .higher_is_better = metric->rising, .digits = metric->digits};
    }
    return out;
}

double duet_measure_of(const duet_measures *measures, const char *name)
{
    for (size_t i = 0; i < measures->n; i++)
        if (!strcmp(measures->at[i].name, name)) return measures->at[i].value;
    return (double)NAN;
}
