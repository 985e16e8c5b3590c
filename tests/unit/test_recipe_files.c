/* Recipes in files: `extends`, what can go wrong with it, and every recipe of recipes/. */
#include "recipe/recipe.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* A folder of its own for each test, removed with what make_file put there. */
typedef struct folder {
    char path[64];
    char files[16][128];
    int n_files;
} folder;

static int make_folder(void **state)
{
    static folder f;
    f = (folder){.path = "recipe-test-XXXXXX"};
    if (!mkdtemp(f.path)) return -1;
    *state = &f;
    return 0;
}

static int remove_folder(void **state)
{
    folder *f = *state;
    for (int i = f->n_files; i-- > 0;) remove(f->files[i]);
    return rmdir(f->path);
}

static const char *make_file(folder *f, const char *name, const char *text)
{
    char path[sizeof f->files[0]];
    snprintf(path, sizeof path, "%s/%s", f->path, name);
    duet_error err = {0};
    if (dt_file_replace(path, text, strlen(text), &err)) fail_msg("%s", err.message);
    return memcpy(f->files[f->n_files++], path, sizeof path);
}

static dt_recipe *load(const char *path)
{
    duet_error err = {0};
    dt_recipe *r = NULL;
    if (dt_recipe_load(path, NULL, 0, &r, &err)) fail_msg("%s", err.message);
    return r;
}

/* Loads what must fail; the message must start with "folder/<start>" and contain `part`. */
static void load_fails(const folder *f, const char *path, const char *start, const char *part)
{
    duet_error err = {0};
    dt_recipe *r = NULL;
    char want[256];
    snprintf(want, sizeof want, "%s/%s", f->path, start);
    duet_status status = dt_recipe_load(path, NULL, 0, &r, &err);
    if (status != DUET_RECIPE || strncmp(err.message, want, strlen(want)) != 0 || !strstr(err.message, part))
        fail_msg("want status recipe and `%s ... %s`, got %s and `%s`", want, part, duet_status_name(status),
                 err.message);
    assert_null(r);
}

#define BASE                                                                                                           \
    "data: {name: shapes, workers: 3}\n"                                                                               \
    "networks: [{name: a, model: resnet8}, {name: b, model: resnet14}]\n"                                              \
    "method: {name: dml, peers: sum, temperature: 2}\n"                                                                \
    "train: {epochs: 9, lr: 0.1, schedule: {name: cosine, gamma: 0.5}}\n"

static void maps_are_merged_deep_and_lists_replaced(void **state)
{
    folder *f = *state;
    make_file(f, "base.yaml", BASE);
    dt_recipe *r =
        load(make_file(f, "r.yaml",
                       "extends: base.yaml\n"
                       "networks: [{name: x, model: resnet20}, {name: y, model: resnet20}, {name: z, model: resnet8}]\n"
                       "method: {temperature: 3}\n"
                       "train: {lr: 0.2, schedule: {warmup_epochs: 1}}\n"));
    assert_int_equal(r->data.workers, 3);
    assert_int_equal(r->n_networks, 3);
    assert_string_equal(r->networks[2].name, "z");
    assert_int_equal(r->train.epochs, 9);
    assert_true(r->train.lr == 0.2);
    assert_int_equal(r->train.schedule.name, DT_SCHEDULE_COSINE);
    assert_true(r->train.schedule.gamma == 0.5);
    assert_true(r->train.schedule.warmup_epochs == 1);
    dt_text text = {0};
    dt_recipe_write(r, &text);
    assert_non_null(strstr(text.bytes, "peers: sum"));
    assert_non_null(strstr(text.bytes, "temperature: 3"));
    assert_null(strstr(text.bytes, "extends"));
    dt_text_release(&text);
    dt_recipe_destroy(r);
}

static void another_method_starts_from_its_own_defaults(void **state)
{
    folder *f = *state;
    make_file(f, "base.yaml", BASE);
    dt_recipe *r = load(make_file(f, "r.yaml", "extends: base.yaml\nmethod: {name: kdcl}\n"));
    assert_string_equal(r->method->name, "kdcl");
    assert_int_equal(r->data.views, 1);
    dt_recipe_destroy(r);
}

static void names_are_relative_to_the_file_that_says_them(void **state)
{
    folder *f = *state;
    char inner[96];
    snprintf(inner, sizeof inner, "%s/inner", f->path);
    assert_int_equal(mkdir(inner, 0777), 0);
    snprintf(f->files[f->n_files++], sizeof f->files[0], "%s", inner); /* removed after the files in it */
    make_file(f, "base.yaml", BASE);
    make_file(f, "inner/middle.yaml", "extends: ../base.yaml\ntrain: {epochs: 4}\n");
    dt_recipe *r = load(make_file(f, "r.yaml", "extends: inner/middle.yaml\n"));
    assert_int_equal(r->train.epochs, 4);
    assert_int_equal(r->data.workers, 3);
    dt_recipe_destroy(r);
}

static void a_mistake_is_placed_in_the_file_that_makes_it(void **state)
{
    folder *f = *state;
    make_file(f, "base.yaml", BASE "adm: {alpha: much}\n");
    load_fails(f, make_file(f, "r.yaml", "extends: base.yaml\ntrain: {epochs: 3}\n"),
               "base.yaml:5:14: adm.alpha: ", "found much");
    make_file(f, "good.yaml", BASE);
    load_fails(f, make_file(f, "s.yaml", "extends: good.yaml\ntrain: {epochs: none}\n"),
               "s.yaml:2:17: train.epochs: ", "found none");
}

static void a_circle_is_refused(void **state)
{
    folder *f = *state;
    make_file(f, "a.yaml", "extends: b.yaml\n");
    load_fails(f, make_file(f, "b.yaml", "extends: ./a.yaml\n"), "./a.yaml:1:10: extends: ", "circle");
    load_fails(f, make_file(f, "c.yaml", "train: {epochs: 3}\nextends: c.yaml\n"), "c.yaml:2:10: extends: ", "circle");
}

static void a_chain_without_end_is_refused(void **state)
{
    folder *f = *state;
    for (int i = 0; i < 10; i++) {
        char name[32], text[48];
        snprintf(name, sizeof name, "%d.yaml", i);
        snprintf(text, sizeof text, "extends: %d.yaml\n", i + 1);
        make_file(f, name, text);
    }
    load_fails(f, f->files[0], "7.yaml:1:10: extends: ", "more than 8");
}

static void a_base_that_is_not_there_is_named(void **state)
{
    folder *f = *state;
    load_fails(f, make_file(f, "a.yaml", "extends: nope.yaml\n"), "a.yaml:1:10: extends: ", "No such file");
    load_fails(f, make_file(f, "b.yaml", "extends: [a.yaml, b.yaml]\n"), "b.yaml:1:10: extends: ", "found a list");
    load_fails(f, make_file(f, "c.yaml", "extends:\n"), "c.yaml:1:1: extends: ", "found nothing");
    load_fails(f, make_file(f, "d.yaml", "extends: .\n"), "", "folder");
}

static void a_recipe_that_is_not_there_is_a_wrong_command(void **state)
{
    folder *f = *state;
    char path[128];
    snprintf(path, sizeof path, "%s/nope.yaml", f->path);
    load_fails(f, path, "nope.yaml: ", "No such file");
}

/* ---- recipes/ -------------------------------------------------------------------------------------------------- */

static int n_seen;

/* Reads a recipe, writes it, reads that: the same. */
static void round_trip(const char *path)
{
    dt_recipe *r = load(path), *again = NULL;
    dt_text first = {0}, second = {0};
    duet_error err = {0};
    dt_recipe_write(r, &first);
    if (dt_recipe_parse(path, first.bytes, first.length, NULL, 0, &again, &err))
        fail_msg("%s, written: %s", path, err.message);
    dt_recipe_write(again, &second);
    if (strcmp(first.bytes, second.bytes) != 0) fail_msg("%s changes when written and read again", path);
    dt_text_release(&first);
    dt_text_release(&second);
    dt_recipe_destroy(r);
    dt_recipe_destroy(again);
    n_seen++;
}

static void walk(const char *path)
{
    DIR *d = opendir(path);
    if (!d) fail_msg("%s cannot be opened", path);
    for (struct dirent *e; (e = readdir(d));) {
        char inner[1024];
        struct stat facts;
        snprintf(inner, sizeof inner, "%s/%s", path, e->d_name);
        size_t n = strlen(e->d_name);
        if (e->d_name[0] == '.' || stat(inner, &facts)) continue;
        if (S_ISDIR(facts.st_mode)) walk(inner);
        /* common.yaml is there to be extended and has no networks. */
        else if (n > 5 && strcmp(e->d_name + n - 5, ".yaml") == 0 && strcmp(e->d_name, "common.yaml") != 0)
            round_trip(inner);
    }
    closedir(d);
}

static void every_recipe_we_ship_is_good(void **state)
{
    (void)state;
    n_seen = 0;
    walk(DUET_SOURCE_DIR "/recipes");
    assert_true(n_seen >= 36 + 2); /* six pairs, three methods, with and without adm; the demo's two */
}

static void the_pairs_differ_only_as_they_say(void **state)
{
    (void)state;
    dt_recipe *r = load(DUET_SOURCE_DIR "/recipes/cifar100/resnet56-resnet20/kdcl-adm.yaml");
    assert_string_equal(r->networks[0].model, "resnet56");
    assert_string_equal(r->networks[1].model, "resnet20");
    assert_string_equal(r->method->name, "kdcl");
    assert_int_equal(r->data.views, 1);
    assert_true(r->adm.enabled);
    assert_int_equal(r->train.epochs, 240);
    assert_true(r->train.lr == 0.05);
    assert_int_equal(r->train.schedule.milestones.at[2], 210);
    dt_recipe_destroy(r);
    r = load(DUET_SOURCE_DIR "/recipes/demo-alone.yaml");
    assert_string_equal(r->method->name, "vanilla");
    assert_false(r->adm.enabled);
    assert_string_equal(r->data.name, "shapes");
    dt_recipe_destroy(r);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(maps_are_merged_deep_and_lists_replaced),
        IN_FOLDER(another_method_starts_from_its_own_defaults),
        IN_FOLDER(names_are_relative_to_the_file_that_says_them),
        IN_FOLDER(a_mistake_is_placed_in_the_file_that_makes_it),
        IN_FOLDER(a_circle_is_refused),
        IN_FOLDER(a_chain_without_end_is_refused),
        IN_FOLDER(a_base_that_is_not_there_is_named),
        IN_FOLDER(a_recipe_that_is_not_there_is_a_wrong_command),
        cmocka_unit_test(every_recipe_we_ship_is_good),
        cmocka_unit_test(the_pairs_differ_only_as_they_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
