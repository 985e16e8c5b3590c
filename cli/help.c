/* duet help: the commands, one command, or a topic. Everything is printed from the tables that the program itself runs on. */
#include "cli.h"

#include <duet/method.h>
#include <duet/recipe.h>
#include <string.h>

/* ---- a command ---------------------------------------------------------------------------------------------- */

static void print_lines(const char *text)
{
    while (*text) {
        const size_t n = strcspn(text, "\n");
        printf("  %s%.*s%s\n", cli_on(stdout, CLI_NAME), (int)n, text, cli_off(stdout));
        text += n + (text[n] == '\n');
    }
}

static void print_options(const cli_command *command)
{
    if (!command->options || !command->options->name) return;
    cli_heading("\nOptions");
    for (const cli_option *o = command->options; o->name; o++) {
        char term[80];
        const bool glued = o->value && o->value[0] == '[';
        snprintf(term, sizeof term, "%s%s%s", o->name, o->value && !glued ? " " : "", o->value ? o->value : "");
        cli_print_entry(term, 22, o->help);
    }
}

static void print_overview(void)
{
    printf("%sduet%s %s: trains neural networks together, so that each learns from the other.\n", cli_on(stdout, CLI_BOLD), cli_off(stdout), duet_version());
    cli_heading("\nCommands");
    for (size_t i = 0; cli_command_at(i); i++) cli_print_entry(cli_command_at(i)->name, 12, cli_command_at(i)->summary);
    cli_heading("\nStart here");
    print_lines("duet train recipes/demo.yaml\nduet help train");
    cli_heading("\nMore");
    cli_print_entry("duet help COMMAND", 30, "a command: its options and an example");
    cli_print_entry("duet help recipe [SECTION]", 30, "what a recipe may say");
    cli_print_entry("duet help environment", 30, "variables, exit codes, the files of a run");
}

void cli_print_command(const cli_command *command)
{
    if (command == &cli_help) {
        print_overview();
        return;
    }
    printf("%sduet %s%s: %s\n", cli_on(stdout, CLI_BOLD), command->name, cli_off(stdout), command->summary);
    cli_heading("\nUsage");
    printf("  duet %s\n\n", command->usage);
    cli_print_folded(stdout, 0, command->text);
    print_options(command);
    cli_heading("\nExample");
    print_lines(command->example);
}

/* ---- topics ------------------------------------------------------------------------------------------------- */

static int print_recipe(const char *section)
{
    char *text;
    duet_error err;
    if (duet_recipe_help(section, &text, &err)) return cli_fail(&err);
    fputs(text, stdout);
    duet_text_free(text);
    return CLI_DONE;
}

static int print_schema(void)
{
    char *text;
    duet_error err;
    if (duet_recipe_schema(&text, &err)) return cli_fail(&err);
    fputs(text, stdout);
    duet_text_free(text);
    return CLI_DONE;
}

static void print_environment(void)
{
    cli_heading("Variables");
    cli_print_entry("DUET_DATA", 26, "the folder above the folders of data sets: data.path left out means $DUET_DATA/NAME");
    cli_print_entry("NO_COLOR", 26, "set to anything: no colours");
    cli_heading("\nExit codes");
    cli_print_entry("0", 26, "done");
    cli_print_entry("1", 26, "it failed: data, numbers, disk, memory");
    cli_print_entry("2", 26, "the command or the recipe is wrong; nothing was done");
    cli_print_entry("130", 26, "stopped by Ctrl-C or SIGTERM, after a checkpoint; --resume goes on");
    cli_heading("\nFiles of a run");
    cli_print_entry("NETWORK.safetensors", 26, "a network's weights as they are now, under PyTorch's names");
    cli_print_entry("NETWORK.best.safetensors", 26, "the same at its best epoch");
    cli_print_entry("state.safetensors", 26, "all that --resume needs");
    cli_print_entry("recipe.yaml", 26, "the recipe with every default written out");
    cli_print_entry("log.jsonl, metrics.csv", 26, "every event; a row for each epoch");
    cli_print_entry("environment.json", 26, "what it ran on");
    cli_heading("\nExample");
    print_lines("DUET_DATA=~/data duet data cifar100");
}

static int unknown_topic(const char *topic)
{
    const char *names[128];
    size_t n = 0;
    duet_method m;
    for (size_t i = 0; cli_command_at(i) && n < CLI_COUNT(names); i++) names[n++] = cli_command_at(i)->name;
    for (size_t i = 0; duet_method_at(i, &m) && n < CLI_COUNT(names); i++) names[n++] = m.name;
    for (size_t i = 0; duet_recipe_section(i) && n < CLI_COUNT(names); i++) names[n++] = duet_recipe_section(i);
    if (n + 3 <= CLI_COUNT(names)) names[n++] = "recipe", names[n++] = "schema", names[n++] = "environment";
    const char *near = duet_nearest(topic, names, n);
    if (near) cli_complain("help: there is no topic '%s'; did you mean `duet help %s`?", topic, near);
    else cli_complain("help: there is no topic '%s'; `duet help` lists what there is", topic);
    return CLI_WRONG;
}

static bool is_section_or_method(const char *topic)
{
    duet_method m;
    for (size_t i = 0; duet_method_at(i, &m); i++)
        if (!strcmp(m.name, topic)) return true;
    for (size_t i = 0; duet_recipe_section(i); i++)
        if (!strcmp(duet_recipe_section(i), topic)) return true;
    return false;
}

static int run(const cli_arguments *a)
{
    const char *topic = a->n_positional ? a->positional[0] : "help";
    const cli_command *command = cli_command_find(topic);
    if (!strcmp(topic, "recipe")) return print_recipe(a->n_positional > 1 ? a->positional[1] : NULL);
    if (a->n_positional > 1) {
        cli_complain("help: '%s' is one word too many; usage: duet help [TOPIC], duet help recipe [SECTION]", a->positional[1]);
        return CLI_WRONG;
    }
    if (command) cli_print_command(command);
    else if (!strcmp(topic, "environment")) print_environment();
    else if (!strcmp(topic, "schema")) return print_schema();
    else return is_section_or_method(topic) ? print_recipe(topic) : unknown_topic(topic);
    return CLI_DONE;
}

const cli_command cli_help = {
    .name = "help",
    .summary = "explain a command, the recipe, or a topic",
    .usage = "help [TOPIC]",
    .text = "Explains a command, the recipe, one of its sections or methods, or a topic: environment, schema (JSON Schema for editors).",
    .example = "duet help train\nduet help recipe train.schedule",
    .most = 2,
    .run = run,
};
