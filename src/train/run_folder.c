/* The files of a run that are not weights: recipe.yaml and environment.json, written once; log.jsonl and metrics.csv,
 * which grow by whole lines.
 *
 * A growing file may be ahead of the last checkpoint when a run is killed. Every checkpoint therefore knows the
 * lengths it belongs to, and a resumed run first cuts the files back: what was repeated is not there twice. Writes go
 * straight to the file descriptor, so a line is out of our hands as soon as it is written, and no buffer is allocated
 * in a step. */
#include "train_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

static const char log_name[] = "log.jsonl", csv_name[] = "metrics.csv", recipe_name[] = "recipe.yaml",
                  state_name[] = "state.safetensors";

/* A step's line: the losses of 7 networks and 48 terms, each a name of up to 40 bytes and a number of up to 25. */
enum { LONGEST_LINE = 8192 };

/* ---- looking --------------------------------------------------------------------------------------------------- */

static bool holds(const char *folder, const char *name)
{
    char path[4096];
    struct stat facts;
    const int n = snprintf(path, sizeof path, "%s/%s", folder, name);
    return n > 0 && (size_t)n < sizeof path && stat(path, &facts) == 0;
}

dt_folder_found dt_folder_look(const char *path)
{
    if (holds(path, state_name)) return DT_FOLDER_CHECKPOINT;
    return holds(path, recipe_name) || holds(path, log_name) || holds(path, csv_name) ? DT_FOLDER_RUN : DT_FOLDER_NONE;
}

/* ---- opening --------------------------------------------------------------------------------------------------- */

const char *dt_folder_file(dt_folder *f, const char *name)
{
    return dt_arena_printf(&f->arena, "%s/%s", f->path, name);
}

/* Opens a growing file; keep: bytes to keep of it, the rest is cut off. */
static duet_status open_growing(dt_folder *f, const char *name, int64_t keep, int *out, duet_error *err)
{
    struct stat facts;
    const char *path = dt_folder_file(f, name);
    if (!path) return dt_fail(err, DUET_MEMORY, "%s: no memory", f->path);
    const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0) return dt_fail(err, DUET_IO, "%s: %s", path, strerror(errno));
    *out = fd;
    if (fstat(fd, &facts) != 0) return dt_fail(err, DUET_IO, "%s: %s", path, strerror(errno));
    if (facts.st_size < keep)
        return dt_fail(
            err, DUET_FORMAT,
            "%s: has %lld bytes, the checkpoint was written when it had %lld; put the run's own file back, or start "
            "again in another folder",
            path, (long long)facts.st_size, (long long)keep);
    if (ftruncate(fd, (off_t)keep) != 0) return dt_fail(err, DUET_IO, "%s: %s", path, strerror(errno));
    return DUET_OK;
}

duet_status dt_folder_resume(dt_folder *f, const char *path, int64_t log_bytes, int64_t csv_bytes, duet_error *err)
{
    *f = (dt_folder){.path = path, .log = -1, .csv = -1, .log_bytes = log_bytes, .csv_bytes = csv_bytes};
    dt_text_append(&f->line, "%*s", LONGEST_LINE, ""); /* room for any line of a step, before the first */
    f->line.length = 0;
    duet_status st = open_growing(f, log_name, log_bytes, &f->log, err);
    if (!st) st = open_growing(f, csv_name, csv_bytes, &f->csv, err);
    if (st) dt_folder_close(f);
    return st;
}

/* Descriptions of networks, each beside the recipe, which then names that file, NETWORK.MODEL.yaml: the folder needs no other. */
static duet_status write_descriptions(dt_folder *f, dt_recipe *r, duet_error *err)
{
    for (int i = 0; i < r->n_networks; i++) {
        const dt_model *m = r->networks[i].described;
        if (!m) continue;
        const char *name = dt_arena_printf(&f->arena, "%s.%s.yaml", r->networks[i].name, m->name), *path = name ? dt_folder_file(f, name) : NULL;
        if (!path) return dt_fail(err, DUET_MEMORY, "%s: no memory for writing the description of %s", f->path, r->networks[i].name);
        DT_TRY(dt_file_replace(path, m->description, strlen(m->description), err));
        r->networks[i].model = name;
    }
    return DUET_OK;
}

static duet_status write_recipe(dt_folder *f, const dt_recipe *r, duet_error *err)
{
    dt_text text = {0};
    dt_recipe own = *r; /* borrows everything; never destroyed */
    DT_TRY(write_descriptions(f, &own, err));
    const char *path = dt_folder_file(f, recipe_name);
    dt_recipe_write(&own, &text);
    const duet_status st = path && dt_text_ok(&text)
                               ? dt_file_replace(path, text.bytes, text.length, err)
                               : dt_fail(err, DUET_MEMORY, "%s: no memory for writing the recipe", f->path);
    dt_text_release(&text);
    return st;
}

duet_status dt_folder_create(dt_folder *f, const char *path, const dt_recipe *r, duet_error *err)
{
    DT_TRY(dt_make_folder(path, err));
    DT_TRY(dt_folder_resume(f, path, 0, 0, err));
    const duet_status st = write_recipe(f, r, err);
    if (st) dt_folder_close(f);
    return st;
}

void dt_folder_close(dt_folder *f)
{
    if (f->log >= 0) close(f->log);
    if (f->csv >= 0) close(f->csv);
    dt_text_release(&f->line);
    dt_arena_release(&f->arena);
    *f = (dt_folder){.log = -1, .csv = -1};
}

/* ---- appending ------------------------------------------------------------------------------------------------- */

static duet_status append(dt_folder *f, int fd, const char *name, int64_t *length, duet_error *err)
{
    if (!dt_text_ok(&f->line)) return dt_fail(err, DUET_MEMORY, "%s/%s: no memory for a line", f->path, name);
    for (size_t done = 0; done < f->line.length;) {
        const ssize_t n = write(fd, f->line.bytes + done, f->line.length - done);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            return dt_fail(err, DUET_IO, "%s/%s: %s; mend that and continue with --resume: the last checkpoint is safe",
                           f->path, name, strerror(errno));
        done += (size_t)n;
        *length += n;
    }
    f->line.length = 0; /* the bytes stay: the next line fits without asking for memory */
    return DUET_OK;
}

duet_status dt_folder_log(dt_folder *f, duet_error *err) { return append(f, f->log, log_name, &f->log_bytes, err); }
duet_status dt_folder_csv(dt_folder *f, duet_error *err) { return append(f, f->csv, csv_name, &f->csv_bytes, err); }

duet_status dt_folder_sync(dt_folder *f, duet_error *err)
{
    if (fdatasync(f->log) != 0) return dt_fail(err, DUET_IO, "%s/%s: %s", f->path, log_name, strerror(errno));
    if (fdatasync(f->csv) != 0) return dt_fail(err, DUET_IO, "%s/%s: %s", f->path, csv_name, strerror(errno));
    return DUET_OK;
}

/* ---- environment.json ------------------------------------------------------------------------------------------ */

static void member(dt_text *out, const char *key, const char *value, const char *after)
{
    dt_text_append(out, "  ");
    dt_json_string(out, key);
    dt_text_append(out, ": ");
    dt_json_string(out, value);
    dt_text_append(out, "%s\n", after);
}

duet_status dt_environment_write(dt_folder *f, const dt_session *s, duet_error *err)
{
    char device[DT_DEVICE_TEXT];
    struct utsname system;
    dt_cpu cpu;
    dt_text out = {0};
    const char *path = dt_folder_file(f, "environment.json");
    dt_session_device_text(s, device);
    dt_cpu_detect(&cpu);
    if (uname(&system) != 0) memset(&system, 0, sizeof system);

    dt_text_append(&out, "{\n");
    member(&out, "duet", DUET_VERSION, ",");
    member(&out, "compiler", __VERSION__, ",");
#ifdef NDEBUG
    member(&out, "build", "release", ",");
#else
    member(&out, "build", "with assertions", ",");
#endif
    member(&out, "device", device, ",");
    member(&out, "cpu", cpu.model, ",");
    member(&out, "instructions", dt_isa_name(cpu.isa), ",");
    dt_text_append(&out, "  \"cores\": %d,\n  \"threads\": %d,\n", cpu.cores, s->device->threads);
    member(&out, "system", system.sysname, ",");
    member(&out, "release", system.release, ",");
    member(&out, "machine", system.machine, "");
    dt_text_append(&out, "}\n");

    const duet_status st = path && dt_text_ok(&out)
                               ? dt_file_replace(path, out.bytes, out.length, err)
                               : dt_fail(err, DUET_MEMORY, "%s: no memory for environment.json", f->path);
    dt_text_release(&out);
    return st;
}
