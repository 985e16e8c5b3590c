/* A folder of pictures into shards that `tar` reads. Files are copied as they are; each is decoded once before, at an eighth of its size
 * where that is possible, so that what is packed can be read. */
#include "data/data_impl.h"

#include <string.h>
#include <sys/stat.h>

enum { PATH_BYTES = 4096, PACK_SEED = 1 };

/* A shard under way. */
typedef struct packer {
    const dt_pack_request *request;
    const dt_source *source;
    const char *part;  /* "train" */
    dt_split split;
    dt_file *file;     /* NULL: none is open */
    uint64_t bytes;    /* in it */
    size_t shard, key; /* numbers of the next */
    size_t done, all;  /* pictures of both splits */
    dt_encoded encoded;
    dt_pixels pixels;
} packer;

static duet_status path_in(const char *folder, const char *name, char out[PATH_BYTES], duet_error *err)
{
    if (snprintf(out, PATH_BYTES, "%s/%s", folder, name) < PATH_BYTES) return DUET_OK;
    return dt_fail(err, DUET_ARG, "%.60s...: the path is too long", folder);
}

/* ---- members --------------------------------------------------------------------------------------------------- */

static void write_padded(packer *p, const void *bytes, size_t n)
{
    static const uint8_t zeros[DT_TAR_BLOCK] = {0};
    const size_t rest = n % DT_TAR_BLOCK ? DT_TAR_BLOCK - n % DT_TAR_BLOCK : 0;
    dt_file_write(p->file, bytes, n);
    dt_file_write(p->file, zeros, rest);
    p->bytes += n + rest;
}

static void write_member(packer *p, const char *name, const void *bytes, size_t n)
{
    uint8_t head[DT_TAR_BLOCK];
    dt_tar_head(name, n, head);
    write_padded(p, head, sizeof head);
    write_padded(p, bytes, n);
}

static duet_status open_shard(packer *p, duet_error *err)
{
    char name[64], path[PATH_BYTES];
    if (p->file) return DUET_OK;
    snprintf(name, sizeof name, "%s-%06zu.tar", p->part, p->shard++);
    DT_TRY(path_in(p->request->out, name, path, err));
    p->bytes = 0;
    return dt_file_create(path, &p->file, err);
}

static duet_status close_shard(packer *p, duet_error *err)
{
    static const uint8_t end[2 * DT_TAR_BLOCK] = {0};
    if (!p->file) return DUET_OK;
    write_padded(p, end, sizeof end);
    dt_file *file = p->file;
    p->file = NULL;
    return dt_file_commit(file, err);
}

static duet_status check_picture(packer *p, dt_picture_facts *facts, duet_error *err)
{
    const dt_encoded *e = &p->encoded;
    DT_TRY(dt_picture_measure_bytes(e->bytes, e->n, facts, err));
    return dt_picture_upright(e->bytes, e->n, facts, facts->jpeg ? 1 : 8, &p->pixels, err);
}

static duet_status pack_picture(packer *p, size_t index, duet_error *err)
{
    char name[64], label[16];
    dt_picture_facts facts;
    duet_error why = {0};
    duet_status st = p->source->fetch(p->source, p->split, index, &p->encoded, &why);
    if (!st && (st = check_picture(p, &facts, &why))) dt_context(&why, "%s", p->encoded.name);
    if (st && p->request->skip && st != DUET_MEMORY) {
        dt_say(p->request->log, "left out: %s", why.message);
        return DUET_OK;
    }
    if (st) {
        if (err) *err = why;
        return st;
    }
    DT_TRY(open_shard(p, err));
    snprintf(name, sizeof name, "%09zu.%s", p->key, facts.jpeg ? "jpg" : "png");
    write_member(p, name, p->encoded.bytes, p->encoded.n);
    snprintf(name, sizeof name, "%09zu.cls", p->key++);
    const int n = snprintf(label, sizeof label, "%d", (int)p->encoded.label);
    write_member(p, name, label, (size_t)n);
    return p->bytes >= p->request->shard_bytes ? close_shard(p, err) : DUET_OK;
}

/* ---- splits ---------------------------------------------------------------------------------------------------- */

static duet_status pack_split(packer *p, dt_split split, duet_error *err)
{
    const dt_data_facts *f = &p->source->facts;
    const dt_pack_request *q = p->request;
    const size_t n = split == DT_SPLIT_TRAIN ? f->train_images : f->test_images;
    uint32_t *order = dt_alloc(n, sizeof *order);
    if (!order) return dt_fail(err, DUET_MEMORY, "%s: not enough memory for an order of %zu pictures", q->out, n);
    for (size_t i = 0; i < n; i++) order[i] = (uint32_t)i;
    dt_shuffle(order, n, PACK_SEED, (uint32_t)split);
    p->split = split;
    p->part = split == DT_SPLIT_TRAIN ? "train" : "val";
    p->shard = p->key = 0;
    duet_status st = DUET_OK;
    for (size_t i = 0; i < n && !st; i++) {
        st = pack_picture(p, order[i], err);
        if (!st && q->progress && q->progress(q->user, ++p->done, p->all)) st = dt_fail(err, DUET_STOPPED, "stopped while packing %s", q->out);
    }
    if (!st) st = close_shard(p, err);
    if (st) dt_file_abort(p->file);
    p->file = NULL;
    dt_free(order);
    return st;
}

static duet_status write_class_names(const dt_source *s, const char *folder, duet_error *err)
{
    char path[PATH_BYTES];
    dt_text text = {0};
    const dt_data_facts *f = &s->facts;
    if (!f->class_names) return DUET_OK;
    DT_TRY(path_in(folder, "classes.txt", path, err));
    for (size_t c = 0; c < f->classes; c++) dt_text_append(&text, "%s\n", f->class_names[c]);
    const duet_status st = dt_text_ok(&text) ? dt_file_replace(path, text.bytes, text.length, err)
                                             : dt_fail(err, DUET_MEMORY, "%s: not enough memory for the names of classes", path);
    dt_text_release(&text);
    return st;
}

static duet_status check_out(const dt_source *s, const char *folder, duet_error *err)
{
    dt_arena arena = {0};
    dt_lines there = {0};
    if (!s->fetch) return dt_fail(err, DUET_ARG, "%s: its records are no files that could be packed", s->facts.name);
    DT_TRY(dt_make_folder(folder, err));
    duet_status st = dt_folder_names(folder, ".tar", &arena, &there, err);
    if (!st && there.n)
        st = dt_fail(err, DUET_ARG, "%s: already holds shards, such as %s; choose another folder, or remove them", folder, there.at[0]);
    dt_arena_release(&arena);
    return st;
}

duet_status dt_pack_data(const dt_source *s, const dt_pack_request *q, size_t *shards, size_t *pictures, duet_error *err)
{
    packer p = {.request = q, .source = s, .all = s->facts.train_images + s->facts.test_images};
    *shards = *pictures = 0;
    DT_TRY(check_out(s, q->out, err));
    duet_status st = write_class_names(s, q->out, err);
    for (int split = 0; split < 2 && !st; split++) {
        st = pack_split(&p, (dt_split)split, err);
        *shards += p.shard;
        *pictures += p.key;
    }
    dt_encoded_release(&p.encoded);
    dt_pixels_release(&p.pixels);
    return st;
}
