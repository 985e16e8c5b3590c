/* duet: the program. Finds the command, parses its arguments, runs it. What each command does is in the file of its name. */
#include "cli.h"

#include <locale.h>
#include <string.h>

/* In the order in which people meet them. */
static const cli_command *const commands[] = {&cli_train, &cli_eval, &cli_predict, &cli_look, &cli_plan,  &cli_models, &cli_methods,
                                              &cli_sample, &cli_frechet, &cli_data,  &cli_bench, &cli_help, &cli_version};

const cli_command *cli_command_at(size_t i)
{
    return i < CLI_COUNT(commands) ? commands[i] : NULL;
}

const cli_command *cli_command_find(const char *name)
{
    for (size_t i = 0; i < CLI_COUNT(commands); i++)
        if (!strcmp(commands[i]->name, name)) return commands[i];
    return NULL;
}

static int unknown_command(const char *name)
{
    const char *names[CLI_COUNT(commands)];
    for (size_t i = 0; i < CLI_COUNT(commands); i++) names[i] = commands[i]->name;
    const char *near = duet_nearest(name, names, CLI_COUNT(commands));
    if (near) cli_complain("there is no command '%s'; did you mean `duet %s`?", name, near);
    else cli_complain("there is no command '%s'; `duet help` lists what there is", name);
    return CLI_WRONG;
}

static bool asks_for_help(const char *const *words, size_t n)
{
    for (size_t i = 0; i < n && strcmp(words[i], "--"); i++)
        if (!strcmp(words[i], "--help") || !strcmp(words[i], "-h")) return true;
    return false;
}

/* A result that could not be printed (a closed pipe, a full disk) is a failure too. */
static int finish(int code)
{
    if ((fflush(stdout) || ferror(stdout)) && code == CLI_DONE) {
        cli_complain("the output could not be written");
        return CLI_FAILED;
    }
    return code;
}

int main(int argc, char **argv)
{
    setlocale(LC_CTYPE, ""); /* only to learn whether the terminal speaks UTF-8; numbers keep their point */
    const char *const *words = (const char *const *)argv;
    const size_t n = argc > 0 ? (size_t)argc : 0;
    if (n < 2) {
        cli_print_command(&cli_help);
        return finish(CLI_WRONG);
    }
    const char *name = words[1];
    if (!strcmp(name, "--help") || !strcmp(name, "-h")) name = "help";
    if (!strcmp(name, "--version") || !strcmp(name, "-V")) name = "version";
    const cli_command *command = cli_command_find(name);
    if (!command) return unknown_command(name);
    if (asks_for_help(words + 2, n - 2)) {
        cli_print_command(command);
        return finish(CLI_DONE);
    }
    static cli_arguments arguments; /* some kilobytes, once */
    if (!cli_arguments_parse(command, words + 2, n - 2, &arguments)) return CLI_WRONG;
    return finish(command->run(&arguments));
}
