/* Matrix products: y = op(a) op(b) [+ bias]. Tensors are matrices of places x channels, all together or, for
 * BATCH_MATMUL, each image for itself.
 *
 * b is copied into the form that products read (loops.h), with zeros up to whole vectors, unless it has that form. Every
 * part takes a share of the rows of y and works through it in blocks. Where y's rows are no whole vectors, a block's
 * results are moved to y afterwards, together with the bias. Of a product for each image, a part takes whole images, b's
 * copy included.
 *
 * Scratch, of each part for BATCH_MATMUL: [b: panels, or rows of whole vectors where a is transposed] [each part: a block of results]. */
#include "device/cpu/cpu_impl.h"

#include <string.h>

enum { BLOCK_ROWS = 48 }; /* a multiple of every register block */

typedef struct matmul_state {
    dt_cpu_state common;
    size_t rows, columns, inner, a_columns, b_columns;
    size_t padded, panel; /* columns rounded up to whole vectors; of one copied piece of b */
    bool copies, straight; /* b has not yet the form that is read; results are written where they belong */
} matmul_state;

typedef struct matmul_task {
    const matmul_state *s;
    const float *a, *b, *bias;
    float *y, *scratch;
} matmul_task;

/* b's copy and `parts` blocks of results. */
static size_t scratch_floats(const matmul_state *s, int parts)
{
    return s->inner * s->padded + (size_t)parts * BLOCK_ROWS * s->padded;
}

/* Rows begin..end-1 of op(b) into the panel that starts with column j. */
static void pack_panel(const matmul_task *t, size_t j, size_t begin, size_t end)
{
    const matmul_state *s = t->s;
    const size_t n = s->columns - j < s->panel ? s->columns - j : s->panel;
    float *to = t->scratch + j * s->inner + begin * s->panel;
    for (size_t k = begin; k < end; k++, to += s->panel) {
        if (s->common.op.a.matmul.transpose_b)
            for (size_t i = 0; i < n; i++) to[i] = t->b[(j + i) * s->b_columns + k];
        else memcpy(to, t->b + k * s->b_columns + j, n * sizeof *to);
        for (size_t i = n; i < s->panel; i++) to[i] = 0;
    }
}

static void pack_part(void *task, int part, int parts)
{
    const matmul_task *t = task;
    const dt_cpu_share mine = dt_cpu_share_of(t->s->inner, 1, part, parts);
    for (size_t j = 0; j < t->s->padded; j += t->s->panel) pack_panel(t, j, mine.begin, mine.end);
}

/* Rows first..first+n-1 of y into results, rows of s->padded floats; with the bias where s->straight. */
static void multiply_block(const matmul_task *t, float *results, size_t first, size_t n)
{
    const matmul_state *s = t->s;
    const dt_loops *loops = s->common.device->loops;
    const float *b = s->copies ? t->scratch : t->b;
    if (s->common.op.a.matmul.transpose_a) {
        const dt_product p = {.groups = 1, .rows = n, .columns = s->padded, .inner = s->inner, .a_row = s->a_columns};
        memset(results, 0, n * s->padded * sizeof *results);
        loops->product_transposed(results, t->a + first, b, 0, &p);
        return;
    }
    const dt_product p = {.groups = 1,
                          .rows = n,
                          .columns = s->padded,
                          .segments = 1,
                          .inner = s->inner,
                          .c_row = s->padded,
                          .a_row = s->a_columns,
                          .bias = s->straight ? t->bias : NULL};
    loops->product(results, t->a + first * s->a_columns, b, &p);
}

static void place_results(const matmul_task *t, const float *results, size_t first, size_t n)
{
    const matmul_state *s = t->s;
    for (size_t r = 0; r < n; r++, results += s->padded) {
        float *y = t->y + (first + r) * s->columns;
        if (t->bias)
            for (size_t c = 0; c < s->columns; c++) y[c] = results[c] + t->bias[c];
        else memcpy(y, results, s->columns * sizeof *y);
    }
}

static void multiply_part(void *task, int part, int parts)
{
    const matmul_task *t = task;
    const matmul_state *s = t->s;
    const dt_cpu_share mine = dt_cpu_share_of(s->rows, s->common.device->loops->rows, part, parts);
    float *results = t->scratch + s->inner * s->padded + (size_t)part * BLOCK_ROWS * s->padded;
    for (size_t at = mine.begin; at < mine.end; at += BLOCK_ROWS) {
        const size_t n = mine.end - at < BLOCK_ROWS ? mine.end - at : BLOCK_ROWS;
        multiply_block(t, s->straight ? t->y + at * s->columns : results, at, n);
        if (!s->straight) place_results(t, results, at, n);
    }
}

static int run_matmul(void *state, void *const *in, void *const *out, void *scratch)
{
    const matmul_state *s = state;
    matmul_task t = {s, in[0], in[1], dt_cpu_optional(&s->common.op, in, 2), out[0], scratch};
    if (s->copies) dt_cpu_divide(s->common.parts, pack_part, &t);
    dt_cpu_divide(s->common.parts, multiply_part, &t);
    return 0;
}

/* ---- a product for each image ----------------------------------------------------------------------------------- */

static void batch_part(void *task, int part, int parts)
{
    const matmul_task *t = task;
    const matmul_state *s = t->s;
    const dt_cpu_share images = dt_cpu_share_of(s->common.op.in[0].n, 1, part, parts);
    const size_t a_floats = s->rows * s->inner, b_floats = s->inner * s->columns, y_floats = s->rows * s->columns;
    matmul_task one = {.s = s, .scratch = t->scratch + (size_t)part * scratch_floats(s, 1)};
    for (size_t n = images.begin; n < images.end; n++) {
        one.a = t->a + n * a_floats, one.b = t->b + n * b_floats, one.y = t->y + n * y_floats;
        if (s->copies) pack_part(&one, 0, 1);
        multiply_part(&one, 0, 1);
    }
}

static int run_batch_matmul(void *state, void *const *in, void *const *out, void *scratch)
{
    const matmul_state *s = state;
    matmul_task t = {s, in[0], in[1], NULL, out[0], scratch};
    dt_cpu_divide(s->common.parts, batch_part, &t);
    return 0;
}

/* ---- making kernels ---------------------------------------------------------------------------------------------- */

/* places: rows of the two tensors as matrices. */
static matmul_state *make_state(const dt_cpu_device *d, const dt_op *op, size_t places_a, size_t places_b, duet_error *err)
{
    const bool ta = op->a.matmul.transpose_a, tb = op->a.matmul.transpose_b;
    const size_t lanes = d->loops->lanes;
    matmul_state *s = dt_cpu_state_new(d, op, sizeof *s, (size_t)(dt_op_macs(op) / 8), err);
    if (!s) return NULL;
    s->a_columns = op->in[0].c;
    s->b_columns = op->in[1].c;
    s->rows = ta ? s->a_columns : places_a;
    s->inner = ta ? places_a : s->a_columns;
    s->columns = tb ? places_b : s->b_columns;
    s->padded = dt_cpu_round_up(s->columns, lanes);
    s->panel = ta ? s->padded : s->padded % (2 * lanes) ? lanes : 2 * lanes;
    s->copies = tb || s->panel != s->columns;
    s->straight = s->padded == s->columns && !(ta && op->n_in > 2);
    return s;
}

duet_status dt_cpu_matmul(const dt_cpu_device *d, const dt_op *op, dt_kernel *out, duet_error *err)
{
    matmul_state *s = make_state(d, op, dt_cpu_places(op->in[0]), dt_cpu_places(op->in[1]), err);
    if (!s) return DUET_MEMORY;
    return dt_cpu_finish(&s->common, run_matmul, scratch_floats(s, s->common.parts) * sizeof(float), out);
}

duet_status dt_cpu_batch_matmul(const dt_cpu_device *d, const dt_op *op, dt_kernel *out, duet_error *err)
{
    const size_t images = op->in[0].n;
    matmul_state *s = make_state(d, op, op->in[0].h * op->in[0].w, op->in[1].h * op->in[1].w, err);
    if (!s) return DUET_MEMORY;
    if ((size_t)s->common.parts > images) s->common.parts = (int)images;
    return dt_cpu_finish(&s->common, run_batch_matmul, (size_t)s->common.parts * scratch_floats(s, 1) * sizeof(float), out);
}
