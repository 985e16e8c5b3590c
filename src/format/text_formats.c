/* JSON and CSV, written piece by piece into a dt_text. Output does not depend on the locale. */
#include "format/format.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The length of the UTF-8 character at s (1 to 4 bytes), or 0 if there is none: truncated, overlong, surrogate, too large. */
static size_t utf8_length(const unsigned char *s)
{
    static const struct { unsigned char mask, lead; uint32_t least; } forms[] = {
        {0x80, 0x00, 0}, {0xE0, 0xC0, 0x80}, {0xF0, 0xE0, 0x800}, {0xF8, 0xF0, 0x10000}};
    for (size_t n = 0; n < DT_COUNT(forms); n++) {
        if ((s[0] & forms[n].mask) != forms[n].lead) continue;
        uint32_t code = s[0] & (unsigned char)~forms[n].mask;
        for (size_t i = 1; i <= n; i++) {
            if ((s[i] & 0xC0) != 0x80) return 0; /* also the terminator */
            code = code << 6 | (s[i] & 0x3F);
        }
        bool surrogate = code >= 0xD800 && code <= 0xDFFF;
        return code < forms[n].least || code > 0x10FFFF || surrogate ? 0 : n + 1;
    }
    return 0;
}

void dt_json_string(dt_text *out, const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    dt_text_append(out, "\"");
    while (*s) {
        size_t plain = 0; /* what needs no escape goes out in one piece */
        for (size_t n; s[plain] >= 0x20 && s[plain] != '"' && s[plain] != '\\' && (n = utf8_length(s + plain)) > 0;) plain += n;
        dt_text_append(out, "%.*s", (int)plain, (const char *)s);
        s += plain;
        if (!*s) break;
        if (*s == '"' || *s == '\\') dt_text_append(out, "\\%c", *s);
        else if (*s == '\n') dt_text_append(out, "\\n");
        else if (*s == '\t') dt_text_append(out, "\\t");
        else if (*s < 0x20) dt_text_append(out, "\\u%04x", *s);
        else dt_text_append(out, "\xEF\xBF\xBD"); /* U+FFFD */
        s++;
    }
    dt_text_append(out, "\"");
}

void dt_json_number(dt_text *out, double value)
{
    if (!isfinite(value)) {
        dt_text_append(out, "null");
        return;
    }
    char text[40] = "";
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        double back = strtod(text, NULL);
        if (!memcmp(&back, &value, sizeof back)) break; /* bytes: -0 is not 0 */
    }
    char *point = text + strcspn(text, ",.");
    if (*point == ',') *point = '.';
    dt_text_append(out, "%s", text);
}

void dt_csv_field(dt_text *out, const char *text)
{
    if (!text[strcspn(text, ",\"\r\n")]) {
        dt_text_append(out, "%s", text);
        return;
    }
    dt_text_append(out, "\"");
    for (; *text; text++) dt_text_append(out, "%s%c", *text == '"' ? "\"" : "", *text);
    dt_text_append(out, "\"");
}
