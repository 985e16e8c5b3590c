/* Error text, the nearest name, exit codes, facts about the machine. */
#include "base/base.h"

#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

static void messages_gain_context_from_the_inside_out(void **state)
{
    (void)state;
    duet_error err = {0};
    assert_int_equal(dt_fail(&err, DUET_FORMAT, "want %d bytes", 8), DUET_FORMAT);
    dt_context(&err, "%s", "header");
    dt_context(&err, "%s", "a.safetensors");
    assert_string_equal(err.message, "a.safetensors: header: want 8 bytes");
    assert_int_equal(err.status, DUET_FORMAT);
    assert_int_equal(dt_fail(NULL, DUET_IO, "nobody listens"), DUET_IO);
    dt_context(NULL, "nobody listens");
}

static void a_message_may_quote_the_one_it_replaces(void **state)
{
    (void)state;
    duet_error err = {0};
    dt_fail(&err, DUET_IO, "inner");
    dt_fail(&err, DUET_DATA, "outer (%s)", err.message);
    assert_string_equal(err.message, "outer (inner)");
}

static void long_messages_are_cut_and_terminated(void **state)
{
    (void)state;
    char text[2000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    duet_error err;
    memset(&err, 0x7F, sizeof err);
    dt_fail(&err, DUET_IO, "%s", text);
    assert_int_equal(strlen(err.message), DUET_ERROR_BYTES - 1);
    dt_context(&err, "place");
    assert_int_equal(strlen(err.message), DUET_ERROR_BYTES - 1);
    assert_memory_equal(err.message, "place: xxx", 10);
    dt_context(&err, "%s", text);
    assert_int_equal(strlen(err.message), DUET_ERROR_BYTES - 1);
}

static void every_status_has_a_name_and_an_exit_code(void **state)
{
    (void)state;
    for (int i = DUET_OK; i <= DUET_STOPPED; i++) {
        const char *name = duet_status_name((duet_status)i);
        assert_true(name && *name && strcmp(name, "unknown"));
    }
    assert_string_equal(duet_status_name((duet_status)999), "unknown");
    assert_string_equal(duet_status_name(DUET_RECIPE), "recipe");
    assert_int_equal(duet_status_exit_code(DUET_OK), 0);
    assert_int_equal(duet_status_exit_code(DUET_ARG), 2);
    assert_int_equal(duet_status_exit_code(DUET_RECIPE), 2);
    assert_int_equal(duet_status_exit_code(DUET_DATA), 1);
    assert_int_equal(duet_status_exit_code(DUET_STOPPED), 130);
}

static void the_nearest_name_is_meant_and_noise_is_not(void **state)
{
    (void)state;
    const char *names[] = {"resnet8", "resnet20", "wrn_16_2", "cifar100", "kd", "dml"};
    const struct { const char *typed, *meant; } cases[] = {
        {"resnet2O", "resnet20"}, {"ResNet20", "resnet20"}, {"wrn-16-2", "wrn_16_2"}, {"cifra100", "cifar100"},
        {"ciafr10", "cifar100"},  {"kdd", "kd"},            {"dlm", "dml"},           {"transformer", NULL},
        {"", NULL},               {"x", NULL},              {"vgg", NULL}};
    for (size_t i = 0; i < DT_COUNT(cases); i++) {
        const char *found = dt_nearest(cases[i].typed, names, DT_COUNT(names));
        if (cases[i].meant) assert_string_equal(found ? found : "(none)", cases[i].meant);
        else assert_null(found);
    }
    char huge[5000];
    memset(huge, 'a', sizeof huge - 1);
    huge[sizeof huge - 1] = '\0';
    assert_null(dt_nearest(huge, names, DT_COUNT(names)));
}

static void keep_text(void *user, const char *text)
{
    snprintf(user, 64, "%s", text);
}

static void the_log_goes_where_the_caller_wants(void **state)
{
    (void)state;
    char heard[64] = "";
    dt_log_sink sink = {.emit = keep_text, .user = heard};
    dt_say(&sink, "%d records", 5);
    assert_string_equal(heard, "5 records");
    dt_say(NULL, "nobody listens");
    dt_say(&(dt_log_sink){0}, "nobody listens");
}

static void the_machine_has_a_core_and_a_clock(void **state)
{
    (void)state;
    dt_cpu cpu;
    dt_cpu_detect(&cpu);
    assert_true(cpu.cores >= 1);
    assert_true(strlen(cpu.model) > 0);
    assert_true(strlen(dt_isa_name(cpu.isa)) > 0);
    double before = dt_now_s();
    assert_true(dt_now_s() >= before);
    assert_true(dt_peak_rss_bytes() > 100 * 1024);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_gain_context_from_the_inside_out),
        cmocka_unit_test(a_message_may_quote_the_one_it_replaces),
        cmocka_unit_test(long_messages_are_cut_and_terminated),
        cmocka_unit_test(every_status_has_a_name_and_an_exit_code),
        cmocka_unit_test(the_nearest_name_is_meant_and_noise_is_not),
        cmocka_unit_test(the_log_goes_where_the_caller_wants),
        cmocka_unit_test(the_machine_has_a_core_and_a_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
