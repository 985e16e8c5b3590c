/* Which built-in network a file's tensors are those of. */
#include "format/format.h"
#include "train/train_impl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A file with the tensors of a network for so many classes, without their bytes. */
typedef struct shapes_file {
    dt_saved saved;
    dt_graph *g;
} shapes_file;

static shapes_file file_of(const dt_model *m, size_t classes, const char *counter)
{
    shapes_file f = {.g = dt_graph_create()};
    dt_model_inputs in = DT_MODEL_INPUTS;
    dt_graph_set_network(f.g, 0, m->name, false);
    in.image = dt_input(f.g, "image", DT_REAL, (dt_shape){1, 3, m->image, dt_model_width(m)});
    in.time = dt_input(f.g, "time", DT_INDEX, (dt_shape){1, 1, 1, 1});
    in.classes = classes;
    (void)m->build(m, f.g, &in);
    f.saved.tensors = calloc(f.g->n_parameters + 1, sizeof *f.saved.tensors);
    for (size_t i = 0; i < f.g->n_parameters; i++) {
        const dt_parameter *p = &f.g->parameters[i];
        const dt_tensor t = {.shape = f.g->nodes[p->node].shape, .rank = p->rank};
        dt_saved_tensor *to = &f.saved.tensors[f.saved.n_tensors++];
        *to = (dt_saved_tensor){.name = p->name, .rank = p->rank};
        dt_tensor_file_shape(&t, to->shape);
    }
    if (counter) f.saved.tensors[f.saved.n_tensors++] = (dt_saved_tensor){.name = counter};
    return f;
}

static void release(shapes_file *f)
{
    free(f->saved.tensors);
    dt_graph_destroy(f->g);
}

static void every_built_in_network_is_known_by_its_shapes_for_any_classes(void **state)
{
    (void)state;
    for (size_t i = 0; dt_model_at(i); i++) {
        const dt_model *m = dt_model_at(i);
        shapes_file f = file_of(m, 7, "bn1.num_batches_tracked");
        const dt_model *found = dt_model_of_weights(&f.saved, NULL);
        if (found != m) fail_msg("%s is taken for %s", m->name, found ? found->name : "none");
        release(&f);
    }
}

static void a_tensor_too_many_or_another_shape_is_no_built_in_network(void **state)
{
    (void)state;
    const dt_model *m = dt_model_find("resnet18_cifar", NULL);
    shapes_file f = file_of(m, 10, "layer9.weight");
    assert_null(dt_model_of_weights(&f.saved, NULL));
    f.saved.n_tensors--;
    assert_ptr_equal(dt_model_of_weights(&f.saved, NULL), m);
    f.saved.tensors[3].shape[0]++;
    assert_null(dt_model_of_weights(&f.saved, NULL));
    f.saved.n_tensors = 0;
    assert_null(dt_model_of_weights(&f.saved, NULL));
    release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_built_in_network_is_known_by_its_shapes_for_any_classes),
        cmocka_unit_test(a_tensor_too_many_or_another_shape_is_no_built_in_network),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
