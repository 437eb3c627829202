/*
 * member_story.h - membership told as a story: events in, effects out as a trace.
 */
#ifndef ONEOS_TESTS_UNIT_MEMBER_STORY_H
#define ONEOS_TESTS_UNIT_MEMBER_STORY_H

#include "cluster/member.h"

#include "base/buf.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

struct story {
    struct member *m;
    struct obuf told;
};

static inline void fx_changed(void *arg, const struct member_view *v, enum member_state from)
{
    struct story *s = arg;

    obuf_printf(&s->told, "%s: %s -> %s\n", v->info.id, member_state_name(from),
                member_state_name(v->state));
}

static inline void fx_trust(void *arg, const struct peer_info *p)
{
    struct story *s = arg;

    obuf_printf(&s->told, "trust %s %llu at %s\n", p->id, (unsigned long long)p->incarnation,
                p->address);
}

static inline void fx_distrust(void *arg, const char *id)
{
    struct story *s = arg;

    obuf_printf(&s->told, "distrust %s\n", id);
}

static inline void fx_probe(void *arg, const char *ask, const char *about, uint64_t incarnation)
{
    struct story *s = arg;

    obuf_printf(&s->told, "ask %s of %s %llu\n", ask, about, (unsigned long long)incarnation);
}

static inline void fx_pull(void *arg, const char *from)
{
    struct story *s = arg;

    obuf_printf(&s->told, "pull from %s\n", from);
}

static const struct member_fx fx = { fx_changed, fx_trust, fx_distrust, fx_probe, fx_pull };

static inline struct peer_info peer(const char *id, uint64_t incarnation)
{
    struct peer_info p = { .incarnation = incarnation, .req_port = 1, .pub_port = 2 };

    snprintf(p.id, sizeof p.id, "%s", id);
    snprintf(p.curve_public, sizeof p.curve_public, "key of %s", id);
    snprintf(p.address, sizeof p.address, "10.0.0.1");
    return p;
}

static inline struct member_view claim(const char *id, uint64_t incarnation,
                                       enum member_state state, uint32_t word)
{
    return (struct member_view){ .info = peer(id, incarnation),
                                 .state = state,
                                 .word = word,
                                 .trusted = state != MEMBER_GONE && state != MEMBER_PENDING };
}

static inline int setup(void **state)
{
    struct story *s = test_calloc(1, sizeof *s);
    struct peer_info self = peer("A", 10);

    *state = s;
    return member_create(&s->m, &self, &fx, s);
}

static inline int teardown(void **state)
{
    struct story *s = *state;

    member_destroy(s->m);
    obuf_free(&s->told);
    test_free(s);
    return 0;
}

/* What was told since the last time is exactly this. */
static inline void told(struct story *s, const char *text)
{
    assert_string_equal(s->told.p ? s->told.p : "", text);
    obuf_reset(&s->told);
}

static inline void seen(struct story *s, uint64_t now, const char *id, uint64_t incarnation,
                        bool ours)
{
    struct peer_info p = peer(id, incarnation);

    member_seen(s->m, now, &p, ours);
}

static inline void beat(struct story *s, uint64_t now, const char *id, uint64_t incarnation)
{
    member_heartbeat(s->m, now, id, incarnation, member_digest(s->m));
}

static inline void list(struct story *s, uint64_t now, const char *from, struct member_view v)
{
    member_list(s->m, now, from, &v, 1);
}

/* Lets time pass, ticking when the core asks for it, while these go on with their heartbeats. */
static inline void pass(struct story *s, uint64_t from, uint64_t to, const char *beating)
{
    for (uint64_t t = from; t <= to; t += 50) {
        for (const char *p = beating; *p && t % 500 == 0; p++)
            beat(s, t, (char[]){ *p, 0 }, 1);
        if (t >= member_next(s->m))
            member_tick(s->m, t);
    }
}

static inline enum member_state state_of(struct story *s, const char *id)
{
    const struct member_view *v = member_find(s->m, id);

    return v ? v->state : MEMBER_GONE;
}

/* B and C are members and heard; told is empty. */
static inline void three(struct story *s, uint64_t now)
{
    seen(s, now, "B", 1, true);
    seen(s, now, "C", 1, true);
    beat(s, now, "B", 1);
    beat(s, now, "C", 1);
    obuf_reset(&s->told);
}

#define story(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
