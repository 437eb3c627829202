/*
 * placement.c - puts each core service on a machine: fewest services first, labels honoured.
 *
 * In: machines and services. Out: moves. Invariants: at most one move a service; never onto a
 * machine that is not alive; a service on a machine that may keep it is not moved.
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

/* The machine's wish by labels; a service without a row in service_names has none. */
static int wish(const struct place_machine *m, const char *service)
{
    for (size_t k = 0; k < KINDS; k++)
        if (strcmp(service_names[k], service) == 0)
            return m->wish[k];
    return SERVE_MAY;
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

/* Lower is better: what is drained or unwanted only where there is nothing else. */
static int reluctance(const struct place_machine *m, const char *service)
{
    static const int by_wish[] = { [SERVE_RATHER] = 0, [SERVE_MAY] = 1, [SERVE_NOT] = 2 };

    return by_wish[wish(m, service)] + (m->draining ? 3 : 0);
}

static bool better(const struct place_machine *a, size_t load_a, const struct place_machine *b,
                   size_t load_b, const char *service)
{
    int ra = reluctance(a, service), rb = reluctance(b, service);

    if (ra != rb)
        return ra < rb;
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

/* Decides one service; n: the moves decided so far, in out[0..n-1]. */
static bool decide(const struct place_machine *m, size_t nm, const struct place_service *s,
                   size_t ns, const struct place_service *one, struct place_move *out, size_t n)
{
    const struct place_machine *now = find(m, nm, one->machine), *asked = find(m, nm, one->wanted),
                               *best = NULL;
    size_t least = 0;

    if (asked && asked->alive && !asked->draining)
        return asked != now && move(&out[n], one, asked->id, "somebody asked for it");
    if (now && now->alive && !now->draining)
        return false;
    for (size_t i = 0; i < nm; i++) {
        size_t has = load(&m[i], s, ns, out, n);

        if (!m[i].alive || (best && !better(&m[i], has, best, least, one->name)))
            continue;
        best = &m[i];
        least = has;
    }
    if (!best || best == now || (now && now->alive && best->draining))
        return false;
    return move(&out[n], one, best->id,
                !one->machine[0] ? "it ran nowhere"
                : !now           ? "its machine is gone"
                : now->alive     ? "its machine is being drained"
                                 : "its machine is not alive");
}

size_t place_services(const struct place_machine *m, size_t nm, const struct place_service *s,
                      size_t ns, struct place_move *out)
{
    size_t n = 0;

    for (size_t i = 0; i < ns; i++)
        n += decide(m, nm, s, ns, &s[i], out, n);
    return n;
}
