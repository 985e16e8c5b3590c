/* Which tasks there are. A new task is one new file and one new name here. */
#include "tasks/tasks.h"

#include <string.h>

#define DT_TASKS(X) X(classify) X(segment) X(denoise)

static const dt_task *const tasks[] = {
#define X(name) &dt_task_##name,
    DT_TASKS(X)
#undef X
};

const dt_task *dt_task_at(size_t i)
{
    return i < DT_COUNT(tasks) ? tasks[i] : NULL;
}

const dt_task *dt_task_find(const char *name, duet_error *err)
{
    const char *names[DT_COUNT(tasks)];
    dt_text list = {0};
    for (size_t i = 0; i < DT_COUNT(tasks); i++) {
        if (!strcmp(tasks[i]->name, name)) {
            dt_text_release(&list);
            return tasks[i];
        }
        names[i] = tasks[i]->name;
        dt_text_append(&list, "%s%s", i ? ", " : "", tasks[i]->name);
    }
    const char *near = dt_nearest(name, names, DT_COUNT(tasks)), *all = dt_text_ok(&list) ? list.bytes : "";
    if (near) dt_fail(err, DUET_ARG, "there is no task '%s'; did you mean '%s'? Tasks: %s", name, near, all);
    else dt_fail(err, DUET_ARG, "there is no task '%s'. Tasks: %s", name, all);
    dt_text_release(&list);
    return NULL;
}
