/* <duet/look.h>: what networks of a run see of pictures, on src/train's look. */
#include "api/api_impl.h"

#include <duet/look.h>

_Static_assert((int)DUET_MAPS == (int)DT_LOOK_MAPS && (int)DUET_MAP_STUDENT_ACTIVATION == (int)DT_LOOK_ACTIVATION + 1 &&
                   (int)DUET_MAP_DIVERGENCE == (int)DT_LOOK_DIVERGENCE && (int)DUET_MAP_TEACHER_ERROR == (int)DT_LOOK_ERROR,
               "public maps follow the inner ones");
_Static_assert((int)DUET_LOOK_BEST == (int)DT_LOOK_BEST && (int)DUET_LOOK_LAST == (int)DT_LOOK_LAST && (int)DUET_LOOK_RAW == (int)DT_LOOK_RAW &&
                   (int)DUET_LOOK_TIMES == (int)DT_LOOK_TIMES, "public choices follow the inner ones");

struct duet_look {
    dt_look *inner;
};

duet_status duet_look_open(const char *folder, const duet_look_options *options, duet_look **out, duet_error *err)
{
    enum { SHOWN = 8 };
    const duet_look_options o = options ? *options : (duet_look_options){0};
    if (o.weights != DUET_LOOK_BEST && o.weights != DUET_LOOK_LAST && o.weights != DUET_LOOK_RAW)
        return dt_fail(err, DUET_ARG, "there are no weights number %d; there are DUET_LOOK_BEST, DUET_LOOK_LAST and DUET_LOOK_RAW", (int)o.weights);
    const dt_look_spec spec = {.folder = folder, .teacher = o.teacher, .student = o.student, .path = o.path, .weights = (int)o.weights,
                               .first = o.first, .n = o.n ? o.n : SHOWN, .threads = o.threads};
    duet_look *look = dt_alloc(1, sizeof *look);
    if (!look) return dt_fail(err, DUET_MEMORY, "%s: not enough memory", folder);
    const duet_status st = dt_look_open(&spec, &look->inner, err);
    if (st) dt_free(look);
    else *out = look;
    return st;
}

void duet_look_close(duet_look *look)
{
    if (!look) return;
    dt_look_close(look->inner);
    dt_free(look);
}

void duet_look_describe(const duet_look *look, duet_look_info *out)
{
    const dt_look_facts *f = dt_look_about(look->inner);
    *out = (duet_look_info){.task = f->recipe->task->name, .data = f->data->name, .teacher = f->teacher->name, .teacher_model = f->teacher->model,
                            .student = f->student->name, .student_model = f->student->model, .class_names = f->data->class_names,
                            .colours = f->data->colours, .classes = f->data->classes,
                            .teacher_weights = f->weights[0].file, .student_weights = f->weights[1].file,
                            .teacher_epoch = f->weights[0].epoch, .student_epoch = f->weights[1].epoch,
                            .teacher_averaged = f->weights[0].averaged, .student_averaged = f->weights[1].averaged};
}

duet_status duet_look_next(duet_look *look, duet_looked *out, duet_error *err)
{
    dt_looked l;
    DT_TRY(dt_look_next(look->inner, &l, err));
    *out = (duet_looked){.index = l.index, .height = l.height, .width = l.width, .pixels = l.pixels, .mask = l.mask, .pixel_labels = l.pixel_labels,
                         .label = l.label, .foreground = l.foreground, .noisy = l.noisy, .teacher_estimate = l.estimate[0],
                         .student_estimate = l.estimate[1], .time = l.time};
    for (int m = 0; m < DT_LOOK_MAPS; m++) {
        out->maps[m].height = l.map[m].height;
        out->maps[m].width = l.map[m].width;
        out->maps[m].values = l.map[m].values;
        out->maps[m].share = l.map[m].share;
    }
    return DUET_OK;
}
