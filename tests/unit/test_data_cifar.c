/* CIFAR files made here, byte by byte: what is read from them, and what is said of files that are missing, short,
 * oversized or damaged. */
#include "source_fixture.h"

#include <archive.h>
#include <archive_entry.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIXELS = 3 * 1024, RECORD_10 = 1 + PIXELS, RECORD_100 = 2 + PIXELS, MOST = 16 };

/* ---- making files -------------------------------------------------------------------------------------------- */

/* Byte k (of the planes, in the file's order) of picture i. */
static uint8_t pixel(size_t i, size_t k)
{
    return (uint8_t)(i * 37 + k * 11 + k / 1024 * 5 + k / 256);
}

/* Records first..first+n-1 of a set with one or two labels. */
static const uint8_t *records(size_t first, size_t n, size_t labels)
{
    static uint8_t bytes[MOST * RECORD_100];
    uint8_t *at = bytes;
    assert_true(n <= MOST);
    for (size_t i = first; i < first + n; i++) {
        if (labels == 2) *at++ = (uint8_t)(i % 20);
        *at++ = (uint8_t)(labels == 2 ? i * 7 % 100 : i * 3 % 10);
        for (size_t k = 0; k < PIXELS; k++) *at++ = pixel(i, k);
    }
    return bytes;
}

static void write_100(size_t train, size_t test)
{
    write_bytes("train.bin", records(0, train, 2), train * RECORD_100);
    write_bytes("test.bin", records(100, test, 2), test * RECORD_100);
}

/* A file of n zero bytes, which takes no room on the disk. */
static void write_zeros(const char *name, size_t n)
{
    write_bytes(name, "", 0);
    assert_int_equal(truncate(place(name), (off_t)n), 0);
}

static struct archive *begin_archive(const char *name)
{
    struct archive *a = archive_write_new();
    archive_write_add_filter_gzip(a);
    archive_write_set_format_ustar(a);
    assert_int_equal(archive_write_open_filename(a, place(name)), ARCHIVE_OK);
    return a;
}

static void add_member(struct archive *a, const char *name, const void *bytes, size_t n)
{
    struct archive_entry *entry = archive_entry_new();
    archive_entry_set_pathname(entry, name);
    archive_entry_set_size(entry, (la_int64_t)n);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    assert_int_equal(archive_write_header(a, entry), ARCHIVE_OK);
    assert_int_equal(archive_write_data(a, bytes, n), n);
    archive_entry_free(entry);
}

static void end_archive(struct archive *a)
{
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
}

static void write_archive_100(size_t train, size_t test)
{
    struct archive *a = begin_archive("cifar-100-binary.tar.gz");
    add_member(a, "cifar-100-binary/fine_label_names.txt", "apple\n", 6);
    add_member(a, "cifar-100-binary/train.bin", records(0, train, 2), train * RECORD_100);
    add_member(a, "cifar-100-binary/test.bin", records(100, test, 2), test * RECORD_100);
    end_archive(a);
}

/* ---- what is read -------------------------------------------------------------------------------------------- */

/* Record `index` must be picture i of records(), with its pixels turned from planes into triples. */
static void expect_picture(const dt_source *s, dt_split split, size_t index, size_t i, int32_t label)
{
    uint8_t got[PIXELS + 1];
    dt_record r = {.pixels = got, .label = -1};
    got[PIXELS] = 123; /* a canary */
    assert_int_equal(s->read(s, split, index, &r, NULL), DUET_OK);
    assert_int_equal(r.label, label);
    assert_int_equal(r.height, 32);
    assert_int_equal(r.width, 32);
    for (size_t k = 0; k < PIXELS; k++) assert_int_equal(got[k % 1024 * 3 + k / 1024], pixel(i, k));
    assert_int_equal(got[PIXELS], 123);
}

static void expect_100(const dt_source *s, size_t train, size_t test)
{
    assert_int_equal(s->facts.train_images, train);
    assert_int_equal(s->facts.test_images, test);
    for (size_t i = 0; i < train; i++) expect_picture(s, DT_SPLIT_TRAIN, i, i, (int32_t)(i * 7 % 100));
    for (size_t i = 0; i < test; i++) expect_picture(s, DT_SPLIT_TEST, i, 100 + i, (int32_t)((100 + i) * 7 % 100));
}

static void cifar100_is_read_from_a_folder_with_fine_labels(void **state)
{
    (void)state;
    write_100(5, 3);
    dt_source *s = open_good("cifar100", folder);
    assert_string_equal(s->facts.name, "cifar100");
    assert_int_equal(s->facts.classes, 100);
    assert_int_equal(s->facts.height, 32);
    assert_int_equal(s->facts.width, 32);
    assert_false(s->facts.masks);
    assert_string_equal(s->facts.class_names[0], "apple");
    assert_string_equal(s->facts.class_names[99], "worm");
    expect_100(s, 5, 3);
    assert_non_null(strstr(said, "train.bin: 5 records, fewer than the official 50000; all are used"));
    assert_non_null(strstr(said, "test.bin: 3 records, fewer than the official 10000; all are used"));
    dt_source_close(s);
}

static void cifar10_is_read_across_its_five_training_files(void **state)
{
    (void)state;
    const size_t counts[5] = {2, 1, 3, 1, 2};
    size_t first = 0;
    for (size_t f = 0; f < 5; first += counts[f++]) {
        char name[32];
        snprintf(name, sizeof name, "data_batch_%zu.bin", f + 1);
        write_bytes(name, records(first, counts[f], 1), counts[f] * RECORD_10);
    }
    write_bytes("test_batch.bin", records(50, 2, 1), 2 * RECORD_10);
    dt_source *s = open_good("cifar10", folder);
    assert_int_equal(s->facts.train_images, 9);
    assert_int_equal(s->facts.test_images, 2);
    assert_int_equal(s->facts.classes, 10);
    for (size_t i = 0; i < 9; i++) expect_picture(s, DT_SPLIT_TRAIN, i, i, (int32_t)(i * 3 % 10));
    for (size_t i = 0; i < 2; i++) expect_picture(s, DT_SPLIT_TEST, i, 50 + i, (int32_t)((50 + i) * 3 % 10));
    dt_source_close(s);
}

static void an_archive_is_read_without_unpacking(void **state)
{
    (void)state;
    write_archive_100(6, 4);
    dt_source *s = open_good("cifar100", place("cifar-100-binary.tar.gz"));
    expect_100(s, 6, 4);
    dt_source_close(s);
    assert_non_null(strstr(said, "cifar-100-binary.tar.gz: not the official archive, SHA-256 "));
    s = open_good("cifar100", folder); /* the folder it lies in will do */
    expect_100(s, 6, 4);
    dt_source_close(s);
}

static void unpacked_files_come_before_the_archive_and_may_lie_in_its_folder(void **state)
{
    (void)state;
    write_archive_100(6, 4);
    assert_int_equal(mkdir(place("cifar-100-binary"), 0755), 0);
    write_bytes("cifar-100-binary/train.bin", records(0, 2, 2), 2 * RECORD_100);
    dt_source *s = open_good("cifar100", folder);
    expect_100(s, 6, 4); /* half unpacked: the archive is whole */
    dt_source_close(s);
    write_bytes("cifar-100-binary/test.bin", records(100, 1, 2), RECORD_100);
    s = open_good("cifar100", folder);
    expect_100(s, 2, 1);
    dt_source_close(s);
}

static void a_file_of_the_official_size_with_other_bytes_is_said(void **state)
{
    (void)state;
    write_100(1, 1);
    write_zeros("test.bin", 10000 * RECORD_100);
    dt_source *s = open_good("cifar100", folder);
    assert_int_equal(s->facts.test_images, 10000);
    assert_non_null(strstr(said, "test.bin: not the official file, though it has its size: SHA-256 "));
    assert_non_null(strstr(said, "official d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a"));
    dt_source_close(s);
}

/* ---- what is refused ----------------------------------------------------------------------------------------- */

static void missing_data_names_the_place_and_what_is_needed(void **state)
{
    (void)state;
    REFUSED("cifar100", NULL, DUET_DATA, "data.path", "DUET_DATA",
            "train.bin and test.bin, or cifar-100-binary.tar.gz");
    REFUSED("cifar100", place("nowhere"), DUET_DATA, place("nowhere"), "No such file", "train.bin and test.bin");
    REFUSED("cifar100", folder, DUET_DATA, folder, "no CIFAR-100 in this folder",
            "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz");
    REFUSED("cifar10", folder, DUET_DATA, "no CIFAR-10 in this folder", "data_batch_5.bin", "cifar-10-binary.tar.gz");
    REFUSED("cifar100", "/dev/null", DUET_DATA, "/dev/null", "neither a folder nor a file");
    write_bytes("train.bin", records(0, 2, 2), 2 * RECORD_100);
    REFUSED("cifar100", folder, DUET_DATA, place("test.bin"), "missing", "train.bin and test.bin");
}

static void unknown_names_get_the_nearest_one(void **state)
{
    (void)state;
    REFUSED("cifra100", folder, DUET_ARG, "\"cifra100\"", "did you mean \"cifar100\"?", "cifar10, cifar100, shapes");
    REFUSED("imagenet-21k", folder, DUET_ARG, "\"imagenet-21k\"", "cifar10, cifar100, shapes");
}

static void files_of_a_wrong_size_are_refused(void **state)
{
    (void)state;
    write_100(4, 2);
    write_bytes("train.bin", "", 0);
    REFUSED("cifar100", folder, DUET_DATA, place("train.bin"), "empty", "50000 records of 3074 bytes");
    write_bytes("train.bin", records(0, 4, 2), 4 * RECORD_100 - 1);
    REFUSED("cifar100", folder, DUET_DATA, place("train.bin"),
            "12295 bytes are 3 records of 3074 bytes and 3073 bytes left over", "153700000");
    write_bytes("train.bin", records(0, 4, 1), 4 * RECORD_10);
    REFUSED("cifar100", folder, DUET_DATA, place("train.bin"), "4 records of 3073 bytes",
            "Is this the folder of CIFAR-10?");
    write_100(4, 2);
    write_zeros("test.bin", 10001 * RECORD_100);
    REFUSED("cifar100", folder, DUET_DATA, place("test.bin"), "more than the 30740000 bytes", "Fetch it again");
    unlink(place("test.bin"));
    assert_int_equal(mkdir(place("test.bin"), 0755), 0);
    REFUSED("cifar100", folder, DUET_IO, place("test.bin"));
}

static void labels_out_of_range_are_refused_with_their_place(void **state)
{
    (void)state;
    uint8_t bytes[4 * RECORD_100];
    write_100(4, 2);
    memcpy(bytes, records(0, 4, 2), sizeof bytes);
    bytes[2 * RECORD_100 + 1] = 100;
    write_bytes("train.bin", bytes, sizeof bytes);
    REFUSED("cifar100", folder, DUET_DATA, place("train.bin"), "record 2 (byte 6149)", "has label 100", "0 to 99");
    bytes[2 * RECORD_100 + 1] = 99;
    bytes[3 * RECORD_100] = 20;
    write_bytes("train.bin", bytes, sizeof bytes);
    REFUSED("cifar100", folder, DUET_DATA, place("train.bin"), "record 3 (byte 9222)", "coarse label 20", "0 to 19");
    bytes[3 * RECORD_100] = 19;
    write_bytes("train.bin", bytes, sizeof bytes);
    dt_source_close(open_good("cifar100", folder)); /* the last of each is fine */
}

static void archives_that_are_none_or_damaged_are_refused(void **state)
{
    (void)state;
    const char *path = "cifar-100-binary.tar.gz";
    uint8_t noise[5000];
    for (size_t i = 0; i < sizeof noise; i++) noise[i] = (uint8_t)(i * i >> 3 ^ i * 89);
    write_bytes(path, noise, sizeof noise);
    REFUSED("cifar100", folder, DUET_DATA, place(path), "not a readable .tar or .tar.gz archive", "fetch it again");
    write_bytes(path, "", 0);
    REFUSED("cifar100", folder, DUET_DATA, place(path));

    write_archive_100(8, 4);
    struct stat whole;
    assert_int_equal(stat(place(path), &whole), 0);
    for (off_t part = 1; part <= 3; part++) {
        write_archive_100(8, 4);
        assert_int_equal(truncate(place(path), whole.st_size * part / 4), 0);
        REFUSED("cifar100", folder, DUET_DATA, place(path), "fetch it again");
    }
}

static void archives_with_wrong_members_are_refused(void **state)
{
    (void)state;
    const char *path = "cifar-100-binary.tar.gz";
    struct archive *a = begin_archive(path);
    add_member(a, "cifar-100-binary/train.bin", records(0, 2, 2), 2 * RECORD_100);
    end_archive(a);
    REFUSED("cifar100", folder, DUET_DATA, place(path), "test.bin is not in the archive");

    a = begin_archive(path);
    add_member(a, "a/train.bin", records(0, 2, 2), 2 * RECORD_100);
    add_member(a, "b/train.bin", records(0, 2, 2), 2 * RECORD_100);
    add_member(a, "a/test.bin", records(0, 2, 2), 2 * RECORD_100);
    end_archive(a);
    REFUSED("cifar100", folder, DUET_DATA, place(path), "two members called train.bin");

    a = begin_archive(path);
    add_member(a, "train.bin", records(0, 2, 2), 2 * RECORD_100 - 5);
    add_member(a, "test.bin", records(0, 2, 2), 2 * RECORD_100);
    end_archive(a);
    REFUSED("cifar100", folder, DUET_DATA, place(path), "train.bin: 6143 bytes");
}

static void memory_running_out_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    write_archive_100(6, 4);
    open_with_failing_memory("cifar100", 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(cifar100_is_read_from_a_folder_with_fine_labels),
        WITH_FOLDER(cifar10_is_read_across_its_five_training_files),
        WITH_FOLDER(an_archive_is_read_without_unpacking),
        WITH_FOLDER(unpacked_files_come_before_the_archive_and_may_lie_in_its_folder),
        WITH_FOLDER(a_file_of_the_official_size_with_other_bytes_is_said),
        WITH_FOLDER(missing_data_names_the_place_and_what_is_needed),
        WITH_FOLDER(unknown_names_get_the_nearest_one),
        WITH_FOLDER(files_of_a_wrong_size_are_refused),
        WITH_FOLDER(labels_out_of_range_are_refused_with_their_place),
        WITH_FOLDER(archives_that_are_none_or_damaged_are_refused),
        WITH_FOLDER(archives_with_wrong_members_are_refused),
        WITH_FOLDER(memory_running_out_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
