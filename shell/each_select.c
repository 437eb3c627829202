/*
 * each_select.c - the rows of machines/all.jsonl as what a selector is held against.
 */
#include "shell/each.h"

#include "base/cleanup.h"
#include "sched/selector.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ALL "*"

struct row {
    const json_t *row, *all;
    char cores[24], memory[24];
};

static const char *text_of(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));

    return text ? text : "";
}

static const char *label_of(void *arg, const char *key)
{
    static const char *const own[] = { "arch", "os", "hostname" };
    const struct row *r = arg;

    if (strcmp(key, "cores") == 0)
        return r->cores;
    if (strcmp(key, "memory") == 0)
        return r->memory;
    for (size_t i = 0; i < ARRAY_SIZE(own); i++)
        if (strcmp(key, own[i]) == 0)
            return json_string_value(json_object_get(r->row, key));
    return json_string_value(json_object_get(json_object_get(r->row, "labels"), key));
}

static bool is_machine(void *arg, const char *id)
{
    const struct row *r = arg;
    const json_t *row;
    size_t i;

    json_array_foreach (r->all, i, row)
        if (strcmp(text_of(row, "id"), id) == 0)
            return true;
    return false;
}

static bool is_member(const json_t *row)
{
    return strcmp(text_of(row, "state"), "pending") != 0 &&
           strcmp(text_of(row, "state"), "left") != 0;
}

static void put_number(char text[24], const json_t *row, const char *key)
{
    snprintf(text, 24, "%lld", (long long)json_integer_value(json_object_get(row, key)));
}

/* This machine's id: where `self` leads. */
static void read_self(const struct shell *sh, char id[static NAME_BYTES])
{
    char to[NAME_BYTES * 2];
    ssize_t n = readlinkat(sh->dir, "self", to, sizeof to - 1);
    const char *slash;

    to[n > 0 ? n : 0] = '\0';
    slash = strrchr(to, '/');
    snprintf(id, NAME_BYTES, "%.*s", NAME_BYTES - 1, slash ? slash + 1 : to);
}

int select_machines(const struct shell *sh, const char *selector, const json_t *all, bool *fit,
                    struct oerr *e)
{
    struct selector *sel = NULL;
    char self[NAME_BYTES];
    const json_t *row;
    size_t i;
    int rc = strcmp(selector, ALL) == 0 ? 0 : selector_parse(selector, &sel, e);

    if (rc < 0)
        return rc;
    read_self(sh, self);
    json_array_foreach (all, i, row) {
        struct row r = { .row = row, .all = all };
        struct selector_facts facts = { .id = text_of(row, "id"),
                                        .here = strcmp(text_of(row, "id"), self) == 0,
                                        .label = label_of,
                                        .is_id = is_machine,
                                        .arg = &r };

        put_number(r.cores, row, "cores");
        put_number(r.memory, row, "memory_bytes");
        fit[i] = is_member(row) && selector_match(sel, &facts, NULL);
    }
    selector_free(sel);
    return 0;
}
