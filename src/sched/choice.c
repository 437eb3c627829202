/*
 * choice.c - which machines a selector means: found out once, and again when facts change.
 *
 * A choice is a selector with the machine that it is asked from, where that matters.
 * Invariant: match has the slots of the machines for which all terms hold.
 */
#include "sched/sched_private.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *fact(void *arg, const char *key)
{
    const struct machine *m = arg;

    return json_string_value(json_object_get(m->labels, key));
}

struct asker {
    const struct sched *s;
    const struct machine *m;
};

static const char *fact_of(void *arg, const char *key)
{
    const struct asker *a = arg;

    return fact((void *)a->m, key);
}

static bool is_id(void *arg, const char *id)
{
    const struct asker *a = arg;
    const struct machine *m = machine_find(a->s, id);

    return m && m->known;
}

bool choice_match(const struct sched *s, const struct choice *c, const struct machine *m,
                  char why[SELECTOR_WHY])
{
    struct asker a = { s, m };
    struct selector_facts f = { .id = m->id,
                                .here = strcmp(m->id, c->here) == 0,
                                .label = fact_of,
                                .is_id = is_id,
                                .arg = &a };

    return selector_match(c->sel, &f, why);
}

/* The terms of a selector, one at a time, as [at, at + len). */
static const char *next_term(const char *at, size_t *len)
{
    if (!*at)
        return NULL;
    *len = strcspn(at, ",");
    return at;
}

static bool asks_here(const char *select)
{
    size_t len;

    for (const char *t = select; (t = next_term(t, &len)); t += len + (t[len] == ',')) {
        const char *word = *t == '!' ? t + 1 : t;

        if ((size_t)(t + len - word) == 4 && strncmp(word, "here", 4) == 0)
            return true;
    }
    return false;
}

/* KEY>=N, N a whole number, takes N of KEY; but of cores and memory, which jobs are promised. */
static bool read_count(const char *t, size_t len, struct count *out)
{
    size_t key = 0, i;

    while (key < len && !strchr("<>=!", t[key]))
        key++;
    if (key == 0 || key >= sizeof out->key || key + 2 >= len || t[key] != '>' || t[key + 1] != '=')
        return false;
    for (i = key + 2; i < len; i++)
        if (!isdigit((unsigned char)t[i]))
            return false;
    memcpy(out->key, t, key);
    out->key[key] = '\0';
    out->n = strtoull(t + key + 2, NULL, 10);
    return strcmp(out->key, "cores") != 0 && strcmp(out->key, "memory") != 0;
}

static int read_counts(struct choice *c)
{
    struct count one, *v;
    size_t len;

    for (const char *t = c->text; t && (t = next_term(t, &len)); t += len + (t[len] == ',')) {
        if (!read_count(t, len, &one))
            continue;
        if (!(v = realloc(c->counts, (c->n_counts + 1) * sizeof *v)))
            return -ENOMEM;
        c->counts = v;
        c->counts[c->n_counts++] = one;
    }
    return 0;
}

static void choice_free(struct sched *s, struct choice *c)
{
    HASH_DEL(s->choices, c);
    selector_free(c->sel);
    free(c->counts);
    free(c->match);
    free(c);
}

static void match_one(struct sched *s, struct choice *c, const struct machine *m)
{
    bit_put(c->match, m->slot, choice_match(s, c, m, NULL));
}

void choices_machine(struct sched *s, const struct machine *m, bool appeared)
{
    for (struct choice *c = s->choices; c; c = c->hh.next) {
        match_one(s, c, m);
        /* A word that was a label is now a machine's name. */
        if (appeared && c->text && strstr(c->text, m->id))
            for (size_t i = 0; i < s->fit.n; i++)
                match_one(s, c, s->slots[i]);
    }
}

/* key: the text, a NUL, here. */
static struct choice *choice_new(struct sched *s, const struct obuf *key, const char *select,
                                 const char *here)
{
    struct choice *c = calloc(1, sizeof *c + key->len + 1);

    if (!c)
        return NULL;
    memcpy(c->key, key->p, key->len);
    c->text = select ? c->key : NULL;
    strcpy(c->here, here);
    HASH_ADD_KEYPTR(hh, s->choices, c->key, key->len, c);
    if (!c->hh.tbl) {
        free(c);
        return NULL;
    }
    if ((select && selector_parse(select, &c->sel, NULL) < 0) || read_counts(c) < 0 ||
        bits_grow(&c->match, 0, s->slots_cap ? s->slots_cap : 64) < 0) {
        choice_free(s, c);
        return NULL;
    }
    for (size_t i = 0; i < s->fit.n; i++)
        match_one(s, c, s->slots[i]);
    return c;
}

struct choice *choice_get(struct sched *s, const char *select, const char *by)
{
    struct choice *c = NULL, *next, *old;
    const char *here = select && asks_here(select) ? by : "";
    struct obuf key = { 0 };

    obuf_puts(&key, select ? select : "");
    obuf_put(&key, "", 1);
    obuf_puts(&key, here);
    if (obuf_check(&key) < 0)
        goto out;
    HASH_FIND(hh, s->choices, key.p, key.len, c);
    if (!c && s->idle_choices >= CHOICES_KEPT) {
        HASH_ITER (hh, s->choices, old, next)
            if (old->refs == 0)
                choice_free(s, old);
        s->idle_choices = 0;
    }
    if (c && c->refs == 0)
        s->idle_choices--;
    if (!c)
        c = choice_new(s, &key, select, here);
    if (c)
        c->refs++;
out:
    obuf_free(&key);
    return c;
}

void choice_put(struct sched *s, struct choice *c)
{
    if (--c->refs == 0)
        s->idle_choices++;
}

int choices_grow(struct sched *s, size_t cap)
{
    for (struct choice *c = s->choices; c; c = c->hh.next)
        if (bits_grow(&c->match, s->slots_cap, cap) < 0)
            return -ENOMEM;
    return 0;
}

void choices_free(struct sched *s)
{
    struct choice *c, *next;

    HASH_ITER (hh, s->choices, c, next)
        choice_free(s, c);
}
