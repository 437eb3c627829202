/*
 * formation_wire.c - what a machine says of itself, as JSON in its heartbeats.
 *
 * {"registry", "node": decimal text (64 bits do not fit a JSON integer), "machines", "term",
 * "index"}, and where they are not empty or false: "from", "into", "refuses", "unfit", "leader",
 * "data", "begun", "leaving", "unwell". Unknown keys are ignored.
 */
#include "cluster/formation.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The optional keys: one table for both ways. */
static const struct {
    const char *key;
    size_t offset;
} flags[] = {
    { "leader", offsetof(struct standing, leader) },
    { "data", offsetof(struct standing, data) },
    { "begun", offsetof(struct standing, begun) },
    { "leaving", offsetof(struct standing, leaving) },
    { "unwell", offsetof(struct standing, unwell) },
};

static const struct {
    const char *key;
    size_t offset, size;
} texts[] = {
    { "registry", offsetof(struct standing, registry), REGISTRY_ID },
    { "from", offsetof(struct standing, from), FORM_PAST },
    { "into", offsetof(struct standing, into), REGISTRY_ID },
    { "refuses", offsetof(struct standing, refuses), ID_MAX },
    { "unfit", offsetof(struct standing, unfit), sizeof((struct standing *)0)->unfit },
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

json_t *standing_encode(const struct standing *s)
{
    char node[24];
    json_t *j;

    snprintf(node, sizeof node, "%" PRIu64, s->node);
    j = json_pack("{s:s, s:s, s:I, s:I, s:I}", "registry", s->registry, "node", node, "machines",
                  (json_int_t)s->machines, "term", (json_int_t)s->term, "index",
                  (json_int_t)s->index);
    for (size_t i = 0; i < COUNT(flags); i++)
        if (*(const bool *)((const char *)s + flags[i].offset))
            json_object_set_new(j, flags[i].key, json_true());
    for (size_t i = 0; i < COUNT(texts); i++) {
        const char *text = (const char *)s + texts[i].offset;

        if (*text)
            json_object_set_new(j, texts[i].key, json_string(text));
    }
    return j;
}

/* Ids, of machines or registries, with single blanks between. */
static bool is_ids(const char *text)
{
    for (const char *c = text; *c; c++)
        if (!((*c >= '0' && *c <= '9') || ((*c | 32) >= 'a' && (*c | 32) <= 'z') ||
              strchr("._-", *c) || (*c == ' ' && c > text && c[-1] != ' ' && c[1])))
            return false;
    return true;
}

static bool take_text(const json_t *j, char *to, size_t size)
{
    const char *text = json_string_value(j);

    if (!text || json_string_length(j) >= size || strlen(text) != json_string_length(j) ||
        !is_ids(text))
        return false;
    strcpy(to, text);
    return true;
}

static bool take_node(const char *text, uint64_t *node)
{
    char *end;

    if (*text < '0' || *text > '9' || strlen(text) > 20)
        return false;
    errno = 0;
    *node = strtoull(text, &end, 10);
    return !*end && errno == 0;
}

int standing_decode(const json_t *j, struct standing *out)
{
    json_int_t machines, term, index;
    const char *registry, *node;
    struct standing s = { 0 };
    const json_t *v;

    if (json_unpack((json_t *)j, "{s:s, s:s, s:I, s:I, s:I}", "registry", &registry, "node", &node,
                    "machines", &machines, "term", &term, "index", &index) < 0 ||
        !take_node(node, &s.node) || machines < 0 || machines > UINT32_MAX || term < 0 || index < 0)
        return -EPROTO;
    for (size_t i = 0; i < COUNT(flags); i++) {
        v = json_object_get(j, flags[i].key);
        if (v && !json_is_boolean(v))
            return -EPROTO;
        *(bool *)((char *)&s + flags[i].offset) = json_is_true(v);
    }
    for (size_t i = 0; i < COUNT(texts); i++) {
        v = json_object_get(j, texts[i].key);
        if (v && !take_text(v, (char *)&s + texts[i].offset, texts[i].size))
            return -EPROTO;
    }
    s.machines = (uint32_t)machines;
    s.term = (uint64_t)term;
    s.index = (uint64_t)index;
    *out = s;
    return 0;
}

void standing_ended(char from[FORM_PAST], const char *registry)
{
    char was[FORM_PAST];
    char *cut;

    memcpy(was, from, sizeof was);
    while (strlen(registry) + 1 + strlen(was) >= FORM_PAST && (cut = strrchr(was, ' ')))
        *cut = '\0';
    if (strlen(registry) + 1 + strlen(was) >= FORM_PAST)
        was[0] = '\0';
    snprintf(from, FORM_PAST, "%.*s%s%s", REGISTRY_ID - 1, registry, was[0] ? " " : "", was);
}

bool standing_was_in(const struct standing *s, const char *registry)
{
    size_t len = strlen(registry);

    for (const char *p = s->from; *p; p += strspn(p, " ")) {
        size_t n = strcspn(p, " ");

        if (n == len && memcmp(p, registry, n) == 0)
            return true;
        p += n;
    }
    return false;
}
