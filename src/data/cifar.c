/* CIFAR-10 and CIFAR-100 in the binary layout of their authors (https://www.cs.toronto.edu/~kriz/cifar.html), from
 * unpacked files or straight from the published archive.
 *
 * A record is the labels, one byte each, then 32x32 pixels as three planes, red, green, blue:
 *
 *     CIFAR-10    label        | 1024 red | 1024 green | 1024 blue    3,073 bytes
 *     CIFAR-100   coarse fine  | 1024 red | 1024 green | 1024 blue    3,074 bytes; the fine label is the class
 *
 * Checked when opened: every file is there, is a whole number of records, not more than the official number, and
 * every label is in range. Fewer records than the official number are accepted (a subset for trying things) and
 * said. The SHA-256 of every file is compared with the official one; a difference is said, not refused, for pixels
 * may have been changed on purpose.
 *
 * Files stay mapped, so a record's pixels are read when they are needed; members of an archive lie in memory. */
#include "data/data_impl.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

enum { SIDE = 32, PLANE = SIDE * SIDE, MAX_FILES = 6, MAX_LABELS = 2 };

typedef struct official_file {
    const char *name, *sha256;
    size_t records;
} official_file;

/* What is true of one of the two sets. */
typedef struct cifar_set {
    const char *title, *folder, *archive, *archive_sha256; /* folder: the one inside the archive */
    size_t label_bytes;                                    /* the last one is the class */
    size_t label_end[MAX_LABELS];                          /* labels are 0..end-1 */
    size_t n_files;
    official_file file[MAX_FILES]; /* training files, then the one test file */
    float mean[3], std[3];
    const char *const *class_names;
} cifar_set;

typedef struct part {
    const uint8_t *bytes;
    size_t records;
    dt_view view; /* of an unpacked file */
} part;

typedef struct cifar {
    dt_source source; /* first: a cifar is a dt_source */
    const cifar_set *set;
    part parts[MAX_FILES];
    dt_member members[MAX_FILES]; /* of an archive */
} cifar;

/* ---- reading a record ---------------------------------------------------------------------------------------- */

static size_t record_bytes(const cifar_set *set)
{
    return set->label_bytes + 3 * PLANE;
}

static const uint8_t *find_record(const cifar *c, dt_split split, size_t index)
{
    const part *p = split == DT_SPLIT_TRAIN ? c->parts : &c->parts[c->set->n_files - 1];
    for (; index >= p->records; p++) index -= p->records;
    return p->bytes + index * record_bytes(c->set);
}

static int32_t record_label(const dt_source *source, dt_split split, size_t index)
{
    const cifar *c = (const cifar *)source;
    return find_record(c, split, index)[c->set->label_bytes - 1];
}

static duet_status read_record(const dt_source *source, dt_split split, size_t index, dt_record *out, duet_error *err)
{
    const cifar *c = (const cifar *)source;
    (void)err; /* labels were checked when the set was opened; any byte is a pixel */
    const uint8_t *record = find_record(c, split, index);
    const uint8_t *red = record + c->set->label_bytes, *green = red + PLANE, *blue = green + PLANE;
    out->label = record[c->set->label_bytes - 1];
    out->height = out->width = SIDE;
    for (size_t i = 0; i < PLANE; i++) {
        out->pixels[3 * i] = red[i];
        out->pixels[3 * i + 1] = green[i];
        out->pixels[3 * i + 2] = blue[i];
    }
    return DUET_OK;
}

static void close_cifar(dt_source *source)
{
    cifar *c = (cifar *)source;
    for (size_t i = 0; i < MAX_FILES; i++) dt_view_close(&c->parts[i].view);
    dt_members_release(c->members, MAX_FILES);
    dt_free(c);
}

/* ---- checks -------------------------------------------------------------------------------------------------- */

static duet_status check_size(const cifar_set *set, const official_file *f, size_t n, duet_error *err)
{
    size_t record = record_bytes(set), other = 3 * PLANE + (set->label_bytes == 1 ? 2 : 1);
    if (n == 0)
        return dt_fail(err, DUET_DATA, "the file is empty; expected up to %zu records of %zu bytes. Fetch it again",
                       f->records, record);
    if (n > f->records * record)
        return dt_fail(err, DUET_DATA,
                       "more than the %zu bytes (%zu records of %zu bytes) that the official file has; this is no %s "
                       "%s. Fetch it again",
                       f->records * record, f->records, record, set->title, f->name);
    if (n % record == 0) return DUET_OK;
    if (n % other == 0)
        return dt_fail(err, DUET_DATA,
                       "%zu bytes are %zu records of %zu bytes, as the other CIFAR set has them; expected records of "
                       "%zu bytes. Is this the folder of %s?",
                       n, n / other, other, record, set->label_bytes == 1 ? "CIFAR-100" : "CIFAR-10");
    return dt_fail(err, DUET_DATA,
                   "%zu bytes are %zu records of %zu bytes and %zu bytes left over; expected whole records, %zu bytes "
                   "in the official file. It was cut off or damaged: fetch it again",
                   n, n / record, record, n % record, f->records * record);
}

static duet_status check_labels(const cifar_set *set, const uint8_t *bytes, size_t records, duet_error *err)
{
    size_t record = record_bytes(set);
    for (size_t i = 0; i < records; i++)
        for (size_t k = 0; k < set->label_bytes; k++)
            if (bytes[i * record + k] >= set->label_end[k])
                return dt_fail(err, DUET_DATA,
                               "record %zu (byte %zu) has %slabel %u; labels are 0 to %zu. The file is damaged or no "
                               "%s file: fetch it again",
                               i, i * record + k,
                               k + 1 < set->label_bytes ? "coarse " : "",
                               (unsigned)bytes[i * record + k], set->label_end[k] - 1, set->title);
    return DUET_OK;
}

static void say_digest(const dt_log_sink *log, const char *where, const official_file *f, const uint8_t *bytes,
                       size_t n, size_t records)
{
    char hex[65];
    dt_sha256(bytes, n, hex);
    if (strcmp(hex, f->sha256) == 0) dt_say(log, "%s: the official file, SHA-256 %s", where, hex);
    else if (records < f->records)
        dt_say(log, "%s: %zu records, fewer than the official %zu; all are used. SHA-256 %s", where, records,
               f->records, hex);
    else
        dt_say(log, "%s: not the official file, though it has its size: SHA-256 %s, official %s", where, hex,
               f->sha256);
}

static duet_status take_part(cifar *c, size_t i, const char *where, const uint8_t *bytes, size_t n,
                             const dt_log_sink *log, duet_error *err)
{
    const official_file *f = &c->set->file[i];
    size_t records = n / record_bytes(c->set);
    duet_status st = check_size(c->set, f, n, err);
    if (!st) st = check_labels(c->set, bytes, records, err);
    if (st) {
        dt_context(err, "%s", where);
        return st;
    }
    say_digest(log, where, f, bytes, n, records);
    c->parts[i].bytes = bytes;
    c->parts[i].records = records;
    return DUET_OK;
}

/* ---- finding and loading ------------------------------------------------------------------------------------- */

static duet_status join(const char *folder, const char *name, char out[PATH_MAX], duet_error *err)
{
    int n = snprintf(out, PATH_MAX, "%s/%s", folder, name);
    if (n >= 0 && n < PATH_MAX) return DUET_OK;
    return dt_fail(err, DUET_ARG, "%.60s...: the path is longer than %d bytes", folder, PATH_MAX - 1);
}

static duet_status copy_path(const char *from, char out[PATH_MAX], duet_error *err)
{
    if (snprintf(out, PATH_MAX, "%s", from) < PATH_MAX) return DUET_OK;
    return dt_fail(err, DUET_ARG, "%.60s...: the path is longer than %d bytes", from, PATH_MAX - 1);
}

static bool exists(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0;
}

/* How many of the set's files lie in a folder; *missing: the first that does not, or NULL. */
static duet_status look_into(const cifar_set *set, const char *folder, size_t *n, const char **missing, duet_error *err)
{
    char path[PATH_MAX];
    *n = 0;
    *missing = NULL;
    for (size_t i = 0; i < set->n_files; i++) {
        DT_TRY(join(folder, set->file[i].name, path, err));
        if (exists(path)) ++*n;
        else if (!*missing) *missing = set->file[i].name;
    }
    return DUET_OK;
}

/* What to read for the folder `given`: its own files, those in the folder that the archive unpacks to, the archive
 * itself, in this order. */
static duet_status locate_in_folder(const dt_source_kind *kind, const char *given, char path[PATH_MAX], bool *archive,
                                    duet_error *err)
{
    const cifar_set *set = kind->data;
    char below[PATH_MAX];
    const char *missing, *missing_below;
    size_t n, n_below;
    DT_TRY(join(given, set->folder, below, err));
    DT_TRY(look_into(set, given, &n, &missing, err));
    DT_TRY(look_into(set, below, &n_below, &missing_below, err));
    if (!missing) return copy_path(given, path, err);
    if (!missing_below) return copy_path(below, path, err);
    DT_TRY(join(given, set->archive, path, err));
    *archive = exists(path);
    if (*archive) return DUET_OK;
    if (n > 0 || n_below > 0)
        return dt_fail(
            err, DUET_DATA, "%s/%s: missing, though other files of %s are there; %s needs %s. Unpack %s again",
            n > 0 ? given : below, n > 0 ? missing : missing_below, set->title, kind->name, kind->needs, set->archive);
    return dt_fail(err, DUET_DATA,
                   "%s: no %s in this folder; looked for %s. Fetch https://www.cs.toronto.edu/~kriz/%s into it", given,
                   set->title, kind->needs, set->archive);
}

static duet_status locate(const dt_source_kind *kind, const char *given, char path[PATH_MAX], bool *archive,
                          duet_error *err)
{
    struct stat facts;
    *archive = false;
    if (!given || !*given)
        return dt_fail(err, DUET_DATA,
                       "%s: no folder given; set data.path to a folder with %s, or the environment variable DUET_DATA "
                       "to the folder above a folder %s with them",
                       kind->name, kind->needs, kind->name);
    if (stat(given, &facts) != 0)
        return dt_fail(err, DUET_DATA, "%s: %s; %s needs a folder with %s", given, strerror(errno), kind->name,
                       kind->needs);
    if (S_ISDIR(facts.st_mode)) return locate_in_folder(kind, given, path, archive, err);
    if (!S_ISREG(facts.st_mode))
        return dt_fail(err, DUET_DATA, "%s: neither a folder nor a file; %s needs a folder with %s", given, kind->name,
                       kind->needs);
    *archive = true;
    return copy_path(given, path, err);
}

static duet_status load_folder(cifar *c, const char *folder, const dt_log_sink *log, duet_error *err)
{
    for (size_t i = 0; i < c->set->n_files; i++) {
        char path[PATH_MAX];
        DT_TRY(join(folder, c->set->file[i].name, path, err));
        DT_TRY(dt_view_open(path, &c->parts[i].view, err));
        DT_TRY(take_part(c, i, path, c->parts[i].view.bytes, c->parts[i].view.n, log, err));
    }
    return DUET_OK;
}

static size_t largest_file(const cifar_set *set)
{
    size_t most = 0;
    for (size_t i = 0; i < set->n_files; i++)
        if (set->file[i].records > most) most = set->file[i].records;
    return most * record_bytes(set);
}

static duet_status load_archive(cifar *c, const char *path, const dt_log_sink *log, duet_error *err)
{
    const cifar_set *set = c->set;
    const char *names[MAX_FILES];
    char hex[65];
    for (size_t i = 0; i < set->n_files; i++) names[i] = set->file[i].name;
    DT_TRY(dt_archive_read(path, names, set->n_files, largest_file(set), c->members, err));
    DT_TRY(dt_sha256_file(path, hex, err));
    dt_say(log, "%s: %s, SHA-256 %s", path,
           strcmp(hex, set->archive_sha256) == 0 ? "the official archive" : "not the official archive", hex);
    for (size_t i = 0; i < set->n_files; i++) {
        char where[PATH_MAX + 64];
        snprintf(where, sizeof where, "%s: %s", path, names[i]);
        if (!c->members[i].bytes)
            return dt_fail(err, DUET_DATA,
                           "%s is not in the archive; expected %s. Fetch https://www.cs.toronto.edu/~kriz/%s", where,
                           set->archive, set->archive);
        DT_TRY(take_part(c, i, where, c->members[i].bytes, c->members[i].n, log, err));
    }
    return DUET_OK;
}

static void fill_facts(cifar *c, const char *name)
{
    const cifar_set *set = c->set;
    dt_data_facts *f = &c->source.facts;
    f->name = name;
    for (size_t i = 0; i + 1 < set->n_files; i++) f->train_images += c->parts[i].records;
    f->test_images = c->parts[set->n_files - 1].records;
    f->classes = set->label_end[set->label_bytes - 1];
    f->height = f->width = SIDE;
    memcpy(f->mean, set->mean, sizeof f->mean);
    memcpy(f->std, set->std, sizeof f->std);
    f->class_names = set->class_names;
}

static duet_status open_cifar(const dt_source_kind *kind, const dt_source_request *q, dt_source **out, duet_error *err)
{
    char found[PATH_MAX] = "";
    bool archive = false;
    DT_TRY(locate(kind, q->path, found, &archive, err));
    cifar *c = dt_alloc(1, sizeof *c);
    if (!c) return dt_fail(err, DUET_MEMORY, "%s: out of memory", kind->name);
    c->set = kind->data;
    c->source.read = read_record;
    c->source.label = record_label;
    c->source.close = close_cifar;
    duet_status st = archive ? load_archive(c, found, q->log, err) : load_folder(c, found, q->log, err);
    if (st) {
        close_cifar(&c->source);
        return st;
    }
    fill_facts(c, kind->name);
    *out = &c->source;
    return DUET_OK;
}

/* ---- the two sets -------------------------------------------------------------------------------------------- */

static const char *const names_10[10] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                         "dog",      "frog",       "horse", "ship", "truck"};

/* clang-format off */
static const char *const names_100[100] = {
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl",
    "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee",
    "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant",
    "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower",
    "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom",
    "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate",
    "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark",
    "shrew", "skunk", "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower",
    "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor", "train", "trout", "tulip",
    "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm"};
/* clang-format on */

static const cifar_set set_10 = {
    .title = "CIFAR-10",
    .folder = "cifar-10-batches-bin",
    .archive = "cifar-10-binary.tar.gz",
    .archive_sha256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    .label_bytes = 1,
    .label_end = {10},
    .n_files = 6,
    .file = {{"data_batch_1.bin", "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5", 10000},
             {"data_batch_2.bin", "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed", 10000},
             {"data_batch_3.bin", "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67", 10000},
             {"data_batch_4.bin", "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48", 10000},
             {"data_batch_5.bin", "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add", 10000},
             {"test_batch.bin", "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b", 10000}},
    .mean = {0.4914f, 0.4822f, 0.4465f},
    .std = {0.2470f, 0.2435f, 0.2616f},
    .class_names = names_10,
};

static const cifar_set set_100 = {
    .title = "CIFAR-100",
    .folder = "cifar-100-binary",
    .archive = "cifar-100-binary.tar.gz",
    .archive_sha256 = "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    .label_bytes = 2,
    .label_end = {20, 100},
    .n_files = 2,
    .file = {{"train.bin", "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29", 50000},
             {"test.bin", "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a", 10000}},
    .mean = {0.5071f, 0.4867f, 0.4408f},
    .std = {0.2675f, 0.2565f, 0.2761f},
    .class_names = names_100,
};

static const dt_class_table classes_10 = {.n = DT_COUNT(names_10), .names = names_10};
static const dt_class_table classes_100 = {.n = DT_COUNT(names_100), .names = names_100};

const dt_source_kind dt_source_kind_cifar10 = {
    .name = "cifar10",
    .help = "60,000 colour photographs of 32x32 pixels in 10 classes",
    .needs = "data_batch_1.bin to data_batch_5.bin and test_batch.bin, or cifar-10-binary.tar.gz",
    .open = open_cifar,
    .data = &set_10,
    .classes = &classes_10,
};

const dt_source_kind dt_source_kind_cifar100 = {
    .name = "cifar100",
    .help = "60,000 colour photographs of 32x32 pixels in 100 classes",
    .needs = "train.bin and test.bin, or cifar-100-binary.tar.gz",
    .open = open_cifar,
    .data = &set_100,
    .classes = &classes_100,
};
