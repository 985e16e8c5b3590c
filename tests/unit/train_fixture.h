/* What the tests of training share: a data set of a few records, a recipe on it, a run in a process of its own that
 * may be killed, and the comparison of two run folders. */
#ifndef TESTS_TRAIN_FIXTURE_H
#define TESTS_TRAIN_FIXTURE_H

#include "format/format.h"
#include "train/train.h"

#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { FIXTURE_TRAIN = 32, FIXTURE_TEST = 12, FIXTURE_BATCH = 4 }; /* 8 steps an epoch */

/* ---- files ----------------------------------------------------------------------------------------------------- */

typedef struct fixture {
    char folder[64], data[96];
} fixture;

/* path inside the fixture's folder; sixteen of them may be alive at once. */
static inline const char *fixture_path(const fixture *f, const char *name)
{
    static char paths[16][256];
    static int next;
    char *path = paths[next++ % 16];
    snprintf(path, sizeof paths[0], "%s/%s", f->folder, name);
    return path;
}

static inline void fixture_records(const fixture *f, const char *name, size_t n, uint64_t seed)
{
    char path[256];
    uint8_t record[2 + 3 * 32 * 32];
    snprintf(path, sizeof path, "%s/%s", f->data, name);
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    for (size_t i = 0; i < n; i++) {
        dt_rng r = dt_rng_make(seed, DT_PURPOSE_TEST, 0, i);
        record[0] = (uint8_t)dt_rng_below(&r, 20);
        record[1] = (uint8_t)dt_rng_below(&r, 100);
        for (size_t k = 2; k < sizeof record; k++) record[k] = (uint8_t)((record[1] * k + dt_rng_below(&r, 128)) & 255);
        assert_int_equal(fwrite(record, sizeof record, 1, out), 1);
    }
    assert_int_equal(fclose(out), 0);
}

static inline void fixture_begin(fixture *f)
{
    snprintf(f->folder, sizeof f->folder, "train_fixture_XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->data, sizeof f->data, "%s/data", f->folder);
    assert_int_equal(mkdir(f->data, 0755), 0);
    fixture_records(f, "train.bin", FIXTURE_TRAIN, 1);
    fixture_records(f, "test.bin", FIXTURE_TEST, 2);
}

static inline void fixture_end(const fixture *f)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", f->folder);
    assert_int_equal(system(command), 0);
}

/* The folder that the tests of one program share, and its making and removal for cmocka_run_group_tests. */
static fixture files;

static inline int fixture_setup(void **state)
{
    (void)state;
    fixture_begin(&files);
    return 0;
}

static inline int fixture_teardown(void **state)
{
    (void)state;
    fixture_end(&files);
    return 0;
}

static inline bool fixture_exists(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0;
}

/* ---- a run ----------------------------------------------------------------------------------------------------- */

static const char fixture_recipe_text[] =
    "data: {name: cifar100}\n"
    "networks:\n"
    "  - {name: teacher, model: resnet8, role: teacher}\n"
    "  - {name: student, model: resnet8, role: student}\n"
    "method: {name: dml}\n"
    "train: {epochs: 3, batch: 4, lr: 0.02, schedule: {name: onecycle}, log_every: 1}\n";

/* The quickest device this build has. */
static inline const char *fixture_device(void)
{
    return dt_device_find("cpu", NULL) ? "device.name=cpu" : "device.name=reference";
}

enum { FIXTURE_MAX_OVERRIDES = 16 };

/* overrides end with NULL; NULL: none. */
static inline dt_recipe *fixture_recipe(const fixture *f, const char *const *overrides)
{
    char path[128];
    const char *all[FIXTURE_MAX_OVERRIDES] = {path, fixture_device(), "device.threads=1"};
    size_t n = 3;
    dt_recipe *r = NULL;
    duet_error err;
    snprintf(path, sizeof path, "data.path=%s", f->data);
    while (overrides && *overrides) all[n++] = *overrides++;
    if (dt_recipe_parse("fixture", fixture_recipe_text, strlen(fixture_recipe_text), all, n, &r, &err))
        fail_msg("recipe: %s", err.message);
    return r;
}

typedef struct fixture_run {
    const char *out;
    bool resume;
    int64_t max_steps;
    const char *const *overrides;
    dt_observer observer;
    const volatile int *stop;
} fixture_run;

static inline duet_status fixture_train(const fixture *f, const fixture_run *run, dt_run_result *result,
                                        duet_error *err)
{
    dt_run_result own;
    const char *out = fixture_path(f, run->out);
    dt_recipe *r = fixture_recipe(f, run->overrides);
    const dt_run_options o = {
        .out = out, .resume = run->resume, .max_steps = run->max_steps, .observer = run->observer, .stop = run->stop};
    const duet_status st = dt_train(r, &o, result ? result : &own, err);
    dt_recipe_destroy(r);
    return st;
}

static inline void fixture_train_ok(const fixture *f, const fixture_run *run)
{
    duet_error err;
    if (fixture_train(f, run, NULL, &err)) fail_msg("%s: %s", run->out, err.message);
}

/* ---- a run in its own process ------------------------------------------------------------------------------------ */

/* A child is this program again, not a fork of it: OpenMP's threads do not survive a fork.
 *     test_x child FOLDER OUT RESUME KILL_AT OVERRIDE... */
static inline void fixture_kill_at(void *user, const dt_progress *p)
{
    const long *at = user;
    const long step = (long)((p->epoch - 1) * p->steps + p->step);
    if (step == *at) raise(SIGKILL);
}

static inline int fixture_child_main(int argc, char **argv)
{
    fixture f;
    duet_error err;
    dt_run_result result;
    const char *overrides[FIXTURE_MAX_OVERRIDES] = {0};
    long kill_at = strtol(argv[5], NULL, 10);
    if (argc > 6 + FIXTURE_MAX_OVERRIDES - 4) return 99;
    for (int i = 6; i < argc; i++) overrides[i - 6] = argv[i];
    snprintf(f.folder, sizeof f.folder, "%s", argv[2]);
    snprintf(f.data, sizeof f.data, "%.80s/data", f.folder);
    const fixture_run run = {.out = argv[3], .resume = argv[4][0] == '1', .overrides = overrides,
                             .observer = {.progress = fixture_kill_at, .user = &kill_at}};
    const duet_status st = fixture_train(&f, &run, &result, &err);
    if (st) fprintf(stderr, "%s\n", err.message);
    return (int)st;
}

/* Runs a child that kills itself after a step (0: never); returns its wait status. */
static inline int fixture_child(const fixture *f, const char *out, bool resume, long kill_at,
                                const char *const *overrides)
{
    char folder[64], at[24], name[128];
    char *argv[FIXTURE_MAX_OVERRIDES + 8] = {"child", "child", folder, name, resume ? "1" : "0", at};
    int status;
    snprintf(folder, sizeof folder, "%s", f->folder);
    snprintf(name, sizeof name, "%s", out);
    snprintf(at, sizeof at, "%ld", kill_at);
    for (int i = 0; overrides && overrides[i]; i++) argv[6 + i] = (char *)(uintptr_t)overrides[i];
    fflush(NULL);
    const pid_t pid = fork();
    if (pid == 0) {
        execv("/proc/self/exe", argv);
        _exit(98);
    }
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

/* ---- comparing two run folders ----------------------------------------------------------------------------------- */

static inline void fixture_same_bytes(const fixture *f, const char *a, const char *b, const char *file)
{
    dt_view va, vb;
    char path[256];
    duet_error err;
    snprintf(path, sizeof path, "%s/%s/%s", f->folder, a, file);
    if (dt_view_open(path, &va, &err)) fail_msg("%s", err.message);
    snprintf(path, sizeof path, "%s/%s/%s", f->folder, b, file);
    if (dt_view_open(path, &vb, &err)) fail_msg("%s", err.message);
    if (va.n != vb.n || memcmp(va.bytes, vb.bytes, va.n) != 0) fail_msg("%s of %s and %s differ", file, a, b);
    dt_view_close(&va);
    dt_view_close(&vb);
}

/* Every tensor but the clocks and the lengths of the growing files. */
static inline void fixture_same_state(const fixture *f, const char *a, const char *b)
{
    dt_saved *sa, *sb;
    duet_error err;
    char path[256];
    snprintf(path, sizeof path, "%s/%s/state.safetensors", f->folder, a);
    if (dt_saved_open(path, &sa, &err)) fail_msg("%s", err.message);
    snprintf(path, sizeof path, "%s/%s/state.safetensors", f->folder, b);
    if (dt_saved_open(path, &sb, &err)) fail_msg("%s", err.message);
    assert_int_equal(sa->n_tensors, sb->n_tensors);
    for (size_t i = 0; i < sa->n_tensors; i++) {
        const dt_saved_tensor *x = &sa->tensors[i], *y = dt_saved_find(sb, x->name);
        if (!strncmp(x->name, "run/clock_", 10) || !strncmp(x->name, "run/bytes_", 10)) continue;
        if (!y || x->n_bytes != y->n_bytes || memcmp(x->bytes, y->bytes, x->n_bytes) != 0)
            fail_msg("%s of %s and %s differ", x->name, a, b);
    }
    dt_saved_close(sa);
    dt_saved_close(sb);
}

/* The log without what a clock says and without the lines that only an interrupted run has. Free with free(). */
static inline char *fixture_log(const fixture *f, const char *out)
{
    static const char *const clocks[] = {"time", "train_s", "eval_s", "images_per_s", "loader_wait"};
    char path[256], *line = NULL, *text = NULL;
    size_t capacity = 0, bytes = 0;
    snprintf(path, sizeof path, "%s/%s/log.jsonl", f->folder, out);
    FILE *in = fopen(path, "r"), *to = open_memstream(&text, &bytes);
    assert_non_null(in);
    assert_non_null(to);
    while (getline(&line, &capacity, in) > 0) {
        json_error_t error;
        json_t *event = json_loads(line, JSON_REJECT_DUPLICATES, &error);
        if (!event) fail_msg("%s: %s: %s", path, error.text, line);
        const char *name = json_string_value(json_object_get(event, "event"));
        assert_non_null(name);
        for (size_t i = 0; i < DT_COUNT(clocks); i++) json_object_del(event, clocks[i]);
        if (strcmp(name, "resume") != 0 && strcmp(name, "stop") != 0) {
            char *dump = json_dumps(event, JSON_SORT_KEYS | JSON_COMPACT);
            fprintf(to, "%s\n", dump);
            free(dump);
        }
        json_decref(event);
    }
    free(line);
    fclose(in);
    fclose(to);
    return text;
}

/* The metrics without train_s and images_per_s, the third and fourth column. Free with free(). */
static inline char *fixture_metrics(const fixture *f, const char *out)
{
    char path[256], *text = NULL;
    size_t bytes = 0;
    int c, column = 0;
    snprintf(path, sizeof path, "%s/%s/metrics.csv", f->folder, out);
    FILE *in = fopen(path, "r"), *to = open_memstream(&text, &bytes);
    assert_non_null(in);
    assert_non_null(to);
    while ((c = fgetc(in)) != EOF) {
        if (c == ',') column++;
        if (c == '\n') column = 0;
        if (column != 2 && column != 3) fputc(c, to);
    }
    fclose(in);
    fclose(to);
    return text;
}

/* All files of two runs are equal but for times. */
static inline void fixture_same_runs(const fixture *f, const char *a, const char *b)
{
    static const char *const weights[] = {"teacher.safetensors", "student.safetensors", "teacher.best.safetensors",
                                          "student.best.safetensors"};
    for (size_t i = 0; i < DT_COUNT(weights); i++) fixture_same_bytes(f, a, b, weights[i]);
    fixture_same_state(f, a, b);
    char *la = fixture_log(f, a), *lb = fixture_log(f, b), *ma = fixture_metrics(f, a), *mb = fixture_metrics(f, b);
    assert_string_equal(la, lb);
    assert_string_equal(ma, mb);
    free(la), free(lb), free(ma), free(mb);
}

#endif
