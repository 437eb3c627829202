/*
 * table.c - tables for people and JSON for programs, from the lines of all.jsonl and keyed text.
 *
 * Text from other machines is shown without its control characters, so that nobody's process can
 * play with the reader's terminal.
 */
#include "shell/shell.h"
#include "shell/table.h"

#include "base/cleanup.h"
#include "base/units.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define COLUMNS_MAX 16

static const json_t *find(const json_t *row, const char *keys)
{
    while (*keys) {
        size_t n = strcspn(keys, "|");
        char key[64];
        const json_t *value;

        snprintf(key, sizeof key, "%.*s", (int)n, keys);
        value = json_object_get(row, key);
        if (value && !json_is_null(value))
            return value;
        keys += n + (keys[n] == '|');
    }
    return NULL;
}

static void put_text(struct obuf *out, const char *text)
{
    for (; *text; text++)
        obuf_put(out, (unsigned char)*text < ' ' || *text == 0x7f ? "?" : text, 1);
}

static void put_plain(struct obuf *out, const json_t *value)
{
    size_t i;
    json_t *item;

    if (json_is_string(value))
        put_text(out, json_string_value(value));
    else if (json_is_integer(value))
        obuf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        obuf_printf(out, "%.2f", json_real_value(value));
    else if (json_is_boolean(value))
        obuf_puts(out, json_is_true(value) ? "yes" : "no");
    json_array_foreach (value, i, item) {
        obuf_puts(out, i ? " " : "");
        put_plain(out, item);
    }
}

void put_size(struct obuf *out, const json_t *value)
{
    units_put_size(out, (uint64_t)json_integer_value(value));
}

static void cell(const struct column *c, const json_t *row, struct obuf *out)
{
    const json_t *value = find(row, c->key);

    obuf_reset(out);
    if (value)
        (c->put && json_is_integer(value) ? c->put : put_plain)(out, value);
    if (out->len == 0)
        obuf_puts(out, "-");
}

/* Characters, not bytes: what continues a character in UTF-8 has no width. */
static size_t width(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

/* The text, cut to n characters. */
static void print_cut(const char *text, size_t n)
{
    const char *end = text;

    for (; *end && (n > 0 || ((unsigned char)*end & 0xc0) == 0x80); end++)
        n -= ((unsigned char)*end & 0xc0) != 0x80;
    fwrite(text, 1, (size_t)(end - text), stdout);
}

static void print_cell(const char *text, size_t wide, bool right)
{
    size_t n = width(text), pad = n < wide ? wide - n : 0;

    printf("%*s%s%*s  ", right ? (int)pad : 0, "", text, right ? 0 : (int)pad, "");
}

static size_t terminal_width(void)
{
    struct winsize w;

    return ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col ? w.ws_col : SIZE_MAX;
}

void table_print(const struct column *columns, size_t n, const json_t *rows)
{
    size_t wide[COLUMNS_MAX], used = 0, total = terminal_width(), i;
    struct obuf text = { 0 };
    const json_t *row;

    for (size_t c = 0; c < n; c++) {
        wide[c] = strlen(columns[c].title);
        json_array_foreach (rows, i, row) {
            cell(&columns[c], row, &text);
            wide[c] = width(text.p) > wide[c] ? width(text.p) : wide[c];
        }
        used += c + 1 < n ? wide[c] + 2 : 0;
    }
    for (size_t c = 0; c + 1 < n; c++)
        print_cell(columns[c].title, wide[c], columns[c].right);
    puts(columns[n - 1].title);
    json_array_foreach (rows, i, row) {
        for (size_t c = 0; c + 1 < n; c++) {
            cell(&columns[c], row, &text);
            print_cell(text.p, wide[c], columns[c].right);
        }
        cell(&columns[n - 1], row, &text);
        print_cut(text.p, used < total ? total - used : 1);
        putchar('\n');
    }
    obuf_free(&text);
}

json_t *parse_lines(const char *path, const char *text)
{
    json_t *rows = json_array();
    int line = 1;

    for (; text && *text; line++) {
        size_t n = strcspn(text, "\n");
        json_error_t error;
        json_t *row = json_loadb(text, n, 0, &error);

        if (!json_is_object(row) || json_array_append_new(rows, row) < 0) {
            say(EXIT_ONEOS, "line %d of %s is not a JSON object", line, path);
            if (row && !json_is_object(row))
                json_decref(row);
            json_decref(rows);
            return NULL;
        }
        text += n + (text[n] == '\n');
    }
    return rows;
}

static json_t *keyed_value(const char *text, size_t n)
{
    char *end;
    long long number;

    if (n > 0 && n < 19 && strspn(text, "0123456789") >= n && (*text != '0' || n == 1)) {
        number = strtoll(text, &end, 10);
        return json_integer(number);
    }
    return json_stringn(text, n);
}

json_t *parse_keyed(const char *text)
{
    json_t *object = json_object();

    while (text && *text) {
        size_t n = strcspn(text, "\n"), k = strcspn(text, " \n");
        char key[128];

        snprintf(key, sizeof key, "%.*s", (int)k, text);
        if (k > 0)
            json_object_set_new(object, key,
                                k < n ? keyed_value(text + k + 1, n - k - 1) : json_string(""));
        text += n + (text[n] == '\n');
    }
    return object;
}

void print_json(const json_t *object)
{
    cleanup_free char *text =
        json_dumps(object, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));

    puts(text ? text : "null");
}
