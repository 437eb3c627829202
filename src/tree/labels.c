/*
 * labels.c - `key value` lines: parsing, showing, keeping them.
 */
#include "tree/labels.h"
#include "base/cleanup.h"
#include "base/file.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define LABELS_MAX 64
#define LABEL_MAX  256

static bool label_word(const char *word, size_t n, bool key)
{
    if (n > LABEL_MAX || (key && n == 0))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!isgraph((unsigned char)word[i]) && (key || word[i] != ' '))
            return false;
    return !key || !memchr(word, '=', n);
}

/* What is known of every machine is no matter of choice (sched_machine.c has the values). */
static int check_free(const char *key, struct oerr *e)
{
    static const char *const taken[] = { "cores", "memory", "arch", "os", "hostname" };

    for (size_t i = 0; i < ARRAY_SIZE(taken); i++)
        if (strcmp(key, taken[i]) == 0)
            return oerr_set(e, -EINVAL,
                            "every machine has the label %s by what it is: choose another name",
                            key);
    return 0;
}

/* One line, `key` or `key value`, into labels. */
static int parse_label(json_t *labels, const char *line, size_t n, struct oerr *e)
{
    size_t key, value;
    char name[LABEL_MAX + 1];

    while (n && isspace((unsigned char)*line))
        line++, n--;
    while (n && isspace((unsigned char)line[n - 1]))
        n--;
    if (n == 0)
        return 0;
    for (key = 0; key < n && !isspace((unsigned char)line[key]); key++)
        ;
    for (value = key; value < n && isspace((unsigned char)line[value]); value++)
        ;
    if (!label_word(line, key, true) || !label_word(line + value, n - value, false))
        return oerr_set(
            e, -EINVAL,
            "a label is `key` or `key value` in printable ASCII, at most %d bytes each, not '%.*s'",
            LABEL_MAX, (int)(n < 60 ? n : 60), line);
    snprintf(name, sizeof name, "%.*s", (int)key, line);
    if (check_free(name, e) < 0)
        return -EINVAL;
    if (json_object_size(labels) >= LABELS_MAX && !json_object_get(labels, name))
        return oerr_set(e, -EINVAL, "a machine has at most %d labels", LABELS_MAX);
    json_object_set_new(labels, name, json_stringn(line + value, n - value));
    return 0;
}

int labels_parse(json_t *labels, const char *text, size_t n, struct oerr *e)
{
    int rc = 0;

    while (rc == 0 && n > 0) {
        const char *nl = memchr(text, '\n', n);
        size_t line = nl ? (size_t)(nl - text) : n;

        rc = parse_label(labels, text, line, e);
        text += line + (nl != NULL);
        n -= line + (nl != NULL);
    }
    return rc;
}

int labels_assign(json_t *labels, const char *text, struct oerr *e)
{
    size_t key = strcspn(text, "="), n = strlen(text);
    const char *value = text + key + (text[key] == '=');

    if (!label_word(text, key, true) || !label_word(value, n - (size_t)(value - text), false))
        return oerr_set(
            e, -EINVAL,
            "a label is K or K=V in printable ASCII, at most %d bytes each, not '%.60s'", LABEL_MAX,
            text);
    if (json_object_size(labels) >= LABELS_MAX)
        return oerr_set(e, -EINVAL, "a machine has at most %d labels", LABELS_MAX);
    if (check_free(strndupa(text, key), e) < 0)
        return -EINVAL;
    return json_object_set_new(labels, strndupa(text, key), json_string(value)) < 0 ? -ENOMEM : 0;
}

void labels_show(const json_t *object, struct obuf *out)
{
    const char *key;
    json_t *value;

    json_object_foreach ((json_t *)object, key, value) {
        if (json_is_integer(value))
            obuf_printf(out, "%s %lld\n", key, json_integer_value(value));
        else if (json_is_real(value))
            obuf_printf(out, "%s %.3f\n", key, json_real_value(value));
        else if (json_string_length(value) == 0)
            obuf_printf(out, "%s\n", key);
        else
            obuf_printf(out, "%s %s\n", key, json_string_value(value));
    }
}

static void labels_path(const char *dir, char path[4200])
{
    snprintf(path, 4200, "%s/labels", dir);
}

int labels_load(const char *dir, json_t **out, struct oerr *e)
{
    char path[4200], text[65536];
    int rc;

    *out = json_object();
    labels_path(dir, path);
    rc = file_read(path, false, text, sizeof text, e);
    if (rc == -ENOENT)
        return 0;
    if (rc == 0 && labels_parse(*out, text, strlen(text), e) < 0)
        rc = oerr_set(e, -EBADMSG, "%s is damaged: mend it, or remove it and set the labels again",
                      path);
    if (rc < 0)
        json_decref(take_ptr(*out));
    return rc;
}

int labels_store(const char *dir, const json_t *labels, struct oerr *e)
{
    struct obuf text = { 0 };
    char path[4200];
    int rc;

    labels_path(dir, path);
    labels_show(labels, &text);
    rc = obuf_check(&text);
    if (rc == 0)
        rc = file_replace(path, text.p ? text.p : "", text.len, e);
    obuf_free(&text);
    return rc;
}
