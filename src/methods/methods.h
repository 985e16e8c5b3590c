/* Distillation methods, written as formulas. Given what every network offers, a method returns one scalar loss node per
 * network; dt_detach says who learns from whom. It never touches a pointer, a device or a task's outputs other than
 * through the task. One file each; METHODS.md is what they must read like. */
#ifndef DT_METHODS_H
#define DT_METHODS_H

#include "tasks/tasks.h"

typedef enum dt_role { DT_ROLE_PEER, DT_ROLE_TEACHER, DT_ROLE_STUDENT } dt_role;
extern const char dt_role_choices[]; /* "peer|teacher|student" */

typedef struct dt_peer {
    const char *name;
    dt_role role;
    bool frozen; /* not trained, in inference mode */
    dt_built built;
} dt_peer;

typedef struct dt_peers {
    dt_peer at[DT_MAX_NETWORKS];
    int n;
    dt_targets targets;
    const dt_task *task;
    dt_node ramp_epoch; /* input [1,1,1,1]: the epoch, from 0, as a real: warm-up ramps are built from it */
} dt_peers;

enum { DT_MAX_VARIANTS = 4, DT_MAX_TERMS = 48, DT_MAX_CHOICE_SCALARS = 16, DT_MAX_ADM_PAIRS = 12 };

/* A value worth logging: its mean over the epoch goes to metrics.csv. */
typedef struct dt_term {
    char name[40]; /* "student.ce", "adm.similarity" */
    dt_node node;  /* scalar */
    int variant;   /* -1: in every step */
} dt_term;

/* How a teacher and a student meet in ADM, for people to see before it happens. */
typedef struct dt_adm_pair {
    int teacher, student;
    const char *stage, *view;      /* "features", "class" */
    dt_shape teacher_map, student_map; /* of the networks, [n, c, h, w] */
    dt_shape compared;             /* [n, length of the view's vectors, h, w]: the smaller grid */
    double macs;                   /* of the forward pass, for the batch; what several pairs share is divided among them */
} dt_adm_pair;

typedef struct dt_losses {
    int n_variants;                                  /* 1 unless the method has a choice */
    dt_node loss[DT_MAX_VARIANTS][DT_MAX_NETWORKS];  /* DT_NONE: this network is not updated in this variant */
    bool track[DT_MAX_VARIANTS][DT_MAX_NETWORKS];    /* do its running statistics move? */
    dt_node choice[DT_MAX_CHOICE_SCALARS];           /* scalars that `choose` decides by */
    int n_choice;
    dt_term terms[DT_MAX_TERMS];
    int n_terms;
    dt_adm_pair adm_pairs[DT_MAX_ADM_PAIRS];         /* in the order of teachers, then of students */
    int n_adm_pairs;
    /* Method state that changes between epochs (KDCL general): input nodes it fills in `refresh`. */
    dt_node epoch_input;                             /* [1,K,1,1] or DT_NONE */
} dt_losses;

typedef struct dt_method {
    const char *name, *help, *source; /* source: the paper, or NULL */
    int min_networks, max_networks;
    size_t config_bytes;
    const dt_option *options; /* ends with a zero row */
    bool needs_validation_default, independent_views; /* data.views defaults to independent */
    /* What the option tables cannot say: roles, combinations. Message names the line to add. NULL: nothing to check. */
    duet_status (*check)(const dt_peers *peers, const void *config, size_t validation_images, duet_error *err);
    duet_status (*losses)(dt_graph *g, const dt_peers *peers, const void *config, dt_losses *out, duet_error *err);
    /* Which variant runs next, from the values of dt_losses.choice in this step's forward, in their order. A pure function.
     * NULL: n_variants is 1. */
    int (*choose)(const float *scalars, const void *config);
    const char *const *variant_names; /* DT_MAX_VARIANTS of them, for the log: "learning", "expert"; NULL where there is no choice */
    /* Before each epoch, when losses set epoch_input: what the networks get wrong on the held-out images -> values [K]. */
    duet_status (*refresh)(const dt_error_products *errors, int networks, const void *config, float *values, duet_error *err);
} dt_method;

const dt_method *dt_method_find(const char *name, duet_error *err);
const dt_method *dt_method_at(size_t i); /* NULL past the end */
/* Everything that must fit between a method, its options and the networks: their number, that one of them is trained, and
 * what the method's own check says. peers: names, roles and frozen are read, nothing else. DUET_RECIPE with the line to add. */
duet_status dt_method_check(const dt_method *m, const dt_peers *peers, const void *config, size_t validation_images, duet_error *err);

/* ---- ADM, the companion (METHODS.md 3) ---------------------------------------------------------------------- */

typedef struct dt_adm_config {
    bool enabled; /* the section is there */
    int consensus, divergence, view, stage, weights;
    double tau, alpha, beta, warmup_epochs;
    bool detach;
} dt_adm_config;
extern const dt_option dt_adm_options[];
extern const char dt_adm_help[], dt_adm_source[];
/* Roles and combinations of options: reads names, roles, frozen and the task of peers, nothing else. Nothing to say when not enabled. */
duet_status dt_adm_check(const dt_peers *peers, const dt_adm_config *c, duet_error *err);
/* Adds its terms to the losses of a base method: nothing when not enabled, terms to log only where alpha or beta is 0.
 * DUET_RECIPE where the networks' maps do not fit the view. */
duet_status dt_adm_add(dt_graph *g, const dt_peers *peers, const dt_adm_config *c, dt_losses *losses, duet_error *err);

/* What adm sees of one teacher and one student: maps of numbers at places, [n, 1, h, w], without gradient. */
typedef struct dt_adm_maps {
    dt_node similarity, consensus, divergence; /* S, c, d on the grid on which both are compared */
    dt_node attention[2], activation[2];       /* of teacher and student, each on its own grid: mean_c F^2; the task's class activation map, DT_NONE
                                                * where it has none */
} dt_adm_maps;
/* The same nodes as in training, for looking at them; whether adm is enabled and which roles networks have does not matter.
 * DUET_RECIPE where the networks' maps do not fit the view. */
duet_status dt_adm_look(dt_graph *g, const dt_peers *peers, const dt_adm_config *c, int teacher, int student, dt_adm_maps *out,
                        duet_error *err);

/* How much of a map of numbers at places, none below 0, lies on the foreground of the targets' mask, over the batch and the places that count: 0..1, a
 * scalar. A map that is the same everywhere has the foreground's area, the share of the mask itself. Both need a mask. */
dt_node dt_foreground_share(dt_graph *g, const dt_peers *peers, dt_node map);
dt_node dt_foreground_area(dt_graph *g, const dt_peers *peers);

/* ---- for method files ---------------------------------------------------------------------------------------- */

void dt_losses_term(dt_losses *l, dt_node node, int variant, const char *format, ...) DT_PRINTF(4, 5);
/* x times min(1, (epoch + 1) / warmup_epochs); x itself when warmup_epochs is 0. */
dt_node dt_ramped(dt_graph *g, const dt_peers *peers, double warmup_epochs, dt_node x);
int dt_count_role(const dt_peers *peers, dt_role role);
/* An empty set of losses: n_variants variants in which nobody learns and all running statistics of trained networks move. */
void dt_losses_start(dt_losses *l, const dt_peers *peers, int n_variants);
/* The task's loss of network i, logged as NAME.ce. */
dt_node dt_losses_own(dt_losses *l, dt_graph *g, const dt_peers *peers, int i);
/* What network i says, and D(sg target, i): the task's. */
dt_node dt_answer(dt_graph *g, const dt_peers *peers, int i);
dt_node dt_disagreement(dt_graph *g, const dt_peers *peers, dt_node target, int i, double temperature);
/* Network i learns from `loss` in this variant; a frozen network never does. */
void dt_losses_learn(dt_losses *l, const dt_peers *peers, int variant, int i, dt_node loss);

#endif
