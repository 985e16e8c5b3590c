/* Folders for results. */
#include "cli.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

int cli_make_folder(const char *path)
{
    enum { BYTES = 4096 };
    char part[BYTES];
    if (!*path) {
        cli_complain("the name of a folder is missing");
        return CLI_FAILED;
    }
    if ((size_t)snprintf(part, sizeof part, "%s", path) >= sizeof part) {
        cli_complain("%s: the path is too long", path);
        return CLI_FAILED;
    }
    for (char *at = part + 1; *part; at++) {
        const char was = *at;
        if (was && was != '/') continue;
        *at = '\0';
        if (mkdir(part, 0777) && errno != EEXIST) {
            cli_complain("%s: cannot make this folder: %s", part, strerror(errno));
            return CLI_FAILED;
        }
        if (!was) break;
        *at = was;
    }
    return CLI_DONE;
}
