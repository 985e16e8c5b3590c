/* Every mistake a user can make in a recipe gives one message: the exact place, the key, what was found, what is allowed. One
 * row, one test. Places are counted by hand. */
#include "recipe/recipe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Lines 1 to 5 of most recipes below: what follows them starts in line 6. */
#define GOOD                                                                                                           \
    "data: {name: shapes}\n"                                                                                           \
    "networks:\n"                                                                                                      \
    "  - {name: teacher, model: resnet20, role: teacher}\n"                                                            \
    "  - {name: student, model: resnet8, role: student}\n"                                                             \
    "method: {name: dml}\n"
#define PEERS "networks: [{name: a, model: resnet8}, {name: b, model: resnet8}]\n"

typedef struct row {
    const char *name, *text;
    const char *start; /* how the message starts: place and key */
    const char *parts[4];
    const char *override; /* NULL: none */
} row;

static const row rows[] = {
    /* ---- not a recipe at all ---- */
    {"an_empty_file", "", "r.yaml:1:1: ", {"empty", "`networks`"}, NULL},
    {"only_a_comment", "# nothing\n", "r.yaml:1:1: ", {"empty"}, NULL},
    {"a_list", "- data\n- networks\n", "r.yaml:1:1: ", {"found a list", "a recipe is a map"}, NULL},
    {"a_word", "hello\n", "r.yaml:1:1: ", {"found hello", "a recipe is a map"}, NULL},
    {"yaml_that_is_not_valid", "data: {name: shapes\nnetworks: 3\n", "r.yaml:2:", {"not valid YAML"}, NULL},
    {"a_tab_as_indentation", "data:\n\tname: shapes\n", "r.yaml:2:1: ", {"not valid YAML", "tab"}, NULL},
    {"a_second_document", GOOD "---\nadm: on\n", "r.yaml:6:1: ", {"second document"}, NULL},
    {"an_anchor", "data: &d {name: shapes}\n", "r.yaml:1:10: ", {"anchor"}, NULL},
    {"an_alias", "data: *d\n", "r.yaml:1:7: ", {"alias"}, NULL},
    {"a_tag", GOOD "train: {epochs: !!int 3}\n", "r.yaml:6:", {"tag"}, NULL},
    {"a_list_as_a_key", "? [data]\n: 3\n", "r.yaml:1:3: ", {"found a list as a key"}, NULL},
    {"bytes_that_are_not_utf8", "data: {name: shapes}\nadm: \xff\n", "r.yaml:2:6: ", {"0xff", "UTF-8"}, NULL},
    {"a_control_character", "data:\x01 3\n", "r.yaml:1:6: ", {"U+0001"}, NULL},
    {"a_line_break_in_text", "data: {name: \"a\\nb\"}\n", "r.yaml:1:14: ", {"line break"}, NULL},
    {"lists_without_end", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n", "r.yaml:1:17: ", {"deep"}, NULL},
    {"extends_outside_a_file", "extends: base.yaml\n" GOOD, "r.yaml:1:1: extends: ", {"not a file"}, NULL},

    /* ---- keys ---- */
    {"an_unknown_section", GOOD "trian: {epochs: 3}\n", "r.yaml:6:1: trian: ", {"unknown key", "data, networks", "did you mean train?"}, NULL},
    {"an_unknown_key", GOOD "train: {epoch: 3}\n", "r.yaml:6:9: train.epoch: ", {"unknown key", "epochs, steps", "did you mean epochs?"}, NULL},
    {"an_unknown_key_two_deep", GOOD "train:\n  schedule:\n    gama: 0.1\n", "r.yaml:8:5: train.schedule.gama: ", {"unknown key", "did you mean gamma?"}, NULL},
    {"an_unknown_key_of_a_network", "data: {name: shapes}\nnetworks:\n  - {name: a, modell: resnet8}\nmethod: {name: vanilla}\n", "r.yaml:3:15: networks.0.modell: ", {"unknown key", "did you mean model?"}, NULL},
    {"an_option_of_another_method", GOOD "adm: off\n", "--set method.target=mean: method.target: ", {"unknown key", "temperature"}, "method.target=mean"},
    {"an_unknown_option_of_adm", GOOD "adm: {alpa: 2}\n", "r.yaml:6:7: adm.alpa: ", {"unknown key", "did you mean alpha?"}, NULL},
    {"a_duplicate_key", GOOD "train:\n  lr: 0.1\n  lr: 0.2\n", "r.yaml:8:3: lr: ", {"twice", "line 7"}, NULL},
    {"a_duplicate_section", GOOD "data: {name: cifar10}\n", "r.yaml:6:1: data: ", {"twice", "line 1"}, NULL},

    /* ---- what is missing ---- */
    {"no_networks", "data: {name: shapes}\nmethod: {name: vanilla}\n", "r.yaml:1:1: networks: ", {"missing", "{name: student"}, NULL},
    {"networks_is_empty", "data: {name: shapes}\nnetworks: []\nmethod: {name: vanilla}\n", "r.yaml:2:11: networks: ", {"empty list"}, NULL},
    {"networks_is_a_map", "data: {name: shapes}\nnetworks: {name: a}\nmethod: {name: vanilla}\n", "r.yaml:2:11: networks: ", {"found a map", "allowed: a list"}, NULL},
    {"a_network_is_a_word", "data: {name: shapes}\nnetworks: [resnet8]\nmethod: {name: vanilla}\n", "r.yaml:2:12: networks.0: ", {"found resnet8", "allowed: a map"}, NULL},
    {"no_data", PEERS "method: {name: dml}\n", "r.yaml:1:1: data.name: ", {"missing", "allowed: ", "cifar100"}, NULL},
    {"no_method", "data: {name: shapes}\n" PEERS, "r.yaml:1:1: method.name: ", {"missing", "vanilla", "switokd"}, NULL},
    {"a_method_without_a_name", "data: {name: shapes}\n" PEERS "method: {temperature: 2}\n", "r.yaml:3:1: method.name: ", {"missing", "vanilla"}, NULL},
    {"a_network_without_a_model", "data: {name: shapes}\nnetworks:\n  - {name: a}\nmethod: {name: vanilla}\n", "r.yaml:3:5: networks.0.model: ", {"missing", "resnet8"}, NULL},
    {"a_network_without_a_name", "data: {name: shapes}\nnetworks:\n  - {model: resnet8}\nmethod: {name: vanilla}\n", "r.yaml:3:5: networks.0.name: ", {"missing"}, NULL},

    /* ---- types ---- */
    {"text_for_a_number", GOOD "train: {lr: fast}\n", "r.yaml:6:13: train.lr: ", {"found fast", "allowed: a number from 0 to 100"}, NULL},
    {"a_number_in_quotes", GOOD "train: {lr: \"0.1\"}\n", "r.yaml:6:13: train.lr: ", {"\"0.1\" in quotes", "allowed: a number"}, NULL},
    {"a_list_for_a_number", GOOD "train: {lr: [0.1]}\n", "r.yaml:6:13: train.lr: ", {"found a list", "allowed: a number"}, NULL},
    {"nothing_for_a_number", GOOD "train:\n  lr:\n", "r.yaml:7:3: train.lr: ", {"found nothing", "allowed: a number"}, NULL},
    {"a_fraction_for_a_whole_number", GOOD "train: {epochs: 2.5}\n", "r.yaml:6:17: train.epochs: ", {"found 2.5", "a whole number from 1"}, NULL},
    {"an_exponent_for_a_whole_number", GOOD "train: {epochs: 1e2}\n", "r.yaml:6:17: train.epochs: ", {"found 1e2", "a whole number"}, NULL},
    {"hexadecimal", GOOD "train: {seed: 0x10}\n", "r.yaml:6:15: train.seed: ", {"found 0x10", "a whole number"}, NULL},
    {"leading_zeros", GOOD "train: {seed: 010}\n", "r.yaml:6:15: train.seed: ", {"found 010", "a whole number"}, NULL},
    {"underscores", GOOD "train: {epochs: 1_000}\n", "r.yaml:6:17: train.epochs: ", {"found 1_000", "a whole number"}, NULL},
    {"a_truth_that_is_a_word", GOOD "train: {nesterov: yes}\n", "r.yaml:6:19: train.nesterov: ", {"found yes", "true or false"}, NULL},
    {"a_number_for_a_list", GOOD "train: {schedule: {milestones: 5}}\n", "r.yaml:6:32: train.schedule.milestones: ", {"found 5", "allowed: a list"}, NULL},
    {"text_in_a_list_of_numbers", GOOD "train: {schedule: {milestones: [5, x]}}\n", "r.yaml:6:36: train.schedule.milestones: ", {"found x", "whole numbers"}, NULL},
    {"a_word_for_a_section", GOOD "train: fast\n", "r.yaml:6:8: train: ", {"found fast", "allowed: a map"}, NULL},
    {"a_map_for_text", "data: {name: {a: b}}\n" PEERS "method: {name: dml}\n", "r.yaml:1:14: data.name: ", {"found a map", "shapes"}, NULL},

    /* ---- ranges ---- */
    {"a_number_too_large", GOOD "train: {lr: 500}\n", "r.yaml:6:13: train.lr: ", {"found 500", "from 0 to 100"}, NULL},
    {"a_number_too_small", GOOD "train: {momentum: -0.1}\n", "r.yaml:6:19: train.momentum: ", {"found -0.1", "from 0 to 0.9999"}, NULL},
    {"no_epochs", GOOD "train: {epochs: 0}\n", "r.yaml:6:17: train.epochs: ", {"found 0", "from 1 to 100000"}, NULL},
    {"a_whole_number_beyond_64_bits", GOOD "train: {seed: 99999999999999999999}\n", "r.yaml:6:15: train.seed: ", {"found 99999999999999999999", "a whole number from 0"}, NULL},
    {"infinity", GOOD "train: {lr: .inf}\n", "r.yaml:6:13: train.lr: ", {"found .inf", "from 0 to 100"}, NULL},
    {"infinity_by_exponent", GOOD "train: {lr: 1e999}\n", "r.yaml:6:13: train.lr: ", {"found 1e999", "from 0 to 100"}, NULL},
    {"not_a_number", GOOD "train: {lr: .nan}\n", "r.yaml:6:13: train.lr: ", {"found .nan", "from 0 to 100"}, NULL},
    {"an_unknown_choice", GOOD, "--set data.augment=crop-flip: data.augment: ", {"found crop-flip", "crop_flip, flip, none", "did you mean crop_flip?"}, "data.augment=crop-flip"},
    {"a_milestone_of_zero", GOOD "train: {schedule: {milestones: [0]}}\n", "r.yaml:6:33: train.schedule.milestones: ", {"found 0", "from 1"}, NULL},
    {"seventeen_milestones", GOOD "train: {schedule: {milestones: [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}}\n", "r.yaml:6:32: train.schedule.milestones: ", {"at most 16"}, NULL},

    /* ---- names ---- */
    {"an_unknown_model", "data: {name: shapes}\nnetworks: [{name: a, model: resnet21}]\nmethod: {name: vanilla}\n", "r.yaml:2:29: networks.0.model: ", {"found resnet21", "allowed: a network that `duet models` lists", "did you mean resnet2"}, NULL},
    {"an_unknown_method", "data: {name: shapes}\n" PEERS "method: {name: dmll}\n", "r.yaml:3:16: method.name: ", {"found dmll", "vanilla, kd, dml", "did you mean dml?"}, NULL},
    {"an_unknown_data_set", "data: {name: cifar1000}\n" PEERS "method: {name: dml}\n", "r.yaml:1:14: data.name: ", {"found cifar1000", "shapes", "did you mean cifar100?"}, NULL},
    {"an_unknown_task", GOOD "task: {name: segmentation}\n", "r.yaml:6:14: task.name: ", {"found segmentation", "classify"}, NULL},
    {"an_unknown_device", GOOD "device: {name: gpu}\n", "r.yaml:6:16: device.name: ", {"found gpu", "reference"}, NULL},
    {"an_unknown_role", "data: {name: shapes}\nnetworks: [{name: a, model: resnet8, role: tutor}]\nmethod: {name: vanilla}\n", "r.yaml:2:44: networks.0.role: ", {"found tutor", "peer, teacher, student"}, NULL},
    {"two_networks_of_one_name", "data: {name: shapes}\nnetworks:\n  - {name: net, model: resnet8}\n  - {name: net, model: resnet20}\nmethod: {name: dml}\n", "r.yaml:4:12: networks.1.name: ", {"found net", "networks.0", "no other network"}, NULL},
    {"two_names_of_one_file", "data: {name: shapes}\nnetworks:\n  - {name: net, model: resnet8}\n  - {name: Net, model: resnet20}\nmethod: {name: dml}\n", "r.yaml:4:12: networks.1.name: ", {"found Net", "networks.0 is called net"}, NULL},
    {"a_name_that_leaves_the_folder", "data: {name: shapes}\nnetworks: [{name: ../net, model: resnet8}]\nmethod: {name: vanilla}\n", "r.yaml:2:19: networks.0.name: ", {"found ../net", "letters, digits"}, NULL},
    {"a_name_with_a_dot", "data: {name: shapes}\nnetworks: [{name: net.best, model: resnet8}]\nmethod: {name: vanilla}\n", "r.yaml:2:19: networks.0.name: ", {"found net.best", "letters, digits"}, NULL},
    {"a_name_that_is_too_long", "data: {name: shapes}\nnetworks: [{name: abcdefghijklmnopqrstuvwxy, model: resnet8}]\nmethod: {name: vanilla}\n", "r.yaml:2:19: networks.0.name: ", {"at most 24"}, NULL},
    {"the_name_of_the_checkpoint", "data: {name: shapes}\nnetworks: [{name: state, model: resnet8}]\nmethod: {name: vanilla}\n", "r.yaml:2:19: networks.0.name: ", {"found state", "any other name"}, NULL},
    {"an_empty_name", "data: {name: shapes}\nnetworks: [{name: \"\", model: resnet8}]\nmethod: {name: vanilla}\n", "r.yaml:2:19: networks.0.name: ", {"allowed: text"}, NULL},

    /* ---- weights of classes ---- */
    {"weights_that_are_a_word", GOOD "task: {class_weights: balance}\n", "r.yaml:6:23: task.class_weights: ", {"found balance", "off, balanced, or a list with a number from 0 to 1000000 for each class"}, NULL},
    {"weights_that_are_a_map", GOOD "task: {class_weights: {cat: 2}}\n", "r.yaml:6:23: task.class_weights: ", {"found a map", "a list"}, NULL},
    {"no_weights", GOOD "task: {class_weights: []}\n", "r.yaml:6:23: task.class_weights: ", {"a number from 0 to 1000000 for each class"}, NULL},
    {"a_negative_weight", GOOD "task: {class_weights: [1, -2]}\n", "r.yaml:6:27: task.class_weights: ", {"found -2", "from 0 to 1000000"}, NULL},
    {"a_weight_that_is_a_word", GOOD "task: {class_weights: [1, .inf]}\n", "r.yaml:6:27: task.class_weights: ", {"found .inf"}, NULL},
    {"weights_that_are_all_zero", GOOD "task: {class_weights: [0, 0]}\n", "r.yaml:6:23: task.class_weights: ", {"all 0", "at least one above 0"}, NULL},
    {"balanced_pixels", "data: {name: shapes-seg}\nnetworks: [{name: a, model: seg8}]\nmethod: {name: vanilla}\ntask: {name: segment, class_weights: balanced}\n", "r.yaml:4:38: task.class_weights: ", {"found balanced with task segment", "every pixel", "off, or a list"}, NULL},
    {"weights_of_noise", "data: {name: shapes}\nnetworks: [{name: a, model: unet_c8}]\nmethod: {name: vanilla}\ntask: {name: denoise, class_weights: balanced}\n", "r.yaml:4:23: task.class_weights: ", {"unknown key"}, NULL},

    /* ---- steps of several batches ---- */
    {"no_batch_to_a_step", GOOD "train: {accumulate: 0}\n", "r.yaml:6:21: train.accumulate: ", {"found 0", "from 1 to 4096"}, NULL},
    {"half_a_batch_to_a_step", GOOD "train: {accumulate: 0.5}\n", "r.yaml:6:21: train.accumulate: ", {"found 0.5", "a whole number"}, NULL},
    {"batches_of_a_step_that_differ_in_who_learns", "data: {name: shapes}\nnetworks: [{name: a, model: resnet8, role: teacher}, {name: b, model: resnet8, role: student}]\nmethod: {name: switokd}\ntrain: {accumulate: 2}\n", "r.yaml:4:21: train.accumulate: ", {"found 2 with method switokd", "decides for every batch anew", "allowed here: 1"}, NULL},

    /* ---- combinations ---- */
    {"one_network_for_dml", "data: {name: shapes}\nnetworks: [{name: a, model: resnet8}]\nmethod: {name: dml}\n", "r.yaml:3:9: ", {"dml", "2 or more networks", "found 1"}, NULL},
    {"four_networks_for_switokd", "data: {name: shapes}\nnetworks: [{name: a, model: resnet8}, {name: b, model: resnet8}, {name: c, model: resnet8}, {name: d, model: resnet8}]\nmethod: {name: switokd}\n", "r.yaml:3:9: ", {"switokd", "2 to 3 networks", "found 4"}, NULL},
    {"more_networks_than_there_is_room_for", "data: {name: shapes}\nnetworks:\n- {name: a, model: resnet8}\n- {name: b, model: resnet8}\n- {name: c, model: resnet8}\n- {name: d, model: resnet8}\n- {name: e, model: resnet8}\n- {name: f, model: resnet8}\n- {name: g, model: resnet8}\n- {name: h, model: resnet8}\nmethod: {name: dml}\n", "r.yaml:10:3: networks.7: ", {"more networks than the 7"}, NULL},
    {"switokd_without_roles", "data: {name: shapes}\n" PEERS "method: {name: switokd}\n", "r.yaml:3:9: ", {"switokd", "role: teacher"}, NULL},
    {"kd_with_a_teacher_that_learns", "data: {name: shapes}\nnetworks: [{name: a, model: resnet8, role: teacher}, {name: b, model: resnet8, role: student}]\nmethod: {name: kd}\n", "r.yaml:3:9: ", {"kd", "frozen: true", "init"}, NULL},
    {"a_frozen_network_without_init", "data: {name: shapes}\nnetworks: [{name: a, model: resnet8, role: teacher, frozen: true}, {name: b, model: resnet8, role: student}]\nmethod: {name: kd}\n", "r.yaml:2:61: networks.0.frozen: ", {"found true without init", "init: FILE"}, NULL},
    {"part_of_a_frozen_network", "data: {name: shapes}\nnetworks: [{name: a, model: resnet8, role: teacher, frozen: true, init: a.safetensors, init_strict: false}, {name: b, model: resnet8, role: student}]\nmethod: {name: kd}\n", "r.yaml:2:101: networks.0.init_strict: ", {"found false for a frozen network", "allowed: true"}, NULL},
    {"part_of_no_file", "data: {name: shapes}\nnetworks: [{name: a, model: resnet8, init_strict: false}]\nmethod: {name: vanilla}\n", "r.yaml:2:51: networks.0.init_strict: ", {"without init"}, NULL},
    {"nothing_that_learns", "data: {name: shapes}\nnetworks: [{name: a, model: resnet8, frozen: true, init: a.safetensors}]\nmethod: {name: vanilla}\n", "r.yaml:3:9: ", {"every network is frozen"}, NULL},
    {"rates_of_layers_that_are_a_list", "data: {name: shapes}\nnetworks: [{name: a, model: resnet8, layers: [conv1]}]\nmethod: {name: vanilla}\n", "r.yaml:2:46: networks.0.layers: ", {"found a list", "a map of at most 16 names", "frozen"}, NULL},
    {"a_rate_of_a_layer_that_is_a_word", "data: {name: shapes}\nnetworks: [{name: a, model: resnet8, layers: {conv1: froze}}]\nmethod: {name: vanilla}\n", "r.yaml:2:54: networks.0.layers: ", {"found froze", "a number from 0 to 1000", "the word frozen"}, NULL},
    {"a_rate_of_a_layer_out_of_range", "data: {name: shapes}\nnetworks: [{name: a, model: resnet8, layers: {fc: -1}}]\nmethod: {name: vanilla}\n", "r.yaml:2:51: networks.0.layers: ", {"found -1", "from 0 to 1000"}, NULL},
    {"rates_in_a_frozen_network", "data: {name: shapes}\nnetworks: [{name: a, model: resnet8, role: teacher, frozen: true, init: a.safetensors, layers: {fc: 2}}, {name: b, model: resnet8, role: student}]\nmethod: {name: kd}\n", "r.yaml:2:96: networks.0.layers: ", {"frozen as a whole"}, NULL},
    {"a_new_head_of_a_random_network", "data: {name: shapes}\nnetworks: [{name: a, model: resnet8, init_head: new}]\nmethod: {name: vanilla}\n", "r.yaml:2:49: networks.0.init_head: ", {"without init", "allowed: file"}, NULL},
    {"a_new_head_of_a_frozen_network", "data: {name: shapes}\nnetworks: [{name: a, model: resnet8, role: teacher, frozen: true, init: a.safetensors, init_head: new}, {name: b, model: resnet8, role: student}]\nmethod: {name: kd}\n", "r.yaml:2:99: networks.0.init_head: ", {"frozen", "teach noise"}, NULL},
    {"a_new_head_where_there_are_no_classes", "data: {name: shapes-plain}\ntask: {name: denoise}\nnetworks: [{name: a, model: unet_c8, init: a.safetensors, init_head: new}]\nmethod: {name: vanilla}\n", "r.yaml:3:70: networks.0.init_head: ", {"without classes"}, NULL},
    {"general_targets_without_validation", "data: {name: shapes}\n" PEERS "method: {name: kdcl, target: general}\n", "r.yaml:3:9: ", {"general", "validation"}, NULL},
    {"adm_without_roles", "data: {name: shapes}\n" PEERS "method: {name: dml}\nadm: on\n", "r.yaml:4:6: ", {"adm", "role: teacher", "role: student"}, NULL},
    {"adm_with_nothing", GOOD "adm:\n", "r.yaml:6:1: adm: ", {"found nothing", "on, off, or a map"}, NULL},
    {"adm_with_another_word", GOOD "adm: maybe\n", "r.yaml:6:6: adm: ", {"found maybe", "on, off, or a map"}, NULL},
    {"adm_align_with_a_scalar_view", GOOD "adm: {view: label}\n", "r.yaml:6:6: ", {"adm", "view", "align"}, NULL},
    {"bf16", GOOD "device: {precision: bf16}\n", "r.yaml:6:21: device.precision: ", {"found bf16", "allowed: f32"}, NULL},
    {"nesterov_without_momentum", GOOD "train: {nesterov: true, momentum: 0}\n", "r.yaml:6:19: train.nesterov: ", {"momentum 0"}, NULL},
    {"a_milestone_after_the_end", GOOD "train: {epochs: 100, schedule: {milestones: [50, 150]}}\n", "r.yaml:6:50: train.schedule.milestones: ", {"found 150", "100 epochs"}, NULL},
    {"milestones_out_of_order", GOOD "train: {schedule: {milestones: [50, 40]}}\n", "r.yaml:6:37: train.schedule.milestones: ", {"found 40 after 50", "ascending"}, NULL},
    {"a_warm_up_of_onecycle", GOOD "train: {schedule: {name: onecycle, warmup_epochs: 3}}\n", "r.yaml:6:51: train.schedule.warmup_epochs: ", {"onecycle"}, NULL},
    {"momentum_with_adam", GOOD "train: {optimizer: adam, momentum: 0.9}\n", "r.yaml:6:36: train.momentum: ", {"found 0.9 with train.optimizer adam", "beta1", "leave it out"}, NULL},
    {"nesterov_with_adamw", GOOD "train: {optimizer: adamw, nesterov: true}\n", "r.yaml:6:37: train.nesterov: ", {"found true with train.optimizer adamw", "sgd", "leave it out"}, NULL},
    {"beta_with_sgd", GOOD "train: {beta2: 0.99}\n", "r.yaml:6:16: train.beta2: ", {"found 0.99 with train.optimizer sgd", "adam and adamw", "0.999"}, NULL},
    {"eps_with_sgd", GOOD "train: {eps: 0.1}\n", "r.yaml:6:14: train.eps: ", {"found 0.1", "adam and adamw"}, NULL},
    {"an_unknown_optimizer", GOOD "train: {optimizer: adamax}\n", "r.yaml:6:20: train.optimizer: ", {"found adamax", "sgd, adam, adamw", "did you mean adam"}, NULL},
    {"a_beta_of_one", GOOD "train: {optimizer: adam, beta1: 1}\n", "r.yaml:6:33: train.beta1: ", {"found 1", "0.99999"}, NULL},
    {"an_eps_of_zero", GOOD "train: {optimizer: adam, eps: 0}\n", "r.yaml:6:31: train.eps: ", {"found 0", "1e-16"}, NULL},
    {"a_negative_norm", GOOD "train: {clip_norm: -1}\n", "r.yaml:6:20: train.clip_norm: ", {"found -1", "from 0"}, NULL},
    {"an_average_that_never_moves", GOOD "train: {ema: 1}\n", "r.yaml:6:14: train.ema: ", {"found 1", "0.999999"}, NULL},
    {"steps_with_milestones_left_out", GOOD "train: {steps: 500}\n", "r.yaml:6:16: train.steps: ", {"found 500", "milestones", "poly"}, NULL},
    {"a_power_of_zero", GOOD "train: {schedule: {name: poly, power: 0}}\n", "r.yaml:6:39: train.schedule.power: ", {"found 0", "from 0.01"}, NULL},

    /* ---- --set ---- */
    {"set_without_a_value", GOOD, "--set: ", {"found train.lr", "key.path=value"}, "train.lr"},
    {"set_without_a_key", GOOD, "--set: ", {"found =3", "key.path=value"}, "=3"},
    {"set_with_an_empty_part", GOOD, "--set train..lr=3: ", {"empty part"}, "train..lr=3"},
    {"set_of_an_unknown_key", GOOD, "--set train.lrr=3: train.lrr: ", {"unknown key", "did you mean lr?"}, "train.lrr=3"},
    {"set_out_of_range", GOOD, "--set train.lr=-1: train.lr: ", {"found -1", "from 0 to 100"}, "train.lr=-1"},
    {"set_of_a_network_that_is_not_there", GOOD, "--set networks.2.model=resnet8: networks: ", {"found 2", "0 to 1", "teacher, student"}, "networks.2.model=resnet8"},
    {"set_of_a_network_by_a_wrong_name", GOOD, "--set networks.stud.model=resnet8: networks: ", {"found stud", "teacher, student"}, "networks.stud.model=resnet8"},
    {"set_with_yaml_that_is_not_valid", GOOD, "--set train.schedule.milestones=[3: ", {"not valid YAML"}, "train.schedule.milestones=[3"},
    {"set_of_extends", GOOD, "--set extends=x.yaml: extends: ", {"cannot be set"}, "extends=x.yaml"},
};

static void gives_one_message_with_the_place(void **state)
{
    const row *r = *state;
    duet_error err = {0};
    dt_recipe *recipe = NULL;
    duet_status status = dt_recipe_parse("r.yaml", r->text, strlen(r->text), &r->override, r->override ? 1 : 0, &recipe, &err);
    dt_recipe_destroy(recipe);
    if (status != DUET_RECIPE) fail_msg("%s: status %s, want recipe; message: %s", r->name, duet_status_name(status), err.message);
    if (strncmp(err.message, r->start, strlen(r->start)) != 0) fail_msg("%s: want a message that starts with\n  %s\ngot\n  %s", r->name, r->start, err.message);
    for (size_t i = 0; i < DT_COUNT(r->parts) && r->parts[i]; i++)
        if (!strstr(err.message, r->parts[i])) fail_msg("%s: want `%s` in\n  %s", r->name, r->parts[i], err.message);
    assert_int_equal(err.status, DUET_RECIPE);
    assert_null(recipe);
}

int main(void)
{
    struct CMUnitTest tests[DT_COUNT(rows)];
    for (size_t i = 0; i < DT_COUNT(rows); i++)
        tests[i] = (struct CMUnitTest){.name = rows[i].name, .test_func = gives_one_message_with_the_place, .initial_state = (void *)(uintptr_t)&rows[i]};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
