/* duet sample: pictures from a network that denoises, as single PNGs, as one sheet, as raw numbers.
 *
 * Files appear when all pictures are made: single ones in a folder that gets its name last, so that a folder of pictures is complete or
 * not there. */
#include "cli.h"

#include <duet/network.h>
#include <duet/picture.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const cli_option options[] = {
    {"--n", "N", "how many pictures (64)"},
    {"--steps", "S", "times at which the network is asked, 2 to the timesteps of its training (50)"},
    {"--sampler", "NAME", "ddim (the default) or ancestral"},
    {"--eta", "E", "ddim: noise on the way, from 0, none (the default), to 1, as much as ancestral with the small variance"},
    {"--variance", "NAME", "ancestral: of the noise on the way: large (the default; for steps near the timesteps) or small"},
    {"--seed", "K", "the same seed gives the same pictures, and the same noise to every network (0)"},
    {"--png", "DIR", "write 00000.png, 00001.png, ... into a new folder"},
    {"--grid", "FILE", "write one PNG with all pictures side by side"},
    {"--raw", "FILE", "write the pictures as float32 from -1 to 1, little-endian: picture, row, column, channel"},
    {"--batch", "N", "pictures computed at once; changes the speed, not the pictures"},
    {"--model", "NAME", "the model, for a file that does not say it"},
    {"--noise", "NAME", "how noise grew in training, for a file that does not say it: linear (public DDPM files) or cosine"},
    {"--timesteps", "T", "over how many steps it grew, for a file that does not say it (1000)"},
    {"--threads", "N", "cores to use (all)"},
    {0},
};

enum { MOST = 1000000, MOST_IN_A_GRID = 10000, BORDER = 2, PATH_BYTES = 4096 };

typedef struct sampling {
    const char *weights, *png, *grid, *raw;
    duet_network *network;
    duet_network_info info;
    duet_sample_options o;
    size_t n, side;
    uint8_t *pixels; /* [n, side, side, 3] */
    float *values;   /* the same; NULL unless --raw */
    char folder[PATH_BYTES]; /* where single pictures are until all are there; "" when there is none */
    cli_progress progress;
} sampling;

/* ---- Ctrl-C and SIGTERM -------------------------------------------------------------------------------------- */

static volatile sig_atomic_t asked_to_stop;

static void on_signal(int number)
{
    (void)number;
    asked_to_stop = 1;
}

static int on_progress(void *user, size_t done, size_t all)
{
    cli_progress_draw(user, done, all);
    return asked_to_stop;
}

/* ---- what was asked for -------------------------------------------------------------------------------------- */

/* One of two names; index 0 is the default. */
static bool choose(const cli_arguments *a, const char *option, const char *first, const char *second, int *out)
{
    const char *name = cli_value(a, option, first);
    *out = !strcmp(name, second);
    if (*out || !strcmp(name, first)) return true;
    cli_complain("sample: %s: found '%s'; allowed: %s or %s", option, name, first, second);
    return false;
}

static bool read_sampler(sampling *s, const cli_arguments *a)
{
    int ancestral, small;
    int64_t seed;
    if (!choose(a, "--sampler", "ddim", "ancestral", &ancestral) || !choose(a, "--variance", "large", "small", &small)) return false;
    if (!cli_real(a, "--eta", 0, 1, 0, &s->o.eta) || !cli_whole(a, "--steps", 2, 100000, DUET_SAMPLE_STEPS, &s->o.steps)) return false;
    if (!cli_whole(a, "--seed", 0, INT64_MAX, 0, &seed)) return false;
    if (ancestral && cli_given(a, "--eta")) {
        cli_complain("sample: --eta belongs to --sampler ddim; with ancestral say --variance large or small");
        return false;
    }
    if (!ancestral && cli_given(a, "--variance")) {
        cli_complain("sample: --variance belongs to --sampler ancestral; with ddim say --eta 0 to 1");
        return false;
    }
    s->o.sampler = ancestral ? DUET_SAMPLER_ANCESTRAL : DUET_SAMPLER_DDIM;
    s->o.variance = small ? DUET_VARIANCE_SMALL : DUET_VARIANCE_LARGE;
    s->o.seed = (uint64_t)seed;
    return true;
}

static bool read_request(sampling *s, const cli_arguments *a)
{
    int64_t n;
    if (!cli_whole(a, "--n", 1, MOST, 64, &n) || !read_sampler(s, a)) return false;
    s->n = (size_t)n;
    if (!s->png && !s->grid && !s->raw) {
        cli_complain("sample: say where the pictures go: --png DIR, --grid FILE or --raw FILE");
        return false;
    }
    if (s->grid && s->n > MOST_IN_A_GRID) {
        cli_complain("sample: --grid: %zu pictures; a grid holds at most %d: use --png DIR", s->n, (int)MOST_IN_A_GRID);
        return false;
    }
    return true;
}

static int open_network(sampling *s, const cli_arguments *a, duet_error *err)
{
    int64_t threads, batch, timesteps;
    if (!cli_whole(a, "--threads", 0, 4096, 0, &threads) || !cli_whole(a, "--batch", 1, 100000, 0, &batch) ||
        !cli_whole(a, "--timesteps", 2, 100000, 0, &timesteps))
        return CLI_WRONG;
    enum { GOOD = 100 };
    const size_t at_once = batch ? (size_t)batch : s->n < GOOD ? s->n : GOOD;
    const duet_network_options o = {.model = cli_value(a, "--model", NULL), .noise = cli_value(a, "--noise", NULL), .timesteps = timesteps,
                                    .threads = (int)threads, .batch = at_once};
    if (duet_network_open(s->weights, &o, &s->network, err)) return cli_fail(err);
    duet_network_describe(s->network, &s->info);
    s->side = s->info.image;
    return CLI_DONE;
}

/* ---- files --------------------------------------------------------------------------------------------------- */

static int cannot(const char *path, const char *what)
{
    cli_complain("%s: %s: %s", path, what, strerror(errno));
    return CLI_FAILED;
}

static bool is_empty_folder(const char *path)
{
    DIR *d = opendir(path);
    size_t entries = 0;
    while (d && readdir(d)) entries++;
    if (d) closedir(d);
    return d && entries <= 2; /* itself and the one above */
}

/* A new folder beside the one that is wanted; before the work, so that a wrong place is known at once. */
static int make_folder(sampling *s)
{
    size_t length = strlen(s->png);
    while (length > 1 && s->png[length - 1] == '/') length--;
    if (!access(s->png, F_OK) && !is_empty_folder(s->png)) {
        cli_complain("%s: is there, and no empty folder; pictures need a new one, so that no old ones are among them", s->png);
        return CLI_FAILED;
    }
    if (length + sizeof ".XXXXXX" > sizeof s->folder) {
        errno = ENAMETOOLONG;
        return cannot(s->png, "cannot make it");
    }
    snprintf(s->folder, sizeof s->folder, "%.*s.XXXXXX", (int)length, s->png);
    if (!mkdtemp(s->folder)) {
        s->folder[0] = '\0';
        return cannot(s->png, "cannot make it");
    }
    return CLI_DONE;
}

/* Can a file be written there? */
static int check_place(const char *file)
{
    if (!file) return CLI_DONE;
    char folder[PATH_BYTES] = ".";
    const char *slash = strrchr(file, '/');
    if (slash) snprintf(folder, sizeof folder, "%.*s", slash == file ? 1 : (int)(slash - file), file);
    return access(folder, W_OK) ? cannot(file, "cannot be written") : CLI_DONE;
}

static void name_picture(const sampling *s, size_t i, char path[PATH_BYTES + 32])
{
    snprintf(path, PATH_BYTES + 32, "%s/%05zu.png", s->folder, i);
}

static int write_pictures(sampling *s, duet_error *err)
{
    char path[PATH_BYTES + 32];
    for (size_t i = 0; i < s->n; i++) {
        name_picture(s, i, path);
        if (duet_picture_write(path, s->pixels + i * s->side * s->side * 3, s->side, s->side, err)) return cli_fail(err);
    }
    if (chmod(s->folder, 0755) || rename(s->folder, s->png)) return cannot(s->png, "cannot make it");
    s->folder[0] = '\0';
    return CLI_DONE;
}

/* What an interrupted or failed call leaves goes away. */
static void remove_folder(const sampling *s)
{
    char path[PATH_BYTES + 32];
    if (!s->folder[0]) return;
    for (size_t i = 0; i < s->n; i++) {
        name_picture(s, i, path);
        unlink(path);
    }
    rmdir(s->folder);
}

/* As square as can be, with a white border around every picture. */
static int write_grid(const sampling *s, duet_error *err)
{
    size_t columns = 1;
    while (columns * columns < s->n) columns++;
    const size_t rows = (s->n + columns - 1) / columns, cell = s->side + BORDER, row = 3 * s->side;
    const size_t width = columns * cell + BORDER, height = rows * cell + BORDER;
    uint8_t *sheet = malloc(3 * width * height);
    if (!sheet) {
        cli_complain("not enough memory for a grid of %zu pictures", s->n);
        return CLI_FAILED;
    }
    memset(sheet, 255, 3 * width * height);
    for (size_t i = 0; i < s->n; i++)
        for (size_t y = 0; y < s->side; y++) {
            const size_t top = i / columns * cell + BORDER + y, left = i % columns * cell + BORDER;
            memcpy(sheet + 3 * (top * width + left), s->pixels + (i * s->side + y) * row, row);
        }
    const duet_status st = duet_picture_write(s->grid, sheet, height, width, err);
    free(sheet);
    return st ? cli_fail(err) : CLI_DONE;
}

static int write_raw(const sampling *s)
{
    char path[PATH_BYTES];
    const size_t count = s->n * s->side * s->side * 3;
    if ((size_t)snprintf(path, sizeof path, "%s.tmp", s->raw) >= sizeof path) {
        errno = ENAMETOOLONG;
        return cannot(s->raw, "cannot be written");
    }
    FILE *f = fopen(path, "wb");
    bool ok = f && fwrite(s->values, sizeof *s->values, count, f) == count;
    if (f && fclose(f)) ok = false;
    if (ok && !rename(path, s->raw)) return CLI_DONE;
    const int code = cannot(s->raw, "cannot be written");
    if (f) remove(path);
    return code;
}

/* ---- the command --------------------------------------------------------------------------------------------- */

static int make(sampling *s, duet_error *err)
{
    const size_t count = s->n * s->side * s->side * 3;
    s->pixels = malloc(count);
    s->values = s->raw ? malloc(count * sizeof *s->values) : NULL;
    if (!s->pixels || (s->raw && !s->values)) {
        cli_complain("not enough memory for %zu pictures of %zux%zu", s->n, s->side, s->side);
        return CLI_FAILED;
    }
    const struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    s->progress = cli_progress_begin("sampling");
    s->o.progress = on_progress;
    s->o.user = &s->progress;
    const duet_status st = duet_network_sample(s->network, &s->o, s->n, s->pixels, s->values, err);
    cli_progress_end(&s->progress);
    return st ? cli_fail(err) : CLI_DONE;
}

static void print_summary(const sampling *s)
{
    const char *bold = cli_on(stdout, CLI_BOLD), *off = cli_off(stdout);
    char n[32], how[48];
    if (s->o.sampler == DUET_SAMPLER_DDIM) snprintf(how, sizeof how, "ddim, eta %g", s->o.eta);
    else snprintf(how, sizeof how, "ancestral, %s variance", s->o.variance == DUET_VARIANCE_SMALL ? "small" : "large");
    printf("%s%s picture%s%s of %zux%zu from %s (%s), %lld steps, %s, seed %llu, in %.1f s:", bold, cli_thousands(s->n, n), s->n == 1 ? "" : "s", off,
           s->side, s->side, s->weights, s->info.model, (long long)s->o.steps, how, (unsigned long long)s->o.seed, s->progress.seconds);
    const char *const places[] = {s->png, s->grid, s->raw};
    const char *comma = " ";
    for (size_t i = 0; i < CLI_COUNT(places); i++) {
        if (!places[i]) continue;
        fputs(comma, stdout);
        cli_print_word(stdout, places[i]);
        comma = ", ";
    }
    printf("\n");
}

static int run(const cli_arguments *a)
{
    sampling s = {.weights = a->positional[0], .png = cli_value(a, "--png", NULL), .grid = cli_value(a, "--grid", NULL), .raw = cli_value(a, "--raw", NULL)};
    duet_error err = {0};
    if (!read_request(&s, a)) return CLI_WRONG;
    int code = open_network(&s, a, &err);
    if (!code) code = check_place(s.grid);
    if (!code) code = check_place(s.raw);
    if (!code && s.png) code = make_folder(&s);
    if (!code) code = make(&s, &err);
    if (!code && s.raw) code = write_raw(&s);
    if (!code && s.grid) code = write_grid(&s, &err);
    if (!code && s.png) code = write_pictures(&s, &err);
    if (!code) print_summary(&s);
    remove_folder(&s);
    free(s.pixels);
    free(s.values);
    duet_network_close(s.network);
    return code;
}

const cli_command cli_sample = {
    .name = "sample",
    .summary = "make pictures with a network that denoises",
    .usage = "sample WEIGHTS [--n N] [--steps S] [--sampler ddim|ancestral] [--seed K] (--png DIR | --grid FILE)",
    .text = "Starts from noise and removes it in steps, with a network trained for task denoise. Averaged weights (NAME.ema.safetensors) give the better "
            "pictures where training kept them.\n\n"
            "ddim is the sampler for few steps and adds no noise on the way; ancestral is that of Ho, Jain and Abbeel, made for as many steps as there "
            "are timesteps. Picture number i of a seed starts from the same noise with every network and at any --batch, so that sheets of two networks "
            "can be laid side by side.\n\n"
            "Public UNet2DModel files in safetensors can be sampled from as well. They do not say what they are: --model unet_c128 --noise linear is "
            "Ho, Jain and Abbeel's network for CIFAR-10.\n\n"
            "Folders of PNGs are what `duet frechet` and public tools for FID read. Nothing is written before all pictures are made.",
    .example = "duet sample runs/diffusion/student.ema.safetensors --grid sheet.png\n"
               "duet sample student.ema.safetensors --n 2000 --steps 100 --sampler ancestral --variance small --seed 1 --png samples",
    .options = options,
    .least = 1,
    .most = 1,
    .run = run,
};
