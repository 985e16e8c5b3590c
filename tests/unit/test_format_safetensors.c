/* safetensors: what is written reads back; what is damaged is refused with the place and the numbers. */
#include "format/format.h"
#include "temporary.h"

#include <setjmp.h>
#include <cmocka.h>
#include <unistd.h>

/* A file in memory: the length, this header, n bytes of data. */
typedef struct image {
    uint8_t bytes[4096];
    size_t n;
} image;

static void make_image(image *m, const char *header, size_t n_data)
{
    uint64_t length = strlen(header);
    memset(m->bytes, 0, sizeof m->bytes);
    memcpy(m->bytes, &length, 8);
    memcpy(m->bytes + 8, header, length);
    m->n = 8 + length + n_data;
    assert_true(m->n <= sizeof m->bytes);
}

static void refuses(const char *header, size_t n_data, const char *message)
{
    image m;
    duet_error err = {0};
    dt_saved *s = NULL;
    make_image(&m, header, n_data);
    assert_int_equal(dt_saved_parse("w", m.bytes, m.n, &s, &err), DUET_FORMAT);
    assert_null(s);
    if (!strstr(err.message, message)) fail_msg("\n  got:  %s\n  want: %s", err.message, message);
    assert_memory_equal(err.message, "w: ", 3);
}

#define T(name, dtype, shape, begin, end) "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end "]}"

static void headers_that_lie_are_refused(void **state)
{
    (void)state;
    refuses("{" T("a", "F32", "[2]", 0, 8) "," T("b", "F32", "[2]", 4, 12) "}", 12, "'b' starts at byte 4 of the data, inside 'a'");
    refuses("{" T("a", "F32", "[2]", 0, 8) "," T("b", "F32", "[2]", 12, 20) "}", 20, "bytes 8 to 12 belong to no tensor");
    refuses("{" T("a", "F32", "[2]", 4, 12) "}", 12, "bytes 0 to 4 belong to no tensor");
    refuses("{" T("a", "F32", "[2]", 0, 8) "}", 12, "end at byte 8 of the data, which has 12 bytes");
    refuses("{}", 4, "end at byte 0 of the data, which has 4 bytes");
    refuses("{" T("a", "F32", "[2]", 0, 8) "}", 7, "there are 7 bytes of data");
    refuses("{" T("a", "F32", "[3]", 0, 8) "}", 8, "ask for 12 bytes, its data_offsets hold 8");
    refuses("{" T("a", "F32", "[2]", 8, 0) "}", 8, "the end is before the beginning");
    refuses("{" T("a", "F32", "[2]", 0, 8) "," T("a", "F32", "[2]", 8, 16) "}", 16, "duplicate");
    refuses("{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}", 0, "duplicate");
    refuses("{\"__metadata__\":{\"k\":1}}", 0, "'k' is not text");
    refuses("{\"__metadata__\":[]}", 0, "not an object");
    refuses("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, "duplicate");
}

static void numbers_that_overflow_are_refused(void **state)
{
    (void)state;
    refuses("{" T("a", "F32", "[4611686018427387904,4]", 0, 0) "}", 0, "more bytes than there can be");
    refuses("{" T("a", "F32", "[4611686018427387905]", 0, 4) "}", 4, "more bytes than there can be");
    refuses("{" T("a", "F32", "[1]", 9223372036854775804, 9223372036854775807) "}", 4, "there are 4 bytes of data");
    refuses("{" T("a", "F32", "[1]", 0, 18446744073709551620) "}", 4, "too big");
    refuses("{" T("a", "F32", "[-1]", 0, 4) "}", 4, "shape[0] is not a number >= 0");
    refuses("{" T("a", "F32", "[1.0]", 0, 4) "}", 4, "shape[0] is not a number >= 0");
    refuses("{" T("a", "F32", "[1]", -4, 0) "}", 4, "two numbers >= 0");
}

static void things_that_are_no_tensors_are_refused(void **state)
{
    (void)state;
    refuses("{\"a\":5}", 0, "'a': is not an object");
    refuses("{" T("a", "F31", "[1]", 0, 4) "}", 4, "dtype 'F31' is not known");
    refuses("{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "\"dtype\" is missing");
    refuses("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "\"shape\" is missing");
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "\"data_offsets\" is not");
    refuses("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", 4, "\"data_offsets\" is not");
    refuses("{" T("a", "F32", "[1,1,1,1,1,1,1,1,1]", 0, 4) "}", 4, "9 dimensions");
    refuses("[]", 0, "does not start with '{'");
    refuses("", 0, "does not start with '{'");
    refuses("{\"a\":", 0, "header: byte");
    refuses("{} x", 0, "header: byte");
}

static void files_cut_short_are_refused_at_every_length(void **state)
{
    (void)state;
    image m;
    make_image(&m, "{" T("a", "F32", "[2]", 0, 8) "," T("b", "I64", "[]", 8, 16) "}", 16);
    dt_saved *s;
    for (size_t n = 0; n < m.n; n++) {
        duet_error err = {0};
        assert_int_equal(dt_saved_parse("w", m.bytes, n, &s, &err), DUET_FORMAT);
    }
    assert_int_equal(dt_saved_parse("w", m.bytes, m.n, &s, NULL), DUET_OK);
    dt_saved_close(s);
}

static void a_huge_header_is_refused_before_it_is_believed(void **state)
{
    (void)state;
    image m;
    duet_error err = {0};
    dt_saved *s;
    make_image(&m, "{}", 0);
    memset(m.bytes, 0xFF, 8);
    assert_int_equal(dt_saved_parse("w", m.bytes, m.n, &s, &err), DUET_FORMAT);
    assert_non_null(strstr(err.message, "at most 100000000 are accepted"));
    uint64_t length = 99999999;
    memcpy(m.bytes, &length, 8);
    assert_int_equal(dt_saved_parse("w", m.bytes, m.n, &s, &err), DUET_FORMAT);
    assert_non_null(strstr(err.message, "but only 2 follow"));
}

static void tensors_stand_in_the_order_of_their_bytes(void **state)
{
    (void)state;
    image m;
    dt_saved *s;
    duet_error err = {0};
    make_image(&m, "{" T("late", "F32", "[2,1]", 3, 11) "," T("empty", "F32", "[0,7]", 3, 3) "," T("early", "U8", "[3]", 0, 3) "}  ", 11);
    assert_int_equal(dt_saved_parse("w", m.bytes, m.n, &s, &err), DUET_OK);
    assert_int_equal(s->n_tensors, 3);
    assert_string_equal(s->tensors[0].name, "early");
    assert_string_equal(s->tensors[1].name, "empty");
    const dt_saved_tensor *late = dt_saved_find(s, "late");
    assert_ptr_equal(late, &s->tensors[2]);
    assert_int_equal(late->rank, 2);
    assert_int_equal(late->shape[0], 2);
    assert_int_equal(late->n_bytes, 8);
    assert_ptr_equal(late->bytes, m.bytes + m.n - 8);
    assert_string_equal(late->element_name, "F32");
    assert_null(dt_saved_find(s, "none"));
    assert_null(dt_saved_metadata(s, "none"));
    dt_saved_close(s);
    dt_saved_close(NULL);
}

static duet_status write_example(const char *path, duet_error *err)
{
    const float a[6] = {1, 2, 3, 4, 5, 6};
    const int64_t b = -7;
    dt_saver *s;
    DT_TRY(dt_saver_create(path, &s, err));
    dt_saver_metadata(s, "model", "resnet\"8\"");
    dt_saver_metadata(s, "epoch", "3");
    dt_saver_declare(s, "conv1.weight", DT_ELEMENT_F32, 2, (const size_t[]){2, 3});
    dt_saver_declare(s, "bn1.num_batches_tracked", DT_ELEMENT_I64, 0, NULL);
    dt_saver_bytes(s, a, 8);
    dt_saver_bytes(s, a + 2, sizeof a - 8);
    dt_saver_bytes(s, &b, sizeof b);
    return dt_saver_commit(s, err);
}

static void check_example(const char *path)
{
    dt_saved *s;
    duet_error err = {0};
    assert_int_equal(dt_saved_open(path, &s, &err), DUET_OK);
    assert_string_equal(dt_saved_metadata(s, "model"), "resnet\"8\"");
    assert_string_equal(dt_saved_metadata(s, "epoch"), "3");
    const dt_saved_tensor *a = dt_saved_find(s, "conv1.weight"), *b = dt_saved_find(s, "bn1.num_batches_tracked");
    assert_int_equal((uintptr_t)a->bytes % 8, 0);
    assert_int_equal(a->element, DT_ELEMENT_F32);
    assert_memory_equal(a->bytes, ((const float[]){1, 2, 3, 4, 5, 6}), 24);
    assert_int_equal(b->rank, 0);
    assert_memory_equal(b->bytes, &(const int64_t){-7}, 8);
    dt_saved_close(s);
}

static void what_is_written_reads_back(void **state)
{
    (void)state;
    char folder[256], path[300];
    snprintf(folder, sizeof folder, "%s", temporary_folder());
    snprintf(path, sizeof path, "%s/w.safetensors", folder);
    duet_error err = {0};
    assert_int_equal(write_example(path, &err), DUET_OK);
    check_example(path);
    dt_saver *s;
    assert_int_equal(dt_saver_create(path, &s, &err), DUET_OK);
    dt_saver_declare(s, "x", DT_ELEMENT_F32, 0, NULL);
    dt_saver_abort(s);
    dt_saver_abort(NULL);
    check_example(path);
    dt_saved *back;
    assert_int_equal(dt_saver_create(path, &s, &err), DUET_OK); /* nothing declared: "{}" */
    assert_int_equal(dt_saver_commit(s, &err), DUET_OK);
    assert_int_equal(dt_saved_open(path, &back, &err), DUET_OK);
    assert_int_equal(back->n_tensors, 0);
    dt_saved_close(back);
    remove_folder(folder);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    char folder[256], path[300];
    snprintf(folder, sizeof folder, "%s", temporary_folder());
    snprintf(path, sizeof path, "%s/w.safetensors", folder);
    duet_error err = {0};
    duet_status st = DUET_MEMORY;
    long k = 0;
    while (st && ++k < 100) {
        dt_alloc_fail_at(k);
        st = write_example(path, &err);
        dt_alloc_fail_at(0);
        if (st) assert_int_equal(st, DUET_MEMORY);
        if (st) assert_int_not_equal(access(path, F_OK), 0);
    }
    assert_int_equal(st, DUET_OK);
    assert_true(k > 5);
    dt_saved *s;
    for (st = DUET_MEMORY, k = 0; st && ++k < 100;) {
        dt_alloc_fail_at(k);
        st = dt_saved_open(path, &s, &err);
        dt_alloc_fail_at(0);
        if (st) assert_int_equal(st, DUET_MEMORY);
    }
    assert_int_equal(st, DUET_OK);
    assert_true(k > 2);
    dt_saved_close(s);
    remove_folder(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_that_lie_are_refused),
        cmocka_unit_test(numbers_that_overflow_are_refused),
        cmocka_unit_test(things_that_are_no_tensors_are_refused),
        cmocka_unit_test(files_cut_short_are_refused_at_every_length),
        cmocka_unit_test(a_huge_header_is_refused_before_it_is_believed),
        cmocka_unit_test(tensors_stand_in_the_order_of_their_bytes),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
