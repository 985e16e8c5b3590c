/* duet data check, duet data pack: every picture of a data set decoded once, and files of pictures packed into shards. */
#include "cli.h"

#include <dirent.h>
#include <duet/data.h>
#include <duet/recipe.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH_BYTES = 4096 };

/* What is to be looked at: a recipe's data, or a folder. */
typedef struct place {
    duet_recipe *recipe; /* NULL: none */
    const char *name, *path;
} place;

static bool ends_in(const char *text, const char *ending)
{
    const size_t n = strlen(text), e = strlen(ending);
    return n >= e && !strcmp(text + n - e, ending);
}

/* Has the folder a file *.tar? */
static bool has_shards(const char *path)
{
    DIR *folder = opendir(path);
    bool any = false;
    for (const struct dirent *e; folder && !any && (e = readdir(folder));) any = ends_in(e->d_name, ".tar");
    if (folder) closedir(folder);
    return any;
}

/* Shards are told from folders of pictures by what is there. */
static const char *kind_of(const char *path)
{
    char inner[PATH_BYTES];
    struct stat facts;
    snprintf(inner, sizeof inner, "%s/train", path);
    if (stat(path, &facts) != 0) return strstr(path, ".tar") ? "tar" : "folder";
    return has_shards(path) || has_shards(inner) ? "tar" : "folder";
}

static int find_place(const cli_arguments *a, place *out)
{
    const char *given = a->positional[1];
    duet_error err;
    *out = (place){.name = kind_of(given), .path = given};
    if (!ends_in(given, ".yaml") && !ends_in(given, ".yml")) return CLI_DONE;
    if (duet_recipe_load(given, NULL, 0, &out->recipe, &err)) return cli_fail(&err);
    out->name = duet_recipe_data_name(out->recipe);
    out->path = cli_data_path(out->name, cli_value(a, "--path", duet_recipe_data_path(out->recipe)));
    return CLI_DONE;
}

/* ---- check ----------------------------------------------------------------------------------------------------- */

/* What was found, as it is heard. */
typedef struct hearing {
    cli_progress progress;
    bool json;
    size_t said, bad;
    char *list[3]; /* JSON arrays under way: left out when the set was opened, broken, twins */
    size_t bytes[3];
} hearing;

/* Appends a piece to a JSON array that is written at the end. */
static void keep(hearing *h, int which, const char *a, const char *b)
{
    FILE *f;
    char *piece = NULL;
    size_t n = 0;
    if (!(f = open_memstream(&piece, &n))) return;
    if (b) fputc('[', f);
    cli_json_string(f, a);
    if (b) {
        fputs(", ", f);
        cli_json_string(f, b);
        fputc(']', f);
    }
    fclose(f);
    char *longer = realloc(h->list[which], h->bytes[which] + n + 3);
    if (longer) {
        h->list[which] = longer;
        h->bytes[which] += (size_t)sprintf(longer + h->bytes[which], "%s%s", h->bytes[which] ? ", " : "", piece);
    }
    free(piece);
}

/* While the set is opened: files that are left out, and facts about the whole. */
static void on_log(void *user, const char *text)
{
    hearing *h = user;
    const char *left_out = strstr(text, "left out: ");
    if (!left_out) return;
    h->bad++;
    if (h->json) keep(h, 0, left_out + strlen("left out: "), NULL);
    else printf("%sbroken%s  %s\n", cli_on(stdout, CLI_BAD), cli_off(stdout), left_out + strlen("left out: "));
}

static void on_broken(void *user, const char *message)
{
    hearing *h = user;
    h->bad++;
    if (h->json) keep(h, 1, message, NULL);
    else printf("%sbroken%s  %s\n", cli_on(stdout, CLI_BAD), cli_off(stdout), message);
}

static void on_twin(void *user, const char *test, const char *train)
{
    hearing *h = user;
    h->bad++;
    if (h->json) keep(h, 2, test, train);
    else printf("%stwins%s   %s has the pixels of %s\n", cli_on(stdout, CLI_BAD), cli_off(stdout), test, train);
}

static int on_progress(void *user, size_t done, size_t all)
{
    cli_progress_draw(&((hearing *)user)->progress, done, all);
    return 0;
}

static void print_json(const hearing *h, const duet_data_info *info, const duet_data_report *r, const size_t *per_class)
{
    static const char *const lists[3] = {"left_out", "broken", "twins"};
    printf("{\"data\": ");
    cli_json_string(stdout, info->name);
    printf(", \"train\": %zu, \"test\": %zu, \"bytes\": %llu", r->pictures[0], r->pictures[1], (unsigned long long)r->bytes);
    printf(", \"jpeg\": %zu, \"grey\": %zu, \"palette\": %zu, \"cmyk\": %zu, \"16_bit\": %zu, \"turned\": %zu", r->jpegs, r->greys, r->palettes, r->cmyks,
           r->deep, r->turned);
    printf(", \"smallest\": [%zu, %zu], \"largest\": [%zu, %zu]", r->least[0], r->least[1], r->most[0], r->most[1]);
    printf(", \"mean\": [%.6g, %.6g, %.6g], \"std\": [%.6g, %.6g, %.6g], \"classes\": [", r->mean[0], r->mean[1], r->mean[2], r->std[0], r->std[1],
           r->std[2]);
    for (size_t c = 0; c < info->classes; c++) {
        printf("%s{\"class\": %zu", c ? ", " : "", c);
        if (info->class_names) {
            printf(", \"name\": ");
            cli_json_string(stdout, info->class_names[c]);
        }
        printf(", \"train\": %zu, \"test\": %zu}", per_class[c], per_class[info->classes + c]);
    }
    printf("]");
    for (int i = 0; i < 3; i++) printf(", \"%s\": [%s]", lists[i], h->list[i] ? h->list[i] : "");
    printf("}\n");
}

/* Few classes by name, many by the least and the most. */
static void print_classes(const duet_data_info *info, const size_t *per_class)
{
    enum { MOST = 40 };
    size_t least = 0, most = 0;
    for (size_t c = 1; c < info->classes; c++) {
        if (per_class[c] < per_class[least]) least = c;
        if (per_class[c] > per_class[most]) most = c;
    }
    cli_heading("\nClasses                      train       test");
    for (size_t c = 0; c < info->classes; c++) {
        char number[24];
        if (info->classes > MOST && c != least && c != most) continue;
        snprintf(number, sizeof number, "%zu", c);
        printf("  %-20s %12zu %10zu%s\n", info->class_names ? info->class_names[c] : number, per_class[c], per_class[info->classes + c],
               info->classes > MOST ? c == least ? "  the fewest" : "  the most" : "");
    }
}

static void print_table(const hearing *h, const duet_data_info *info, const duet_data_report *r, const size_t *per_class)
{
    const size_t all = r->pictures[0] + r->pictures[1];
    char train[32], test[32];
    printf("%s%s%s%s\n", h->bad ? "\n" : "", cli_on(stdout, CLI_BOLD), info->name, cli_off(stdout));
    printf("  %s training and %s test pictures that can be read, %zu classes\n", cli_thousands(r->pictures[0], train), cli_thousands(r->pictures[1], test),
           info->classes);
    if (r->bytes) {
        printf("  %zu JPEG, %zu PNG", r->jpegs, all - r->jpegs);
        const struct {
            size_t n;
            const char *what;
        } kinds[] = {{r->greys, "grey"}, {r->palettes, "with a palette"}, {r->cmyks, "CMYK"}, {r->deep, "of 16 bits"}, {r->turned, "turned by EXIF"}};
        for (size_t i = 0; i < CLI_COUNT(kinds); i++)
            if (kinds[i].n) printf("; %zu %s", kinds[i].n, kinds[i].what);
        printf("; %.1f MB\n", (double)r->bytes / 1e6);
    }
    printf("  from %zux%zu to %zux%zu pixels (height x width)\n", r->least[0], r->least[1], r->most[0], r->most[1]);
    printf("  mean %.4f %.4f %.4f, std %.4f %.4f %.4f\n", r->mean[0], r->mean[1], r->mean[2], r->std[0], r->std[1], r->std[2]);
    print_classes(info, per_class);
    if (r->twins)
        printf("\n%zu test picture%s too: what is measured on them is flattering.\n", r->twins, r->twins == 1 ? " is a training picture" : "s are training pictures");
    if (!h->bad) printf("\n%sNothing is wrong.%s\n", cli_on(stdout, CLI_GOOD), cli_off(stdout));
}

static int check(const cli_arguments *a, const place *p, hearing *h, duet_data **data)
{
    duet_error err;
    duet_data_info info;
    duet_data_report report;
    int64_t threads;
    const duet_log log = {.emit = on_log, .user = h};
    const duet_data_options options = {.skip = 1, .say_all = 1, .log = &log};
    if (!cli_whole(a, "--threads", 0, 256, 0, &threads)) return CLI_WRONG;
    if (duet_data_open_as(p->name, p->path, &options, data, &err)) return cli_fail(&err);
    duet_data_describe(*data, &info);
    size_t *per_class = calloc(2 * info.classes, sizeof *per_class);
    if (!per_class) {
        cli_complain("not enough memory for %zu classes", info.classes);
        return CLI_FAILED;
    }
    const duet_data_check_options o = {.threads = (int)threads, .broken = on_broken, .twin = on_twin, .progress = on_progress, .user = h};
    h->progress = cli_progress_begin("pictures");
    const duet_status st = duet_data_check(*data, &o, per_class, &report, &err);
    cli_progress_end(&h->progress);
    int code = st ? cli_fail(&err) : h->bad ? CLI_FAILED : CLI_DONE;
    if (!st && h->json) print_json(h, &info, &report, per_class);
    else if (!st) print_table(h, &info, &report, per_class);
    free(per_class);
    return code;
}

int cli_data_check(const cli_arguments *a)
{
    place p;
    hearing h = {.json = cli_given(a, "--json")};
    duet_data *data = NULL;
    if (a->n_positional != 2) {
        cli_complain("data check: name one folder, or one recipe: duet data check DIR");
        return CLI_WRONG;
    }
    int code = find_place(a, &p);
    if (!code) code = check(a, &p, &h, &data);
    for (int i = 0; i < 3; i++) free(h.list[i]);
    duet_data_close(data);
    duet_recipe_destroy(p.recipe);
    return code;
}

/* ---- pack ------------------------------------------------------------------------------------------------------ */

static void on_pack_log(void *user, const char *text)
{
    (void)user;
    cli_print_folded(stdout, 0, text);
}

static int on_pack_progress(void *user, size_t done, size_t all)
{
    cli_progress_draw(user, done, all);
    return 0;
}

static int pack(const cli_arguments *a, const place *p, duet_data **data)
{
    duet_error err;
    int64_t megabytes;
    size_t shards, pictures;
    char text[32];
    const duet_log log = {.emit = on_pack_log};
    const int skip = cli_given(a, "--skip");
    const duet_data_options options = {.skip = skip, .say_all = 1, .log = &log};
    if (!cli_whole(a, "--shard", 1, 1000000, 100, &megabytes)) return CLI_WRONG;
    if (duet_data_open_as(p->name, p->path, &options, data, &err)) return cli_fail(&err);
    cli_progress progress = cli_progress_begin("pictures");
    const duet_data_pack_options o = {.shard_bytes = (uint64_t)megabytes * 1000000, .skip = skip, .log = &log, .progress = on_pack_progress, .user = &progress};
    const duet_status st = duet_data_pack(*data, a->positional[2], &o, &shards, &pictures, &err);
    cli_progress_end(&progress);
    if (st) return cli_fail(&err);
    printf("%s pictures in %zu shard%s\n", cli_thousands(pictures, text), shards, shards == 1 ? "" : "s");
    printf("Next: data: {name: tar, path: ");
    cli_print_word(stdout, a->positional[2]);
    printf("}\n");
    return CLI_DONE;
}

int cli_data_pack(const cli_arguments *a)
{
    place p;
    duet_data *data = NULL;
    if (a->n_positional != 3) {
        cli_complain("data pack: name a folder of pictures and a folder for shards: duet data pack DIR OUT");
        return CLI_WRONG;
    }
    int code = find_place(a, &p);
    if (!code) code = pack(a, &p, &data);
    duet_data_close(data);
    duet_recipe_destroy(p.recipe);
    return code;
}
