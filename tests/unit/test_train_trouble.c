/* What goes wrong in a run: one message that says where and what to do, no partial file, nothing lost. */
#include "train_fixture.h"

#include <sys/mount.h>

static void expect(duet_status found, duet_status wanted, const duet_error *err, const char *const *words)
{
    if (found != wanted) fail_msg("status %s: %s", duet_status_name(found), found ? err->message : "none");
    for (; *words; words++)
        if (!strstr(err->message, *words)) fail_msg("'%s' is not in: %s", *words, err->message);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

static void a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(void **state)
{
    (void)state;
    duet_error err;
    /* Decay alone makes the teacher's weights some ten times larger at every step: an epoch of 8 steps is survived,
     * not two. */
    const char *const wild[] = {"train.schedule={name: constant}", "train.weight_decay=0.5",
                                "networks.teacher.lr_scale=1000", NULL};
    const duet_status st = fixture_train(&files, &(fixture_run){.out = "wild", .overrides = wild}, NULL, &err);
    expect(
        st, DUET_NUMERIC, &err,
        WORDS("step ", "(epoch 2)", "teacher: the loss is ", "the gradient of conv1.weight is not finite", "train.lr"));
    assert_true(fixture_exists(fixture_path(&files, "wild/state.safetensors")));
    char *log = fixture_log(&files, "wild");
    assert_non_null(strstr(log, "\"epoch\""));
    free(log);
    /* The checkpoint after the first epoch is whole: resumed, the run fails at the same step. */
    duet_error again;
    const duet_status resumed =
        fixture_train(&files, &(fixture_run){.out = "wild", .overrides = wild, .resume = true}, NULL, &again);
    assert_int_equal(resumed, DUET_NUMERIC);
    assert_string_equal(err.message, again.message);
}

/* ---- recipes and data that do not fit ---------------------------------------------------------------------------- */

static void a_batch_larger_than_the_data_is_refused_before_the_folder_is_made(void **state)
{
    (void)state;
    duet_error err;
    const char *const batch[] = {"train.batch=33", NULL}, *const held[] = {"data.validation=30", NULL},
                      *const all[] = {"data.validation=32", NULL};
    duet_status st = fixture_train(&files, &(fixture_run){.out = "none", .overrides = batch}, NULL, &err);
    expect(st, DUET_RECIPE, &err, WORDS("train.batch", "33", "32"));
    st = fixture_train(&files, &(fixture_run){.out = "none", .overrides = held}, NULL, &err);
    expect(st, DUET_RECIPE, &err, WORDS("train.batch", "2 training images"));
    st = fixture_train(&files, &(fixture_run){.out = "none", .overrides = all}, NULL, &err);
    expect(st, DUET_RECIPE, &err, WORDS("data.validation", "32"));
    assert_false(fixture_exists(fixture_path(&files, "none")));
}

static void missing_data_leaves_no_folder(void **state)
{
    (void)state;
    duet_error err;
    const char *const path[] = {"data.path=/nowhere/at/all", NULL};
    const duet_status st = fixture_train(&files, &(fixture_run){.out = "none", .overrides = path}, NULL, &err);
    assert_true(st == DUET_DATA || st == DUET_IO);
    assert_non_null(strstr(err.message, "/nowhere/at/all"));
    assert_false(fixture_exists(fixture_path(&files, "none")));
}

static void first_weights_of_another_model_are_refused_before_the_folder_is_made(void **state)
{
    (void)state;
    duet_error err;
    char init[300];
    fixture_train_ok(&files, &(fixture_run){.out = "source", .max_steps = 1});
    snprintf(init, sizeof init, "networks.student.init=%s", fixture_path(&files, "source/student.safetensors"));
    const char *const good[] = {init, NULL}, *const bad[] = {init, "networks.student.model=resnet14", NULL};
    const duet_status st = fixture_train(&files, &(fixture_run){.out = "none", .overrides = bad}, NULL, &err);
    expect(st, DUET_FORMAT, &err, WORDS("source/student.safetensors", "student", "layer1.1.conv1.weight", "resnet8"));
    assert_false(fixture_exists(fixture_path(&files, "none")));
    fixture_train_ok(&files, &(fixture_run){.out = "warm", .overrides = good, .max_steps = 1});
}

/* ---- folders and disks ------------------------------------------------------------------------------------------- */

static void a_folder_that_cannot_be_made_is_said(void **state)
{
    (void)state;
    duet_error err;
    const duet_status st = fixture_train(&files, &(fixture_run){.out = "data/train.bin/run"}, NULL,
                                         &err); /* below a file: also root cannot */
    expect(st, DUET_IO, &err, WORDS("data/train.bin", "is a file"));
}

static void a_folder_without_permission_is_said(void **state)
{
    (void)state;
    enum { NOBODY = 65534 };
    duet_error err;
    const bool root = geteuid() == 0; /* root may write anywhere: for the length of the run, be nobody */
    assert_int_equal(chmod(files.folder, 0755), 0);
    assert_int_equal(mkdir(fixture_path(&files, "locked"), 0555), 0);
    if (root) assert_int_equal(seteuid(NOBODY), 0);
    const duet_status st = fixture_train(&files, &(fixture_run){.out = "locked/run"}, NULL, &err);
    if (root) assert_int_equal(seteuid(0), 0);
    expect(st, DUET_IO, &err, WORDS("locked/run", "Permission denied"));
}

/* A disk of a given size; false where this user may not have one. */
static bool small_disk(const char *path, int kib)
{
    char options[32];
    snprintf(options, sizeof options, "size=%dk", kib);
    return mkdir(path, 0755) == 0 && mount("duet", path, "tmpfs", 0, options) == 0;
}

/* Sizes between "not even the recipe" and "the last checkpoint does not fit": the run fails with a message, the folder
 * holds no half-written file, and once there is room the run goes on to the files of one that never had trouble. */
static void a_full_disk_loses_nothing(void **state)
{
    (void)state;
    static const int sizes_kib[] = {8, 700, 3000};
    char path[256];
    snprintf(path, sizeof path, "%s", fixture_path(&files, "disk"));
    bool failed = false;
    for (size_t i = 0; i < DT_COUNT(sizes_kib); i++) {
        duet_error err;
        if (i == 0 && !small_disk(path, sizes_kib[i])) skip();
        if (i > 0) {
            char options[32];
            snprintf(options, sizeof options, "size=%dk", sizes_kib[i]);
            assert_int_equal(mount("duet", path, "tmpfs", MS_REMOUNT, options), 0);
        }
        const duet_status st = fixture_train(&files, &(fixture_run){.out = "disk/run", .resume = true}, NULL, &err);
        if (!st) continue;
        failed = true;
        expect(st, DUET_IO, &err, WORDS("disk/run/", "No space left on device"));
        char command[400];
        snprintf(command, sizeof command, "test -z \"$(find %s -name '*tmp*' -o -name '*.part*')\"", path);
        assert_int_equal(system(command), 0);
    }
    assert_true(failed);
    assert_int_equal(mount("duet", path, "tmpfs", MS_REMOUNT, "size=16m"), 0);
    fixture_train_ok(&files, &(fixture_run){.out = "disk/run", .resume = true});
    fixture_train_ok(&files, &(fixture_run){.out = "plain"});
    fixture_same_runs(&files, "plain", "disk/run");
    assert_int_equal(umount(path), 0);
}

static int end(void **state)
{
    (void)state;
    (void)umount(fixture_path(&files, "disk")); /* where the test was cut short */
    fixture_end(&files);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint),
        cmocka_unit_test(a_batch_larger_than_the_data_is_refused_before_the_folder_is_made),
        cmocka_unit_test(missing_data_leaves_no_folder),
        cmocka_unit_test(first_weights_of_another_model_are_refused_before_the_folder_is_made),
        cmocka_unit_test(a_folder_that_cannot_be_made_is_said),
        cmocka_unit_test(a_folder_without_permission_is_said),
        cmocka_unit_test(a_full_disk_loses_nothing),
    };
    return cmocka_run_group_tests(tests, fixture_setup, end);
}
