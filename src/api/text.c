/* Small things that every public header needs: texts handed out, nearest names, the version. */
#include "api/api_impl.h"

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

duet_measures dt_api_measures(dt_measures m)
{
    return (duet_measures){.top1 = m.top1, .top5 = m.top5, .cross_entropy = m.cross_entropy, .calibration_error = m.calibration_error};
}
