/*
 * need.c - which machines can run a command: they are asked, and what they say is kept.
 *
 * Machines are asked about a need when it is first met, some at a time. A yes holds until the
 * machine starts anew, or until a job could not be started there after all; a no only until a job
 * that came later wants it too.
 *
 * Invariants: need->yes has the slots whose verdict is V_YES, unknown those with V_UNKNOWN;
 * n_asked counts those with V_ASKED, each of which has a probe.
 */
#include "sched/sched_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void judge(struct need *n, unsigned slot, uint8_t verdict)
{
    n->n_asked += (verdict == V_ASKED) - (n->verdict[slot] == V_ASKED);
    n->verdict[slot] = verdict;
    bit_put(n->yes, slot, verdict == V_YES);
    bit_put(n->unknown, slot, verdict == V_UNKNOWN);
}

static int need_grow(struct need *n, size_t old, size_t cap)
{
    uint8_t *v = realloc(n->verdict, cap);

    if (!v)
        return -ENOMEM;
    n->verdict = v;
    memset(v + old, V_UNKNOWN, cap - old);
    return bits_grow(&n->yes, old, cap) < 0 || bits_grow(&n->unknown, old, cap) < 0 ? -ENOMEM : 0;
}

int needs_grow(struct sched *s, size_t cap)
{
    for (struct need *n = s->needs; n; n = n->hh.next)
        if (need_grow(n, s->slots_cap, cap) < 0)
            return -ENOMEM;
    return 0;
}

static void probe_free(struct sched *s, struct probe *p)
{
    s->slots[p->slot]->n_probes--;
    HASH_DEL(s->probes, p);
    free(p);
}

static void need_free(struct sched *s, struct need *n)
{
    struct probe *p, *next;

    HASH_ITER (hh, s->probes, p, next)
        if (n->n_asked && p->need == n) {
            probe_free(s, p);
        }
    HASH_DEL(s->needs, n);
    for (size_t i = 0; i < n->n_reasons; i++)
        free(n->reasons[i].words);
    free(n->reasons);
    free(n->verdict);
    free(n->yes);
    free(n->unknown);
    free(n);
}

/* The fields one behind the other, each with its NUL, a 1 before those that are there. */
static int need_key(const struct sched_need *what, struct obuf *key)
{
    const char *const field[] = { what->user, what->command, what->path, what->cwd };

    for (size_t i = 0; i < sizeof field / sizeof field[0]; i++) {
        obuf_puts(key, field[i] ? "\1" : "\2");
        obuf_puts(key, field[i] ? field[i] : "");
        obuf_put(key, "", 1);
    }
    return obuf_check(key);
}

static void point_into(struct need *n)
{
    const char **const field[] = { &n->what.user, &n->what.command, &n->what.path, &n->what.cwd };
    const char *at = n->key;

    for (size_t i = 0; i < sizeof field / sizeof field[0]; i++) {
        *field[i] = *at == 1 ? at + 1 : NULL;
        at += strlen(at) + 1;
    }
}

static struct need *need_new(struct sched *s, const struct obuf *key)
{
    struct need *n = calloc(1, sizeof *n + key->len + 1);

    if (!n)
        return NULL;
    memcpy(n->key, key->p, key->len);
    point_into(n);
    n->round_ms = s->now_ms;
    n->from = s->need_serial++ * PROBES_ONCE; /* so that not all ask the same ones first */
    HASH_ADD_KEYPTR(hh, s->needs, n->key, key->len, n);
    if (!n->hh.tbl) {
        free(n);
        return NULL;
    }
    if (need_grow(n, 0, s->slots_cap ? s->slots_cap : 64) < 0) {
        need_free(s, n);
        return NULL;
    }
    for (unsigned i = 0; i < s->fit.n; i++)
        judge(n, i, V_UNKNOWN);
    return n;
}

struct need *need_get(struct sched *s, const struct sched_need *what)
{
    struct need *n = NULL, *next, *old;
    struct obuf key = { 0 };

    if (need_key(what, &key) < 0)
        goto out;
    HASH_FIND(hh, s->needs, key.p, key.len, n);
    if (!n && s->idle_needs >= NEEDS_KEPT) {
        HASH_ITER (hh, s->needs, old, next)
            if (old->refs == 0)
                need_free(s, old);
        s->idle_needs = 0;
    }
    if (n && n->refs == 0)
        s->idle_needs--;
    if (!n)
        n = need_new(s, &key);
    if (n)
        n->refs++;
out:
    obuf_free(&key);
    return n;
}

void need_put(struct sched *s, struct need *n)
{
    if (--n->refs == 0)
        s->idle_needs++;
}

void needs_forget(struct sched *s, unsigned slot, struct need *only)
{
    struct probe *p, *next;

    for (struct need *n = only ? only : s->needs; n; n = only ? NULL : n->hh.next) {
        judge(n, slot, V_UNKNOWN);
        n->fresh = s->needs_fresh = true;
    }
    HASH_ITER (hh, s->probes, p, next)
        if (p->slot == slot && (!only || p->need == only)) {
            probe_free(s, p);
        }
}

void need_again(struct sched *s, struct need *n)
{
    for (unsigned i = 0; i < s->fit.n; i++)
        if (n->verdict[i] >= V_NO)
            judge(n, i, V_UNKNOWN);
    n->round_ms = s->now_ms;
}

/* ---- asking */

static bool ask(struct sched *s, struct need *n, struct machine *m)
{
    struct probe *p = calloc(1, sizeof *p);

    if (!p)
        return false;
    p->id = ++s->probe_id;
    p->need = n;
    p->slot = m->slot;
    p->until_ms = s->now_ms + PROBE_WAIT_MS;
    HASH_ADD(hh, s->probes, id, sizeof p->id, p);
    if (!p->hh.tbl) {
        free(p);
        return false;
    }
    if (p->until_ms < s->probes_ms)
        s->probes_ms = p->until_ms;
    judge(n, m->slot, V_ASKED);
    m->n_probes++;
    s->fx.probe(s->arg, p->id, m->id, &n->what);
    return true;
}

/* Asks up to `most` machines with slots in [from, end); *last: the slot behind the last one. */
static size_t ask_some(struct sched *s, const struct stage *st, const struct lane *room,
                       size_t most, size_t from, size_t end, size_t *last)
{
    const uint64_t *const sets[] = { st->choice->match, st->need->unknown };
    int64_t cpu = room ? room->cpu : INT64_MIN, memory = room ? room->memory : INT64_MIN;
    size_t asked = 0;
    long i = (long)from;

    while (asked < most && (i = fit_next_room(&s->fit, sets, 2, (size_t)i, cpu, memory)) >= 0 &&
           (size_t)i < end) {
        /* What is free there goes to those who have asked already. */
        if (!room || s->slots[i]->n_probes * cpu <= s->fit.cpu[i])
            asked += ask(s, st->need, s->slots[i]);
        *last = (size_t)++i;
    }
    return asked;
}

size_t need_ask(struct sched *s, const struct stage *st, const struct lane *room, const char *first)
{
    const struct machine *m = machine_find(s, first);
    struct need *n = st->need;
    size_t most = PROBES_ONCE + (room ? 0 : n->n_told), asked = 0, from = n->from % (s->fit.n + 1);

    if (m)
        asked += ask_some(s, st, room, 1, m->slot, m->slot + 1, &n->from);
    n->from = from;
    asked += ask_some(s, st, room, most - asked, from, s->fit.n, &n->from);
    if (asked < most)
        asked += ask_some(s, st, room, most - asked, 0, from, &n->from);
    return asked;
}

/* The number of these words among the need's reasons; the last one stands for what is too much. */
static size_t reason(struct need *n, int exit, const char *words)
{
    struct reason *v;

    for (size_t i = 0; i < n->n_reasons; i++)
        if (n->reasons[i].exit == exit && strcmp(n->reasons[i].words, words) == 0)
            return i;
    if (n->n_reasons == NEED_REASONS || !(v = realloc(n->reasons, (n->n_reasons + 1) * sizeof *v)))
        return n->n_reasons ? n->n_reasons - 1 : 0;
    n->reasons = v;
    if (!(v[n->n_reasons].words = strdup(words)))
        return n->n_reasons ? n->n_reasons - 1 : 0;
    v[n->n_reasons].exit = exit;
    return n->n_reasons++;
}

/* Where the words end that are left when " on ID" is taken off. */
static size_t before_on(const char *words, const char *id)
{
    size_t n = strlen(words), len = strlen(id);

    return n > len + 4 && strcmp(words + n - len, id) == 0 &&
                   memcmp(words + n - len - 4, " on ", 4) == 0
               ? n - len - 4
               : n;
}

bool need_names(const char *words, const char *id)
{
    size_t len = strlen(id);

    return (strncmp(words, id, len) == 0 && words[len] == ' ') ||
           before_on(words, id) < strlen(words);
}

void need_say(const char *words, const char *id, struct obuf *out)
{
    size_t end = before_on(words, id), len = strlen(id);
    size_t from = strncmp(words, id, len) == 0 && words[len] == ' ' ? len + 1 : 0;

    obuf_put(out, words + from, end - from);
}

const char *need_words(const struct need *n, uint8_t verdict)
{
    size_t i = (size_t)verdict - V_NO;

    return i < n->n_reasons ? n->reasons[i].words : "cannot run that";
}

void sched_probed(struct sched *s, uint64_t id, int exit, const char *words)
{
    struct probe *p;
    struct need *n;

    HASH_FIND(hh, s->probes, &id, sizeof id, p);
    if (!p)
        return;
    if (exit < 0) { /* it counts as asked until a pause is over */
        p->until_ms = s->now_ms + PROBE_PAUSE_MS;
        s->probes_ms = p->until_ms < s->probes_ms ? p->until_ms : s->probes_ms;
        return;
    }
    n = p->need;
    judge(n, p->slot,
          exit == 0 ? V_YES
                    : (uint8_t)(V_NO + reason(n, exit, words ? words : "it cannot run that")));
    n->n_told++;
    n->fresh = s->needs_fresh = true;
    machine_dirty(s, s->slots[p->slot]);
    probe_free(s, p);
}

void needs_expire(struct sched *s)
{
    struct probe *p, *next;

    if (s->now_ms < s->probes_ms)
        return;
    s->probes_ms = UINT64_MAX;
    HASH_ITER (hh, s->probes, p, next) {
        if (p->until_ms > s->now_ms) {
            s->probes_ms = p->until_ms < s->probes_ms ? p->until_ms : s->probes_ms;
            continue;
        }
        judge(p->need, p->slot, V_UNKNOWN);
        p->need->fresh = s->needs_fresh = true;
        probe_free(s, p);
    }
}

void needs_free(struct sched *s)
{
    struct need *n, *next;

    HASH_ITER (hh, s->needs, n, next)
        need_free(s, n);
}
