/* What a training run looks like while it goes, and the table at its end. For train.c only. */
#ifndef CLI_VIEW_H
#define CLI_VIEW_H

#include "cli.h"

#include <duet/run.h>

typedef struct cli_view {
    bool quiet;
    bool live;                      /* standard error is a terminal: one line there is redrawn */
    bool drawn;                     /* that line holds something */
    bool headed;                    /* the head of the table of epochs was printed */
    double last_plain_s;            /* when progress was last printed as a plain line */
    double best[DUET_MAX_NETWORKS]; /* top-1 so far, to mark new bests */
} cli_view;

void cli_view_open(cli_view *view, bool quiet);
/* An observer that shows what it hears. The view is borrowed. */
duet_observer cli_view_observer(cli_view *view);
/* Takes the redrawn line away, so that something else can be printed. */
void cli_view_clear(cli_view *view);
/* Every network, last and best. */
void cli_view_result(const duet_run_result *result);

#endif
