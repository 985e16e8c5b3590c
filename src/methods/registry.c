/* Which methods there are, and the few things that all of them say. A new method is one new file and one new name here. */
#include "methods/methods.h"

#include <string.h>

#define DT_METHODS(X) X(vanilla) X(kd) X(dml) X(kdcl) X(switokd)

#define X(name) extern const dt_method dt_method_##name;
DT_METHODS(X)
#undef X

static const dt_method *const methods[] = {
#define X(name) &dt_method_##name,
    DT_METHODS(X)
#undef X
};

const char dt_role_choices[] = "peer|teacher|student";

const dt_method *dt_method_at(size_t i)
{
    return i < DT_COUNT(methods) ? methods[i] : NULL;
}

const dt_method *dt_method_find(const char *name, duet_error *err)
{
    const char *names[DT_COUNT(methods)];
    dt_text list = {0};
    for (size_t i = 0; i < DT_COUNT(methods); i++) {
        if (!strcmp(methods[i]->name, name)) {
            dt_text_release(&list);
            return methods[i];
        }
        names[i] = methods[i]->name;
        dt_text_append(&list, "%s%s", i ? ", " : "", methods[i]->name);
    }
    const char *near = dt_nearest(name, names, DT_COUNT(methods)), *all = dt_text_ok(&list) ? list.bytes : "";
    if (near) dt_fail(err, DUET_ARG, "there is no method '%s'; did you mean '%s'? Methods: %s", name, near, all);
    else dt_fail(err, DUET_ARG, "there is no method '%s'. Methods: %s (adm is a section of its own, beside any of them)", name, all);
    dt_text_release(&list);
    return NULL;
}

/* ---- checks ---------------------------------------------------------------------------------------------------- */

int dt_count_role(const dt_peers *peers, dt_role role)
{
    int n = 0;
    for (int i = 0; i < peers->n; i++) n += peers->at[i].role == role;
    return n;
}

duet_status dt_method_check(const dt_method *m, const dt_peers *peers, const void *config, size_t validation_images,
                            duet_error *err)
{
    if (peers->n < m->min_networks || peers->n > m->max_networks) {
        char wanted[48];
        if (m->max_networks >= DT_MAX_NETWORKS) snprintf(wanted, sizeof wanted, "%d or more", m->min_networks);
        else snprintf(wanted, sizeof wanted, "%d to %d", m->min_networks, m->max_networks);
        return dt_fail(err, DUET_RECIPE, "method %s needs %s networks, found %d: %s an entry under `networks:`, or choose another "
                       "method", m->name, wanted, peers->n, peers->n < m->min_networks ? "add" : "remove");
    }
    int frozen = 0;
    for (int i = 0; i < peers->n; i++) frozen += peers->at[i].frozen;
    if (frozen == peers->n) {
        return dt_fail(err, DUET_RECIPE, "every network is frozen, so that nothing would be trained: take `frozen: true` from one of them");
    }
    for (const dt_option *o = m->options; o && o->key && peers->task && peers->task->no_temperature; o++) {
        double value = 1;
        if (!strcmp(o->key, "temperature")) memcpy(&value, (const char *)config + o->offset, sizeof value);
        if (value != 1)
            return dt_fail(err, DUET_RECIPE, "method %s: temperature: %g means nothing to task %s: %s: leave it out, or set it to 1", m->name,
                           value, peers->task->name, peers->task->no_temperature);
    }
    return m->check ? m->check(peers, config, validation_images, err) : DUET_OK;
}

/* ---- losses ---------------------------------------------------------------------------------------------------- */

void dt_losses_start(dt_losses *l, const dt_peers *peers, int n_variants)
{
    *l = (dt_losses){.n_variants = n_variants, .epoch_input = DT_NONE};
    for (int v = 0; v < DT_MAX_VARIANTS; v++) {
        for (int i = 0; i < DT_MAX_NETWORKS; i++) {
            l->loss[v][i] = DT_NONE;
            l->track[v][i] = v < n_variants && i < peers->n && !peers->at[i].frozen;
        }
    }
    for (int i = 0; i < DT_MAX_CHOICE_SCALARS; i++) l->choice[i] = DT_NONE;
}

void dt_losses_term(dt_losses *l, dt_node node, int variant, const char *format, ...)
{
    if (l->n_terms == DT_MAX_TERMS) DT_BUG("more than %d terms", DT_MAX_TERMS);
    dt_term *t = &l->terms[l->n_terms++];
    va_list args;
    va_start(args, format);
    vsnprintf(t->name, sizeof t->name, format, args);
    va_end(args);
    t->node = node;
    t->variant = variant;
}

dt_node dt_losses_own(dt_losses *l, dt_graph *g, const dt_peers *peers, int i)
{
    dt_node loss = peers->task->loss(g, &peers->at[i].built, &peers->targets);
    dt_losses_term(l, loss, -1, "%s.ce", peers->at[i].name);
    return loss;
}

dt_node dt_answer(dt_graph *g, const dt_peers *peers, int i)
{
    return peers->task->answer(g, &peers->at[i].built, &peers->targets);
}

dt_node dt_disagreement(dt_graph *g, const dt_peers *peers, dt_node target, int i, double temperature)
{
    return peers->task->disagreement(g, target, &peers->at[i].built, &peers->targets, temperature);
}

void dt_losses_learn(dt_losses *l, const dt_peers *peers, int variant, int i, dt_node loss)
{
    if (!peers->at[i].frozen) l->loss[variant][i] = loss;
}

dt_node dt_ramped(dt_graph *g, const dt_peers *peers, double warmup_epochs, dt_node x)
{
    if (warmup_epochs == 0) return x;
    if (peers->ramp_epoch == DT_NONE) DT_BUG("a warm-up of %g epochs, and no input for the epoch", warmup_epochs);
    dt_node progress = dt_affine(g, peers->ramp_epoch, 1 / warmup_epochs, 1 / warmup_epochs);
    return dt_mul(g, dt_min(g, progress, dt_constant(g, 1)), x);
}
