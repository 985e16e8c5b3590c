/* For tests of data sets that are read from files: each test has an empty folder to fill and hears what a source says; then
 * a source opens, refuses, or runs out of memory. */
#ifndef SOURCE_FIXTURE_H
#define SOURCE_FIXTURE_H

#include "data/data.h"
#include "temporary.h"

#include <setjmp.h> /* before cmocka.h, which needs it */
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* Of the test that runs; what was said is joined, a line each. */
static char folder[256], said[8192];

static void hear(void *user, const char *text)
{
    (void)user;
    const size_t used = strlen(said);
    snprintf(said + used, sizeof said - used, "%s\n", text);
}

static const dt_log_sink ear = {hear, NULL};

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "%s", temporary_folder());
    said[0] = '\0';
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

/* A name in the test's folder as a path; the last four stay valid. */
static const char *place(const char *name)
{
    static char path[4][600];
    static size_t turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

static void write_bytes(const char *name, const void *bytes, size_t n)
{
    FILE *f = fopen(place(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static dt_source *open_good(const char *name, const char *path)
{
    duet_error err = {0};
    dt_source *s = NULL;
    if (dt_source_open(name, path, 0, &ear, &s, &err)) fail_msg("%s", err.message);
    return s;
}

/* The message must hold every one of the given pieces, the last of which is NULL; nothing is handed out. Returns the error. */
static duet_status refusal(const char *name, const char *path, const char *const *pieces)
{
    duet_error err = {0};
    dt_source *s = NULL;
    const duet_status st = dt_source_open(name, path, 0, &ear, &s, &err);
    assert_int_not_equal(st, DUET_OK);
    assert_null(s);
    for (; *pieces; pieces++)
        if (!strstr(err.message, *pieces)) fail_msg("\"%s\" is not in: %s", *pieces, err.message);
    return st;
}
#define REFUSED(name, path, status, ...)                                                                               \
    assert_int_equal(refusal(name, path, (const char *const[]){__VA_ARGS__, NULL}), status)

/* Opens the source in the test's folder while the k-th allocation fails, k = 1, 2, ... until it opens. */
static void open_with_failing_memory(const char *name, long most)
{
    for (long k = 1; k < most; k++) {
        duet_error err = {0};
        dt_source *s = NULL;
        dt_alloc_fail_at(k);
        const duet_status st = dt_source_open(name, folder, 0, &ear, &s, &err);
        dt_alloc_fail_at(0);
        if (!st) {
            assert_true(k > 2);
            dt_source_close(s);
            return;
        }
        assert_int_equal(st, DUET_MEMORY);
        assert_null(s);
    }
    fail_msg("%s does not open after %ld allocations", name, most);
}

#endif
