/* duet version */
#include "cli.h"

static int run(const cli_arguments *a)
{
    (void)a;
    printf("duet %s\n", duet_version());
    return CLI_DONE;
}

const cli_command cli_version = {
    .name = "version",
    .summary = "print the version",
    .usage = "version",
    .text = "Prints the version. The versions of everything a run was made with are in its environment.json.",
    .example = "duet version",
    .run = run,
};
