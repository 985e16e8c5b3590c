/* Files appear complete or not at all: unwritable folders, a full disk, a crash, two writers, memory running out. */
#include "base/base.h"
#include "temporary.h"

#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[256], path[300], temporary[320];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "%s", temporary_folder());
    snprintf(path, sizeof path, "%s/file", folder);
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    return 0;
}

static int drop_folder(void **state)
{
    (void)state;
    remove_folder(folder);
    return 0;
}

static bool exists(const char *name)
{
    struct stat facts;
    return !lstat(name, &facts);
}

static void a_commit_replaces_and_an_abort_does_not(void **state)
{
    (void)state;
    duet_error err = {0};
    assert_int_equal(dt_file_replace(path, "old", 3, &err), DUET_OK);
    dt_file *f;
    assert_int_equal(dt_file_create(path, &f, &err), DUET_OK);
    dt_file_write(f, "new and longer", 14);
    assert_string_equal(file_text(path), "old");
    dt_file_abort(f);
    assert_string_equal(file_text(path), "old");
    assert_false(exists(temporary));
    assert_int_equal(dt_file_replace(path, "new", 3, &err), DUET_OK);
    assert_string_equal(file_text(path), "new");
    assert_false(exists(temporary));
    assert_int_equal(dt_file_replace(path, "", 0, &err), DUET_OK);
    assert_string_equal(file_text(path), "");
    dt_file_abort(NULL);
}

static void a_crash_leaves_the_old_file_and_the_next_write_works(void **state)
{
    (void)state;
    duet_error err = {0};
    assert_int_equal(dt_file_replace(path, "old", 3, &err), DUET_OK);
    pid_t child = fork();
    if (child == 0) {
        dt_file *f;
        char bytes[100000] = {0};
        if (dt_file_create(path, &f, NULL)) _exit(1);
        dt_file_write(f, bytes, sizeof bytes);
        raise(SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_string_equal(file_text(path), "old");
    assert_int_equal(dt_file_replace(path, "new", 3, &err), DUET_OK);
    assert_string_equal(file_text(path), "new");
    assert_false(exists(temporary));
}

static void two_writers_of_one_file_are_kept_apart(void **state)
{
    (void)state;
    duet_error err = {0};
    dt_file *first, *second;
    assert_int_equal(dt_file_create(path, &first, &err), DUET_OK);
    assert_int_equal(dt_file_create(path, &second, &err), DUET_IO);
    assert_non_null(strstr(err.message, "another process"));
    dt_file_write(first, "first", 5);
    assert_int_equal(dt_file_commit(first, &err), DUET_OK);
    assert_string_equal(file_text(path), "first");
    assert_int_equal(dt_file_create(path, &second, &err), DUET_OK);
    dt_file_abort(second);
}

static void what_is_no_regular_file_is_not_replaced(void **state)
{
    (void)state;
    duet_error err = {0};
    assert_int_equal(dt_file_replace("/dev/null", "x", 1, &err), DUET_IO);
    assert_non_null(strstr(err.message, "/dev/null: is not a regular file"));
    assert_int_equal(dt_file_replace(folder, "x", 1, &err), DUET_IO);
}

static void a_missing_folder_is_named(void **state)
{
    (void)state;
    duet_error err = {0};
    char name[400];
    snprintf(name, sizeof name, "%s/none/file", folder);
    assert_int_equal(dt_file_replace(name, "x", 1, &err), DUET_IO);
    assert_non_null(strstr(err.message, name));
    assert_non_null(strstr(err.message, "No such file"));
}

/* Root may write anywhere, so the check runs in a child that is nobody. */
static void an_unwritable_folder_is_named(void **state)
{
    (void)state;
    char inner[320], name[340];
    snprintf(inner, sizeof inner, "%s/closed", folder);
    snprintf(name, sizeof name, "%s/file", inner);
    assert_int_equal(mkdir(inner, 0555), 0);
    assert_int_equal(chmod(folder, 0755), 0);
    pid_t child = fork();
    if (child == 0) {
        if (geteuid() == 0 && setuid(65534)) _exit(9);
        duet_error err = {0};
        if (dt_file_replace(name, "x", 1, &err) != DUET_IO) _exit(1);
        if (!strstr(err.message, name) || !strstr(err.message, "Permission denied")) _exit(2);
        snprintf(name, sizeof name, "%s/a/b", inner);
        if (dt_make_folder(name, &err) != DUET_IO) _exit(3);
        _exit(strstr(err.message, "Permission denied") ? 0 : 4);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void fill_the_disk(const char *name, const char *stray)
{
    duet_error err = {0};
    enum { MUCH = 1 << 20 };
    char *bytes = calloc(MUCH, 1);
    assert_int_equal(dt_file_replace(name, "old", 3, &err), DUET_OK);
    assert_int_equal(dt_file_replace(name, bytes, MUCH, &err), DUET_IO);
    assert_string_equal(file_text(name), "old");
    assert_false(exists(stray));
    assert_int_equal(dt_file_replace(name, "new", 3, &err), DUET_OK);
    assert_string_equal(file_text(name), "new");
    free(bytes);
}

/* A disk of 256 KiB where we may mount one; else a limit on the size of files, which fails the same calls. */
static void a_full_disk_leaves_the_old_file(void **state)
{
    (void)state;
    char disk[300], name[340], stray[360];
    snprintf(disk, sizeof disk, "%s/disk", folder);
    snprintf(name, sizeof name, "%s/file", disk);
    snprintf(stray, sizeof stray, "%s.tmp", name);
    assert_int_equal(mkdir(disk, 0755), 0);
    if (!mount("duet", disk, "tmpfs", 0, "size=256k")) {
        fill_the_disk(name, stray);
        assert_int_equal(umount(disk), 0);
        return;
    }
    struct rlimit old, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){.rlim_cur = 256 * 1024, .rlim_max = old.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    fill_the_disk(name, stray);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
}

static void running_out_of_memory_writes_nothing(void **state)
{
    (void)state;
    duet_error err = {0};
    assert_int_equal(dt_file_replace(path, "old", 3, &err), DUET_OK);
    duet_status st = DUET_MEMORY;
    long k = 0;
    while (st && ++k < 20) {
        dt_alloc_fail_at(k);
        st = dt_file_replace(path, "new", 3, &err);
        dt_alloc_fail_at(0);
        if (st) {
            assert_int_equal(st, DUET_MEMORY);
            assert_string_equal(file_text(path), "old");
            assert_false(exists(temporary));
        }
    }
    assert_int_equal(st, DUET_OK);
    assert_true(k > 1);
    assert_string_equal(file_text(path), "new");
}

static void a_view_shows_the_whole_file(void **state)
{
    (void)state;
    duet_error err = {0};
    dt_view v;
    assert_int_equal(dt_file_replace(path, "abc", 3, &err), DUET_OK);
    assert_int_equal(dt_view_open(path, &v, &err), DUET_OK);
    assert_int_equal(v.n, 3);
    assert_memory_equal(v.bytes, "abc", 3);
    dt_view_close(&v);
    assert_int_equal(dt_file_replace(path, "", 0, &err), DUET_OK);
    assert_int_equal(dt_view_open(path, &v, &err), DUET_OK);
    assert_int_equal(v.n, 0);
    dt_view_close(&v);
    assert_int_equal(dt_view_open("/proc/self/status", &v, &err), DUET_OK); /* says its size is 0 */
    assert_true(v.n > 100);
    dt_view_close(&v);
    assert_int_equal(dt_view_open(folder, &v, &err), DUET_IO);
    assert_non_null(strstr(err.message, "is a folder"));
    assert_int_equal(dt_view_open("/none/at/all", &v, &err), DUET_IO);
    assert_non_null(strstr(err.message, "No such file"));
}

static void folders_are_made_with_their_parents(void **state)
{
    (void)state;
    duet_error err = {0};
    char name[400];
    snprintf(name, sizeof name, "%s/a/b/c/", folder);
    assert_int_equal(dt_make_folder(name, &err), DUET_OK);
    assert_int_equal(dt_make_folder(name, &err), DUET_OK);
    assert_true(exists(name));
    assert_int_equal(dt_file_replace(path, "x", 1, &err), DUET_OK);
    snprintf(name, sizeof name, "%s/below", path);
    assert_int_equal(dt_make_folder(name, &err), DUET_IO);
    assert_non_null(strstr(err.message, "is a file where a folder is wanted"));
    assert_int_equal(dt_make_folder("", &err), DUET_IO);
}

/* FIPS 180-4's example. */
static void sha256_of_bytes_and_files(void **state)
{
    (void)state;
    static const char want[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    duet_error err = {0};
    char hex[65];
    dt_sha256("abc", 3, hex);
    assert_string_equal(hex, want);
    assert_int_equal(dt_file_replace(path, "abc", 3, &err), DUET_OK);
    assert_int_equal(dt_sha256_file(path, hex, &err), DUET_OK);
    assert_string_equal(hex, want);
    assert_int_equal(dt_sha256_file("/none", hex, &err), DUET_IO);
    assert_int_equal(dt_sha256_file(folder, hex, &err), DUET_IO);
}

#define IN_A_FOLDER(f) cmocka_unit_test_setup_teardown(f, make_folder, drop_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_A_FOLDER(a_commit_replaces_and_an_abort_does_not),
        IN_A_FOLDER(a_crash_leaves_the_old_file_and_the_next_write_works),
        IN_A_FOLDER(two_writers_of_one_file_are_kept_apart),
        IN_A_FOLDER(what_is_no_regular_file_is_not_replaced),
        IN_A_FOLDER(a_missing_folder_is_named),
        IN_A_FOLDER(an_unwritable_folder_is_named),
        IN_A_FOLDER(a_full_disk_leaves_the_old_file),
        IN_A_FOLDER(running_out_of_memory_writes_nothing),
        IN_A_FOLDER(a_view_shows_the_whole_file),
        IN_A_FOLDER(folders_are_made_with_their_parents),
        IN_A_FOLDER(sha256_of_bytes_and_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
