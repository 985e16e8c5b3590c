/* Words of a command line, checked against a command's table of options. Every mistake is one sentence that names the word,
 * what would be accepted, and where to read more. */
#include "cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_optional(const cli_option *o)
{
    return o->value && o->value[0] == '[';
}

static const cli_option *find_option(const cli_command *command, const char *name, size_t length)
{
    for (const cli_option *o = command->options; o && o->name; o++)
        if (strlen(o->name) == length && !strncmp(o->name, name, length)) return o;
    return NULL;
}

static bool unknown_option(const cli_command *command, const char *word, size_t length)
{
    const char *names[64];
    char name[80];
    size_t n = 0;
    for (const cli_option *o = command->options; o && o->name && n < CLI_COUNT(names); o++) names[n++] = o->name;
    snprintf(name, sizeof name, "%.*s", (int)length, word);
    const char *near = duet_nearest(name, names, n);
    if (near) cli_complain("%s has no option '%s'; did you mean %s?", command->name, name, near);
    else cli_complain("%s has no option '%s'; `duet help %s` lists them", command->name, name, command->name);
    return false;
}

static bool keep_option(cli_arguments *a, const cli_option *option, const char *value)
{
    if (a->n_given == CLI_MOST_ARGUMENTS) {
        cli_complain("%s: more than %d options", a->command->name, CLI_MOST_ARGUMENTS);
        return false;
    }
    a->given[a->n_given].option = option;
    a->given[a->n_given++].value = value;
    return true;
}

/* words[*i] starts with "--"; its value may be the next word. */
static bool take_option(cli_arguments *a, const char *const *words, size_t n, size_t *i)
{
    const char *word = words[*i], *value = strchr(word, '=');
    const size_t length = value ? (size_t)(value - word) : strlen(word);
    const cli_option *option = find_option(a->command, word, length);
    if (!option) return unknown_option(a->command, word, length);
    if (value) value++;
    if (value && !option->value) {
        cli_complain("%s: %s takes no value, but got '%s'", a->command->name, option->name, value);
        return false;
    }
    if (!value && option->value && !is_optional(option)) {
        if (*i + 1 >= n) {
            cli_complain("%s: %s needs a value: %s %s", a->command->name, option->name, option->name, option->value);
            return false;
        }
        value = words[++*i];
    }
    return keep_option(a, option, value);
}

static bool take_positional(cli_arguments *a, const char *word)
{
    const cli_command *c = a->command;
    if (a->n_positional == c->most || a->n_positional == CLI_MOST_ARGUMENTS) {
        cli_complain("%s: '%s' is one word too many; usage: duet %s", c->name, word, c->usage);
        return false;
    }
    a->positional[a->n_positional++] = word;
    return true;
}

bool cli_arguments_parse(const cli_command *command, const char *const *words, size_t n, cli_arguments *out)
{
    *out = (cli_arguments){.command = command};
    bool options = true;
    for (size_t i = 0; i < n; i++) {
        const char *word = words[i];
        bool ok;
        if (options && !strcmp(word, "--")) options = false, ok = true;
        else if (options && word[0] == '-' && word[1] == '-') ok = take_option(out, words, n, &i);
        else if (options && word[0] == '-' && word[1] != '\0') ok = unknown_option(command, word, strlen(word));
        else ok = take_positional(out, word);
        if (!ok) return false;
    }
    if (out->n_positional >= command->least) return true;
    cli_complain("%s: something is missing; usage: duet %s", command->name, command->usage);
    return false;
}

bool cli_given(const cli_arguments *a, const char *option)
{
    for (size_t i = 0; i < a->n_given; i++)
        if (!strcmp(a->given[i].option->name, option)) return true;
    return false;
}

const char *cli_value(const cli_arguments *a, const char *option, const char *otherwise)
{
    const char *value = otherwise;
    for (size_t i = 0; i < a->n_given; i++)
        if (!strcmp(a->given[i].option->name, option) && a->given[i].value) value = a->given[i].value;
    return value;
}

size_t cli_values(const cli_arguments *a, const char *option, const char **out)
{
    size_t n = 0;
    for (size_t i = 0; i < a->n_given; i++)
        if (!strcmp(a->given[i].option->name, option)) out[n++] = a->given[i].value;
    return n;
}

bool cli_whole(const cli_arguments *a, const char *option, int64_t least, int64_t most, int64_t otherwise, int64_t *out)
{
    const char *text = cli_value(a, option, NULL);
    *out = otherwise;
    if (!text) return true;
    char *end;
    errno = 0;
    const long long n = strtoll(text, &end, 10);
    if (!errno && end != text && !*end && n >= least && n <= most) {
        *out = n;
        return true;
    }
    if (most == INT64_MAX) cli_complain("%s: %s: found '%s'; allowed: a whole number from %lld", a->command->name, option, text, (long long)least);
    else
        cli_complain("%s: %s: found '%s'; allowed: a whole number from %lld to %lld", a->command->name, option, text, (long long)least,
                     (long long)most);
    return false;
}

bool cli_real(const cli_arguments *a, const char *option, double least, double most, double otherwise, double *out)
{
    const char *text = cli_value(a, option, NULL);
    *out = otherwise;
    if (!text) return true;
    char *end;
    const double x = strtod(text, &end);
    if (end != text && !*end && x >= least && x <= most) {
        *out = x;
        return true;
    }
    cli_complain("%s: %s: found '%s'; allowed: a number from %g to %g", a->command->name, option, text, least, most);
    return false;
}
