/*
 * form_story.h - one machine's formation told as a story: who is there, what they say, what it asks
 * for. Included by test_formation.c and test_roles.c.
 */
#ifndef ONEOS_TESTS_FORM_STORY_H
#define ONEOS_TESTS_FORM_STORY_H

#include "cluster/formation.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define PLENTY 16

struct story {
    struct formation *f;
    struct form_facts k;
    struct form_machine m[PLENTY];
    struct consensus_server server[PLENTY];
    char members[PLENTY][ID_MAX]; /* member/ID */
    char behind[ID_MAX];          /* this learner has not caught up */
    char ended_into[REGISTRY_ID]; /* our registry was dissolved into this one */
    struct form_step step;
    char told[160]; /* the step, in short */
};

static inline bool story_is_member(void *arg, const char *id)
{
    struct story *s = arg;

    for (size_t i = 0; i < PLENTY; i++)
        if (strcmp(s->members[i], id) == 0)
            return true;
    return false;
}

static inline bool story_ended(void *arg, const char *registry, char into[REGISTRY_ID])
{
    struct story *s = arg;

    (void)registry;
    strcpy(into, s->ended_into);
    return into[0];
}

/* Nodes are 100 + the first letter's place, so that a story can be read. */
static inline uint64_t node_of(const char *id)
{
    return 100 + (uint64_t)(id[0] - 'a');
}

static inline bool story_caught_up(void *arg, uint64_t node)
{
    struct story *s = arg;

    return !s->behind[0] || node_of(s->behind) != node;
}

static inline struct form_machine *who(struct story *s, const char *id)
{
    for (size_t i = 0; i < s->k.n; i++)
        if (strcmp(s->m[i].id, id) == 0)
            return &s->m[i];
    return NULL;
}

/* `id` comes alive now, and says that it is in that registry ("": fresh). Ids come in order. */
static inline struct form_machine *comes(struct story *s, const char *id, const char *registry)
{
    struct form_machine *m = who(s, id);

    if (!m) {
        m = &s->m[s->k.n++];
        *m = (struct form_machine){ .is.node = node_of(id) };
        strcpy(m->id, id);
    }
    m->alive = m->known = true;
    m->left = false;
    m->since_ms = s->k.now_ms;
    strcpy(m->is.registry, registry);
    return m;
}

static inline void goes(struct story *s, const char *id, bool politely)
{
    struct form_machine *m = who(s, id);

    m->alive = false;
    m->left = politely;
    m->since_ms = s->k.now_ms;
}

/* A server of the configuration, and a member. */
static inline void seat(struct story *s, const char *id, enum consensus_role role)
{
    struct consensus_server *v = &s->server[s->k.n_servers];

    *v = (struct consensus_server){ .node = node_of(id), .role = role };
    strcpy(v->id, id);
    strcpy(s->members[s->k.n_servers++], id);
}

static inline struct consensus_server *server(struct story *s, const char *id)
{
    for (size_t i = 0; i < s->k.n_servers; i++)
        if (strcmp(s->server[i].id, id) == 0)
            return &s->server[i];
    return NULL;
}

/* Carries out a change of roles or a removal, as consensus would. */
static inline void carry_out(struct story *s)
{
    struct consensus_server *v = server(s, s->step.id);

    if (s->step.what == FORM_ADD) {
        seat(s, s->step.id, ROLE_SPARE);
        s->server[s->k.n_servers - 1].node = s->step.node;
    } else if (s->step.what == FORM_ASSIGN) {
        v->role = s->step.role;
    } else if (s->step.what == FORM_REMOVE) {
        *v = s->server[--s->k.n_servers];
    }
}

/* What is asked for now: "-", or "assign b voter" and the like. */
static inline const char *asks(struct story *s)
{
    static const char *const name[] = { "-",      "bootstrap", "add",      "assign",
                                        "remove", "transfer",  "dissolve", "wipe" };
    static const char *const role[] = { "spare", "learner", "voter" };
    const struct form_step *t = &s->step;

    formation_step(s->f, &s->k, &s->step);
    snprintf(s->told, sizeof s->told, "%s%s%s%s%s%s%s", name[t->what], t->id[0] ? " " : "", t->id,
             t->what == FORM_ASSIGN ? " " : "", t->what == FORM_ASSIGN ? role[t->role] : "",
             t->registry[0] ? " " : "", t->registry);
    return s->told;
}

static inline const char *after(struct story *s, unsigned ms)
{
    s->k.now_ms += ms;
    return asks(s);
}

/* Asks when formation_next() says so, for that long; the first thing asked for. */
static inline const char *within(struct story *s, unsigned ms)
{
    uint64_t end = s->k.now_ms + ms;

    while (strcmp(asks(s), "-") == 0 && formation_next(s->f) <= end) {
        assert_true(formation_next(s->f) > s->k.now_ms);
        s->k.now_ms = formation_next(s->f);
    }
    if (strcmp(s->told, "-") == 0)
        s->k.now_ms = end;
    return s->told;
}

/* The same, and carries it out; all that is asked for, joined by "; ". */
static inline const char *goes_on(struct story *s, unsigned ms)
{
    static char all[1024];
    uint64_t end = s->k.now_ms + ms;
    unsigned steps = 0;

    all[0] = '\0';
    while (s->k.now_ms < end && strcmp(within(s, (unsigned)(end - s->k.now_ms)), "-") != 0) {
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", all[0] ? "; " : "", s->told);
        if (s->step.what == FORM_TRANSFER || s->step.what == FORM_DISSOLVE)
            break;
        if (++steps > 40)
            fail_msg("it goes on and on: %s", all);
        carry_out(s);
    }
    return all;
}

static inline const char *words(struct story *s)
{
    static char text[256];

    formation_state(s->f, text);
    return text;
}

static inline enum form_state state_of(struct story *s)
{
    char text[256];

    return formation_state(s->f, text);
}

static inline int story_begin(void **state, const char *self)
{
    struct story *s = calloc(1, sizeof *s);

    if (!s || formation_create(&s->f) < 0)
        return -1;
    s->k = (struct form_facts){ .now_ms = 1000000,
                                .started_ms = 1000000,
                                .self = self,
                                .machines = s->m,
                                .servers = s->server,
                                .is_member = story_is_member,
                                .ended = story_ended,
                                .caught_up = story_caught_up,
                                .arg = s };
    *state = s;
    return 0;
}

static inline int story_end(void **state)
{
    struct story *s = *state;

    formation_destroy(s->f);
    free(s);
    return 0;
}

#endif
