/* Every section of a recipe and its options, said once. The parser, the checks, the writer, `duet help recipe`, docs/recipe.md
 * and the JSON Schema read these tables; the options of a method and of ADM stand in their own files in src/methods.
 * A new key is a row here and a field in dt_recipe. */
#include "device/device.h"
#include "recipe/recipe_impl.h"

#include <string.h>

/* Whole numbers travel through JSON and YAML readers that use doubles: 2^53 - 1. */
#define MAX_EXACT 9007199254740991.0

#define AT(member) offsetof(dt_recipe, member)
#define NETWORK(member) offsetof(dt_recipe_network, member)

static const dt_option data_options[] = {
    {"name", DT_OPTION_TEXT, AT(data.name), NULL, 0, 0, NULL, "the data set"},
    {"path", DT_OPTION_TEXT, AT(data.path), "", 0, 0, NULL, "its folder or archive; left out: $DUET_DATA/NAME"},
    {"augment", DT_OPTION_CHOICE, AT(data.augment), "crop_flip", 0, 0, DT_AUGMENT_CHOICES,
     "how training images are varied: 4 pixels of zero padding and a random crop, then a random flip; only the flip; nothing; resize: "
     "squares of one size out of images of any (the default of folder)"},
    {"scale", DT_OPTION_INTS, AT(data.scale), "[100, 100]", 10, 400, NULL,
     "with crop: training images are scaled by a random per cent of the first number, ten more, .. up to the second: [50, 200]"},
    {"crop", DT_OPTION_INTS, AT(data.crop), "[]", 1, 16384, NULL,
     "height and width of what is cut out of training images, at a random place; smaller ones are filled up to the right and below with zeros, of no class; []: the data set's own size"},
    {"normalise", DT_OPTION_CHOICE, AT(data.normalise), "data", 0, 0, DT_NORMALISE_CHOICES,
     "what networks see of a byte: by the data set's constants; by ImageNet's; blue, green, red minus (104.007, 116.669, 122.679); by the "
     "training images' own mean and deviation, measured before training and written into log.jsonl and the weights"},
    {"on_error", DT_OPTION_CHOICE, AT(data.on_error), "refuse", 0, 0, "refuse|skip",
     "an image that cannot be read ends the run with its name; or is left out, with its name in the log, the next one in its place"},
    {"shuffle", DT_OPTION_BOOL, AT(data.shuffle), "true", 0, 0, NULL, "a new order of the training images in every epoch"},
    {"shuffle_buffer", DT_OPTION_INT, AT(data.shuffle_buffer), "4096", 1, 16777216, NULL,
     "tar: images change places over a distance of at most so many, so that files are read from front to back; the order of files is any"},
    {"views", DT_OPTION_CHOICE, AT(data.views), "shared", 0, 0, "shared|independent",
     "do the networks see the same variation of an image, or each its own? left out: what the method was published with (kdcl: independent)"},
    {"mixup", DT_OPTION_REAL, AT(data.mixup), "0", 0, 1000, NULL,
     "task classify, above 0: alpha of Beta(alpha, alpha), from which a share is drawn for each batch: every image becomes so much of itself and the rest of another one of its batch, its "
     "label alike (mixup); all networks see the same two images, mixed alike. 0.2 for ImageNet, 1 for CIFAR in the paper"},
    {"validation", DT_OPTION_INT, AT(data.validation), "0", 0, 10e6, NULL,
     "training images to hold out; the best epoch is then chosen by them, else by the test set"},
    {"workers", DT_OPTION_INT, AT(data.workers), "2", 1, 64, NULL, "threads that prepare batches; results do not depend on it"},
    {0},
};

static const dt_option square_options[] = {
    {"size", DT_OPTION_INT, AT(data.squares.size), "0", 0, 4096, NULL, "pixels of the square's side; 0: what the networks take"},
    {"short_side", DT_OPTION_INT, AT(data.squares.short_side), "0", 0, 8192, NULL,
     "test images are scaled until their shorter side has so many pixels, then the square is cut out of the middle; 0: size times 256/224"},
    {"flip", DT_OPTION_BOOL, AT(data.squares.flip), "true", 0, 0, NULL, "training images are mirrored with probability 1/2"},
    {"random_resized_crop", DT_OPTION_CHOICE, AT(data.squares.random), "on", 0, 0, "off|on",
     "training squares are random parts of their images; off: the middle, as for test images"},
    {"colour_jitter", DT_OPTION_CHOICE, AT(data.squares.colours), "off", 0, 0, "off|on", "colours of training images are varied"},
    {0},
};

static const dt_option part_options[] = {
    {"scale", DT_OPTION_REALS, AT(data.squares.scale), "[0.08, 1]", 0.0001, 1, NULL, "the part of the image's area: least and most"},
    {"ratio", DT_OPTION_REALS, AT(data.squares.ratio), "[0.75, 1.3333333333333333]", 0.05, 20, NULL, "the part's width by its height: least and most"},
    {0},
};

static const dt_option colour_options[] = {
    {"brightness", DT_OPTION_REAL, AT(data.squares.brightness), "0.4", 0, 10, NULL, "times 1 - x to 1 + x; 0: left alone"},
    {"contrast", DT_OPTION_REAL, AT(data.squares.contrast), "0.4", 0, 10, NULL, "the same"},
    {"saturation", DT_OPTION_REAL, AT(data.squares.saturation), "0.4", 0, 10, NULL, "the same"},
    {0},
};

static const dt_option network_options[] = {
    {"name", DT_OPTION_TEXT, NETWORK(name), NULL, 0, 0, NULL, "what files, columns and messages call it: a letter, then letters, digits, _ or -; at most 24"},
    {"model", DT_OPTION_TEXT, NETWORK(model), NULL, 0, 0, NULL, "its architecture (`duet models` lists sizes)"},
    {"role", DT_OPTION_CHOICE, NETWORK(role), "peer", 0, 0, dt_role_choices, "who it is to methods that tell networks apart, and to adm"},
    {"init", DT_OPTION_TEXT, NETWORK(init), "random", 0, 0, NULL, "random, or a .safetensors file of the same model to start from"},
    {"init_strict", DT_OPTION_BOOL, NETWORK(init_strict), "true", 0, 0, NULL,
     "must the file hold the whole network and nothing else? false: a backbone alone will do; what it lacks is random, and listed"},
    {"init_head", DT_OPTION_CHOICE, NETWORK(init_head), "file", 0, 0, "file|new",
     "new: the last layer (in task segment the auxiliary head's as well) starts at random whatever the file has, so that weights of other classes will do"},
    {"lr_scale", DT_OPTION_REAL, NETWORK(lr_scale), "1", 0, 1000, NULL, "times train.lr: its own learning rate"},
    {"layers", DT_OPTION_RATES, NETWORK(layers), "{}", 0, 1000, NULL,
     "learning rates of single layers, by the beginning of their names up to a point: times train.lr and lr_scale; frozen: not trained, batch norms in inference mode. The longest name that fits counts"},
    {"frozen", DT_OPTION_BOOL, NETWORK(frozen), "false", 0, 0, NULL, "not trained, in inference mode; needs `init`"},
    {0},
};

static const dt_option task_options[] = {
    {"name", DT_OPTION_TEXT, offsetof(dt_section_name, name), "classify", 0, 0, NULL, "what the networks' outputs mean; its own options follow"},
    {0},
};

static const dt_option method_options[] = {
    {"name", DT_OPTION_TEXT, offsetof(dt_section_name, name), NULL, 0, 0, NULL, "the distillation method (`duet methods`); its own options follow"},
    {0},
};

static const dt_option train_options[] = {
    {"epochs", DT_OPTION_INT, AT(train.epochs), "240", 1, 100000, NULL, "passes over the training images"},
    {"steps", DT_OPTION_INT, AT(train.steps), "0", 0, 1e9, NULL,
     "above 0: the run ends after exactly so many steps, in the middle of its last epoch if need be, and train.epochs is not looked at; schedules then span these steps"},
    {"batch", DT_OPTION_INT, AT(train.batch), "64", 1, 65536, NULL, "images per step; with accumulate: of each of its parts"},
    {"accumulate", DT_OPTION_INT, AT(train.accumulate), "1", 1, 4096, NULL,
     "above 1: a step is made of the gradients of so many batches, averaged, for the memory of one; batch norms see each batch by itself"},
    {"seed", DT_OPTION_INT, AT(train.seed), "1", 0, MAX_EXACT, NULL, "decides initial weights, order and variation of images"},
    {"optimizer", DT_OPTION_CHOICE, AT(train.optimizer), "sgd", 0, 0, "sgd|adam|adamw", "how weights follow their gradients, as PyTorch defines it"},
    {"lr", DT_OPTION_REAL, AT(train.lr), "0.05", 0, 100, NULL, "the highest learning rate; left out with adam and adamw: 0.001"},
    {"momentum", DT_OPTION_REAL, AT(train.momentum), "0.9", 0, 0.9999, NULL, "of sgd, as PyTorch applies it; with adam and adamw: 0"},
    {"nesterov", DT_OPTION_BOOL, AT(train.nesterov), "false", 0, 0, NULL, "Nesterov's momentum, of sgd"},
    {"beta1", DT_OPTION_REAL, AT(train.beta1), "0.9", 0, 0.99999, NULL, "adam, adamw: how slowly the mean of gradients changes"},
    {"beta2", DT_OPTION_REAL, AT(train.beta2), "0.999", 0, 0.999999, NULL, "adam, adamw: how slowly the mean of their squares changes"},
    {"eps", DT_OPTION_REAL, AT(train.eps), "1e-8", 1e-16, 1, NULL, "adam, adamw: added to the root of that mean, after the bias correction"},
    {"weight_decay", DT_OPTION_REAL, AT(train.weight_decay), "0.0005", 0, 1, NULL,
     "of every trained parameter, as PyTorch applies it: sgd, adam: added to the gradient; adamw: apart from it; left out with adam: 0, with adamw: 0.01"},
    {"clip_norm", DT_OPTION_REAL, AT(train.clip_norm), "0", 0, 1e6, NULL,
     "above 0: the most that the 2-norm of all gradients of a network may be, each network by itself; longer ones are scaled down to it; log.jsonl then has the norms before that"},
    {"ema", DT_OPTION_REAL, AT(train.ema), "0", 0, 0.999999, NULL,
     "above 0: a moving average of the weights with this decay, with a warm start: min(ema, (1 + k)/(10 + k)) in step k from 0; saved as NAME.ema.safetensors, batch norms' running statistics as they are in the raw network"},
    {"label_smoothing", DT_OPTION_REAL, AT(train.label_smoothing), "0", 0, 0.9, NULL, "share of the target spread over all classes"},
    {"checkpoint_every", DT_OPTION_INT, AT(train.checkpoint_every), "1", 1, 100000, NULL, "epochs between checkpoints; the last epoch always has one"},
    {"evaluate_every", DT_OPTION_INT, AT(train.evaluate_every), "1", 1, 100000, NULL, "epochs between evaluations; the last epoch always has one"},
    {"log_every", DT_OPTION_INT, AT(train.log_every), "50", 1, 1e6, NULL, "steps between entries in log.jsonl"},
    {0},
};

static const dt_option schedule_options[] = {
    {"name", DT_OPTION_CHOICE, AT(train.schedule.name), "multistep", 0, 0, "multistep|cosine|onecycle|constant|poly",
     "the learning rate over time: times gamma at each milestone; half a cosine to 0; from lr/25 up to lr in the first 30 % and down to lr/10000; constant; "
     "lr (1 - step/steps)^power, anew in each step"},
    {"milestones", DT_OPTION_INTS, AT(train.schedule.milestones), "[150, 180, 210]", 1, 100000, NULL,
     "multistep: after how many epochs; left out: 62.5, 75 and 87.5 % of train.epochs, rounded up, which is 150, 180, 210 of 240; needed with train.steps"},
    {"gamma", DT_OPTION_REAL, AT(train.schedule.gamma), "0.1", 0, 1, NULL, "multistep: the factor at a milestone"},
    {"power", DT_OPTION_REAL, AT(train.schedule.power), "0.9", 0.01, 10, NULL, "poly: 1 is a straight line"},
    {"warmup_epochs", DT_OPTION_REAL, AT(train.schedule.warmup_epochs), "0", 0, 1000, NULL, "linear rise of the learning rate at the start; not with onecycle"},
    {0},
};

static const dt_option device_options[] = {
    {"name", DT_OPTION_TEXT, AT(device.name), "cpu", 0, 0, NULL, "what computes; reference: plain C, very slow, for tests"},
    {"threads", DT_OPTION_INT, AT(device.threads), "0", 0, 1024, NULL, "0: all cores that this process may use; results depend on it in the last bits"},
    {"precision", DT_OPTION_CHOICE, AT(device.precision), "f32", 0, 0, "f32|bf16", "of the arithmetic; bf16 is not in this build yet"},
    {0},
};

static const dt_section sections[] = {
    {"", "a recipe: what to train, on what, how", NULL, NULL},
    {"data", "the pictures and how they reach the networks", NULL, data_options},
    {"data.augment", "squares of one size out of images of any", "Either a word, see `data`, or this map, which means `resize`.", square_options},
    {"data.augment.random_resized_crop", "random parts of training images, scaled to the square", "`on`, `off` or a map.", part_options},
    {"data.augment.colour_jitter", "brightness, contrast and saturation of training images, in a random order", "`on`, `off` or a map.", colour_options},
    {"networks", "the networks to train together: a list, one map for each", "How many, and with which roles, depends on the method.", network_options},
    {"task", "what is learned", "May be left out.", task_options},
    {"method", "how the networks learn from each other", NULL, method_options},
    {"adm", "Asymmetric Decision-Making, a companion to any method",
     "Left out, or `adm: off`: not used. `adm: on`, or a map of options: used. Needs at least one network with `role: teacher` and one with `role: student`. "
     "Source: Chen, Zhao, Ge, Chen, Song, Liang, ICML 2025 (arXiv:2503.06685). The equations are re-derived from the paper's public description, not copied: "
     "the paper has no public code and its full text was not at hand. Every choice is an option, every default is to be confirmed by the ablation in docs/results.md.",
     dt_adm_options},
    {"train", "epochs, optimiser, and what is written how often", NULL, train_options},
    {"train.schedule", "the learning rate over time", NULL, schedule_options},
    {"device", "where it runs", NULL, device_options},
};

const dt_section *dt_section_at(size_t i)
{
    return i < DT_COUNT(sections) ? &sections[i] : NULL;
}

const dt_section *dt_section_find(const char *path)
{
    for (size_t i = 0; i < DT_COUNT(sections); i++)
        if (strcmp(sections[i].path, path) == 0) return &sections[i];
    return NULL;
}

const dt_section *dt_section_inside(const dt_section *s, const char *key)
{
    char path[64];
    if (!s) return NULL;
    const int n = snprintf(path, sizeof path, "%s%s%s", s->path, *s->path ? "." : "", key);
    return n > 0 && (size_t)n < sizeof path ? dt_section_find(path) : NULL;
}

/* ---- sections with a name ------------------------------------------------------------------------------------- */

bool dt_section_named_at(const dt_section *s, size_t i, dt_named *out)
{
    if (strcmp(s->path, "method") == 0) {
        const dt_method *m = dt_method_at(i);
        if (m) *out = (dt_named){m->name, m->help, m->source, m->options};
        return m != NULL;
    }
    if (strcmp(s->path, "task") == 0) {
        const dt_task *t = dt_task_at(i);
        if (t) *out = (dt_named){t->name, t->help, NULL, t->options};
        return t != NULL;
    }
    return false;
}

/* ---- names from registries ------------------------------------------------------------------------------------ */

static const char *data_name(size_t i)
{
    const dt_source_kind *k = dt_source_kind_at(i);
    return k ? k->name : NULL;
}

static const char *model_name(size_t i)
{
    const dt_model *m = dt_model_at(i);
    return m ? m->name : NULL;
}

static const char *task_name(size_t i)
{
    const dt_task *t = dt_task_at(i);
    return t ? t->name : NULL;
}

static const char *method_name(size_t i)
{
    const dt_method *m = dt_method_at(i);
    return m ? m->name : NULL;
}

static const char *device_name(size_t i)
{
    size_t n = 0;
    const dt_device_api *const *all = dt_device_all(&n);
    return i < n ? all[i]->name : NULL;
}

static const char *model_hint(const char *name, char *to, size_t n)
{
    char hint[DT_MODEL_HINT];
    (void)dt_model_hint(name, hint);
    snprintf(to, n, "%s%s", *hint ? "; " : "", hint);
    return to;
}

static const dt_name_rules model_rules = {
    .listed = "a network that `duet models` lists, or the file of one (docs/models.md), as mine.yaml", .also = dt_model_is_file,
    .also_help = "or a file that describes one: [FILE.yaml](models.md)", .also_pattern = "\\.ya?ml$", .hint = model_hint,
};

static const struct {
    const char *section, *key;
    const char *(*at)(size_t i);
    const dt_name_rules *rules;
} registries[] = {
    {"data", "name", data_name, NULL},     {"networks", "model", model_name, &model_rules}, {"task", "name", task_name, NULL},
    {"method", "name", method_name, NULL}, {"device", "name", device_name, NULL},
};

const dt_name_rules *dt_section_name_rules(const dt_section *s, const char *key)
{
    for (size_t k = 0; s && k < DT_COUNT(registries); k++)
        if (strcmp(registries[k].section, s->path) == 0 && strcmp(registries[k].key, key) == 0) return registries[k].rules;
    return NULL;
}

const char *dt_section_name_at(const dt_section *s, const char *key, size_t i)
{
    for (size_t k = 0; k < DT_COUNT(registries); k++)
        if (strcmp(registries[k].section, s->path) == 0 && strcmp(registries[k].key, key) == 0) return registries[k].at(i);
    return NULL;
}
