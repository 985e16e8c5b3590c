/* JSON and CSV text: escapes, bytes that are not UTF-8, numbers that read back to the same bits, in every locale. */
#include "format/format.h"

#include <setjmp.h>
#include <cmocka.h>
#include <float.h>
#include <jansson.h>
#include <locale.h>
#include <math.h>
#include <string.h>

static void strings_are_escaped_and_read_back(void **state)
{
    (void)state;
    const char *cases[][2] = {
        {"plain", "\"plain\""},
        {"", "\"\""},
        {"a\"b\\c\n\t\x01", "\"a\\\"b\\\\c\\n\\t\\u0001\""},
        {"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", "\"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\""}, /* 2, 3 and 4 bytes */
        {"a\xFFz", "\"a\xEF\xBF\xBDz\""},                                                    /* never UTF-8 */
        {"\xC3", "\"\xEF\xBF\xBD\""},                                                         /* cut short */
        {"\xC0\xAF", "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},                                         /* overlong '/' */
        {"\xED\xA0\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},                         /* a surrogate */
        {"\xF4\x90\x80\x80", "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""},         /* past U+10FFFF */
    };
    for (size_t i = 0; i < DT_COUNT(cases); i++) {
        dt_text t = {0};
        dt_json_string(&t, cases[i][0]);
        assert_string_equal(t.bytes, cases[i][1]);
        json_t *back = json_loads(t.bytes, JSON_DECODE_ANY, NULL);
        assert_non_null(back);
        json_decref(back);
        dt_text_release(&t);
    }
}

static void check_number(double value)
{
    dt_text t = {0};
    dt_json_number(&t, value);
    assert_null(strchr(t.bytes, ','));
    json_t *back = json_loads(t.bytes, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL);
    assert_non_null(back);
    double read = json_real_value(back);
    assert_memory_equal(&read, &value, sizeof value);
    json_decref(back);
    dt_text_release(&t);
}

static void numbers_read_back_to_the_same_bits(void **state)
{
    (void)state;
    const double cases[] = {0, -0.0, 1, 0.1, 1.0 / 3, 5e-324, DBL_MIN, DBL_MAX, -1e300, 123456789, 0.30000000000000004, 1e22};
    for (size_t i = 0; i < DT_COUNT(cases); i++) check_number(cases[i]);
    dt_rng r = dt_rng_make(1, DT_PURPOSE_TEST, 0, 0);
    for (int i = 0; i < 1000; i++) {
        uint64_t bits = (uint64_t)dt_rng_u32(&r) << 32 | dt_rng_u32(&r);
        double value;
        memcpy(&value, &bits, sizeof value);
        if (isfinite(value)) check_number(value);
    }
}

static void numbers_are_short_and_never_not_a_number(void **state)
{
    (void)state;
    const struct { double value; const char *text; } cases[] = {
        {0.05, "0.05"}, {3, "3"}, {-2.5, "-2.5"}, {(double)NAN, "null"}, {(double)INFINITY, "null"}, {(double)-INFINITY, "null"}};
    for (size_t i = 0; i < DT_COUNT(cases); i++) {
        dt_text t = {0};
        dt_json_number(&t, cases[i].value);
        assert_string_equal(t.bytes, cases[i].text);
        dt_text_release(&t);
    }
}

static void the_locale_changes_nothing(void **state)
{
    (void)state;
    if (!setlocale(LC_ALL, "de_DE.UTF-8") && !setlocale(LC_ALL, "fr_FR.UTF-8")) skip(); /* none with a decimal comma here */
    dt_text t = {0};
    dt_json_number(&t, 2.5);
    setlocale(LC_ALL, "C");
    assert_string_equal(t.bytes, "2.5");
    dt_text_release(&t);
}

static void csv_fields_are_quoted_where_needed(void **state)
{
    (void)state;
    const char *cases[][2] = {{"plain", "plain"}, {"a,b", "\"a,b\""}, {"say \"hi\"", "\"say \"\"hi\"\"\""},
                              {"two\nlines", "\"two\nlines\""}, {"", ""}};
    for (size_t i = 0; i < DT_COUNT(cases); i++) {
        dt_text t = {0};
        dt_csv_field(&t, cases[i][0]);
        assert_string_equal(t.bytes ? t.bytes : "", cases[i][1]);
        dt_text_release(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_escaped_and_read_back),   cmocka_unit_test(numbers_read_back_to_the_same_bits),
        cmocka_unit_test(numbers_are_short_and_never_not_a_number), cmocka_unit_test(the_locale_changes_nothing),
        cmocka_unit_test(csv_fields_are_quoted_where_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
