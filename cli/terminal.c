/* How things look: colours where they are wanted, folded text, numbers for people, quoting.
 *
 * Colours only on a terminal, and not when NO_COLOR is set (https://no-color.org) or TERM is "dumb". */
#include "cli.h"

#include <langinfo.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

/* ---- the terminal ------------------------------------------------------------------------------------------- */

bool cli_is_terminal(FILE *stream)
{
    return isatty(fileno(stream));
}

int cli_width(void)
{
    struct winsize size;
    const char *columns = getenv("COLUMNS");
    const int said = columns ? atoi(columns) : 0;
    if (said >= 20 && said <= 1000) return said;
    if ((!ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) || !ioctl(STDERR_FILENO, TIOCGWINSZ, &size)) && size.ws_col >= 20) return size.ws_col;
    return 80;
}

bool cli_unicode(void)
{
    return !strcmp(nl_langinfo(CODESET), "UTF-8");
}

static bool colours_on(FILE *stream)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    return cli_is_terminal(stream) && !(no && *no) && term && strcmp(term, "dumb");
}

const char *cli_on(FILE *stream, cli_style style)
{
    static const char *const codes[] = {
        [CLI_PLAIN] = "", [CLI_BOLD] = "\033[1m", [CLI_DIM] = "\033[2m", [CLI_GOOD] = "\033[32m", [CLI_NAME] = "\033[36m", [CLI_BAD] = "\033[1;31m",
    };
    return colours_on(stream) ? codes[style] : "";
}

const char *cli_off(FILE *stream)
{
    return colours_on(stream) ? "\033[0m" : "";
}

/* ---- mistakes ----------------------------------------------------------------------------------------------- */

void cli_complain(const char *format, ...)
{
    va_list args;
    fflush(stdout);
    fprintf(stderr, "%sduet:%s ", cli_on(stderr, CLI_BAD), cli_off(stderr));
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

int cli_fail(const duet_error *err)
{
    cli_complain("%s", err->message);
    return duet_status_exit_code(err->status);
}

/* ---- text --------------------------------------------------------------------------------------------------- */

static int folding_width(void)
{
    const int width = cli_width() - 1;
    return width > 100 ? 100 : width;
}

/* One paragraph; the cursor stands at `column` already. */
static void print_paragraph(FILE *stream, int indent, int column, const char *text, size_t length)
{
    const int width = folding_width();
    bool first = true;
    for (size_t i = 0; i < length;) {
        size_t n = strcspn(text + i, " \n");
        if (n > length - i) n = length - i;
        if (!first && column + 1 + (int)n > width) {
            fprintf(stream, "\n%*s", indent, "");
            column = indent;
            first = true;
        }
        fprintf(stream, "%s%.*s", first ? "" : " ", (int)n, text + i);
        column += (int)n + !first;
        first = false;
        i += n;
        while (i < length && (text[i] == ' ' || text[i] == '\n')) i++;
    }
    fputc('\n', stream);
}

void cli_print_folded(FILE *stream, int indent, const char *text)
{
    while (*text) {
        const char *gap = strstr(text, "\n\n");
        const size_t length = gap ? (size_t)(gap - text) : strlen(text);
        fprintf(stream, "%*s", indent, "");
        print_paragraph(stream, indent, indent, text, length);
        if (!gap) break;
        fputc('\n', stream);
        text = gap + 2;
    }
}

void cli_print_entry(const char *term, int column, const char *text)
{
    const int used = 2 + (int)strlen(term);
    printf("  %s%s%s", cli_on(stdout, CLI_NAME), term, cli_off(stdout));
    if (used + 2 > column) printf("\n%*s", column, "");
    else printf("%*s", column - used, "");
    print_paragraph(stdout, column, column, text, strlen(text));
}

void cli_heading(const char *text)
{
    printf("%s%s%s\n", cli_on(stdout, CLI_BOLD), text, cli_off(stdout));
}

/* ---- numbers ------------------------------------------------------------------------------------------------ */

int cli_rate_digits(double per_second)
{
    return per_second >= 100 ? 0 : per_second >= 1 ? 1 : 2;
}

const char *cli_thousands(uint64_t n, char text[32])
{
    char digits[24];
    const int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
    size_t out = 0;
    for (int i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0) text[out++] = ',';
        text[out++] = digits[i];
    }
    text[out] = '\0';
    return text;
}

const char *cli_duration(double seconds, char text[32])
{
    const long long s = seconds > 0 && seconds < 1e9 ? (long long)(seconds + 0.5) : 0;
    if (s >= 3600) snprintf(text, 32, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
    else snprintf(text, 32, "%lld:%02lld", s / 60, s % 60);
    return text;
}

/* ---- a long wait -------------------------------------------------------------------------------------------- */

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

cli_progress cli_progress_begin(const char *what)
{
    return (cli_progress){.what = what, .began = now_s()};
}

void cli_progress_draw(cli_progress *p, size_t done, size_t all)
{
    const double now = now_s();
    if (!done || !cli_is_terminal(stderr) || now - p->drawn_at < 0.1) return;
    char left[32];
    fprintf(stderr, "\r%s%s%s %3.0f %%  %s left\033[K", cli_on(stderr, CLI_BOLD), p->what, cli_off(stderr), 100 * (double)done / (double)all,
            cli_duration((now - p->began) * (double)(all - done) / (double)done, left));
    fflush(stderr);
    p->drawn_at = now;
    p->drawn = true;
}

void cli_progress_end(cli_progress *p)
{
    p->seconds = now_s() - p->began;
    if (p->drawn) fputs("\r\033[K", stderr);
    p->drawn = false;
}

/* ---- quoting ------------------------------------------------------------------------------------------------ */

void cli_json_string(FILE *stream, const char *text)
{
    fputc('"', stream);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\') fprintf(stream, "\\%c", *c);
        else if (*c < 0x20) fprintf(stream, "\\u%04x", *c);
        else fputc(*c, stream);
    }
    fputc('"', stream);
}

void cli_print_word(FILE *stream, const char *word)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=:,+@%";
    if (*word && strspn(word, safe) == strlen(word)) {
        fputs(word, stream);
        return;
    }
    fputc('\'', stream);
    for (; *word; word++) {
        if (*word == '\'') fputs("'\\''", stream);
        else fputc(*word, stream);
    }
    fputc('\'', stream);
}
