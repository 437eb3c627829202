/*
 * placement.c - puts each core service on a machine: fewest services first, labels honoured, the
 * scheduler beside the leader.
 *
 * In: machines, services, the time. Out: moves. Invariants: at most one move a service; never onto
 * a machine that is not alive; a service on a machine that may keep it is not moved; one whose
 * machine lives moves only to a machine that is better off.
 */
#include "cluster/placement.h"

#include <stdio.h>
#include <string.h>

const char *const service_names[] = { "filesystem", "scheduler", "shell", "web", NULL };

enum { KINDS = sizeof service_names / sizeof service_names[0] - 1 };

static const struct place_machine *find(const struct place_machine *m, size_t nm, const char *id)
{
    for (size_t i = 0; i < nm; i++)
        if (strcmp(m[i].id, id) == 0)
            return &m[i];
    return NULL;
}

/* Of what is kept per service; -1: a service without a row in service_names. */
static int kind_of(const char *service)
{
    for (int k = 0; k < KINDS; k++)
        if (strcmp(service_names[k], service) == 0)
            return k;
    return -1;
}

/* How many services it has, with the moves that were decided already. */
static size_t load(const struct place_machine *m, const struct place_service *s, size_t ns,
                   const struct place_move *moves, size_t n)
{
    size_t count = 0;

    for (size_t i = 0; i < ns; i++) {
        const char *at = s[i].machine;

        for (size_t k = 0; k < n; k++)
            if (strcmp(moves[k].name, s[i].name) == 0)
                at = moves[k].to;
        count += strcmp(at, m->id) == 0;
    }
    return count;
}

/* Can it do the work? By its own word. */
static bool works(const struct place_machine *m, const char *service)
{
    int k = kind_of(service);

    return !m->unwell && (k < 0 || !m->unfit[k]);
}

/* Lower is better: what is drained only where there is nothing else, and then what does not work.
 */
static int plight(const struct place_machine *m, const char *service)
{
    return (m->draining ? 1 : 0) + (works(m, service) ? 0 : 2);
}

static int reluctance(const struct place_machine *m, const char *service)
{
    static const int by_wish[] = { [SERVE_RATHER] = 0, [SERVE_MAY] = 1, [SERVE_NOT] = 2 };
    int k = kind_of(service);

    return by_wish[k < 0 ? SERVE_MAY : m->wish[k]] + 3 * plight(m, service);
}

/* All that the scheduler decides, and all that it hears of, goes through the leader. */
static bool goes_with_leader(const char *service)
{
    return strcmp(service, "scheduler") == 0;
}

static bool better(const struct place_machine *a, size_t load_a, const struct place_machine *b,
                   size_t load_b, const char *service)
{
    int ra = reluctance(a, service), rb = reluctance(b, service);

    if (ra != rb)
        return ra < rb;
    if (goes_with_leader(service) && a->leads != b->leads)
        return a->leads;
    if (load_a != load_b)
        return load_a < load_b;
    if (a->since_ms != b->since_ms)
        return a->since_ms < b->since_ms;
    return strcmp(a->id, b->id) < 0;
}

static bool move(struct place_move *out, const struct place_service *s, const char *to,
                 const char *why)
{
    memset(out, 0, sizeof *out);
    strcpy(out->name, s->name);
    strcpy(out->to, to);
    out->epoch = s->epoch;
    snprintf(out->why, sizeof out->why, "%s", why);
    return true;
}

static const char *reason(const struct place_service *s, const struct place_machine *now)
{
    return !s->machine[0]  ? "it ran nowhere"
           : !now          ? "its machine is gone"
           : !now->alive   ? "its machine is not alive"
           : now->draining ? "its machine is being drained"
           : now->unwell   ? "its machine cannot write the registry"
                           : "it failed there again and again";
}

struct round {
    const struct place_machine *m;
    size_t nm;
    const struct place_service *s;
    size_t ns;
    uint64_t now_ms, again_ms;
    struct place_move *out; /* what was decided so far */
    size_t n;
};

/* Whether it is to stay where it is, whatever there is elsewhere. */
static bool rests(struct round *r, const struct place_service *s, const struct place_machine *now)
{
    uint64_t until = s->since_ms + PLACE_STAY_MS;

    if (!now || !now->alive || now->draining)
        return false;
    if (works(now, s->name))
        return true;
    if (s->since_ms == 0 || r->now_ms >= until)
        return false;
    if (until < r->again_ms)
        r->again_ms = until;
    return true;
}

static bool decide(struct round *r, const struct place_service *one)
{
    const struct place_machine *now = find(r->m, r->nm, one->machine),
                               *asked = find(r->m, r->nm, one->wanted), *best = NULL;
    size_t least = 0;

    if (asked && asked->alive && !asked->draining)
        return asked != now && move(&r->out[r->n], one, asked->id, "somebody asked for it");
    if (rests(r, one, now))
        return false;
    for (size_t i = 0; i < r->nm; i++) {
        const struct place_machine *m = &r->m[i];
        size_t has = load(m, r->s, r->ns, r->out, r->n);

        if (!m->alive || (best && !better(m, has, best, least, one->name)))
            continue;
        best = m;
        least = has;
    }
    if (!best || best == now ||
        (now && now->alive && plight(best, one->name) >= plight(now, one->name)))
        return false;
    return move(&r->out[r->n], one, best->id, reason(one, now));
}

size_t place_services(const struct place_machine *m, size_t nm, const struct place_service *s,
                      size_t ns, uint64_t now_ms, struct place_move *out, uint64_t *again_ms)
{
    struct round r = {
        .m = m, .nm = nm, .s = s, .ns = ns, .now_ms = now_ms, .again_ms = UINT64_MAX, .out = out
    };

    for (size_t i = 0; i < ns; i++)
        if (goes_with_leader(s[i].name))
            r.n += decide(&r, &s[i]);
    for (size_t i = 0; i < ns; i++)
        if (!goes_with_leader(s[i].name))
            r.n += decide(&r, &s[i]);
    *again_ms = r.again_ms;
    return r.n;
}

bool place_judge(struct place_judge *j, uint64_t now_ms, bool bad, uint64_t bad_ms,
                 uint64_t good_ms)
{
    if (bad == j->bad) {
        j->other_ms = 0;
        return j->bad;
    }
    if (j->other_ms == 0)
        j->other_ms = now_ms;
    if (now_ms - j->other_ms >= (bad ? bad_ms : good_ms)) {
        j->bad = bad;
        j->other_ms = 0;
    }
    return j->bad;
}
