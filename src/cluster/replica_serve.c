/*
 * replica_serve.c - the leader's side of the core services: asks placement where they should run
 * and has it written into the registry. Whoever runs one watches service/NAME (services.c).
 */
#include "cluster/replica_private.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>

#define ASSIGN_MS 3000
#define FIRST_MS  2000 /* machines that start together shall share what is placed first */

struct placing {
    struct replica *r;
    unsigned bit;
};

static void placed(void *arg, int rc, const json_t *body, const char *text)
{
    struct placing *p = arg;

    (void)body;
    p->r->placing &= ~p->bit;
    p->r->look_services = true;
    if (rc < 0 && rc != -ESTALE && rc != -ECANCELED)
        log_info("services", "not placed: %s", text);
    free(p);
}

static void assign(struct replica *r, const struct place_move *m, unsigned bit)
{
    struct placing *p = malloc(sizeof *p);

    if (!p)
        return;
    *p = (struct placing){ .r = r, .bit = bit };
    log_info("services", "%s goes to %s: %s", m->name, m->to, m->why);
    if (replica_submit(r, "service.assign",
                       json_pack("{s:s, s:s, s:I, s:s}", "name", m->name, "machine", m->to, "epoch",
                                 (json_int_t)m->epoch, "why", m->why),
                       ASSIGN_MS, placed, p) < 0)
        free(p);
    else
        r->placing |= bit;
}

static void get_string(const json_t *o, const char *key, char *out, size_t size)
{
    const char *s = json_string_value(json_object_get(o, key));

    snprintf(out, size, "%s", s ? s : "");
}

static void read_services(struct registry_view *v, struct place_service s[SERVICES])
{
    for (size_t i = 0; i < SERVICES; i++) {
        char key[REGISTRY_KEY_MAX];
        json_t *value = NULL;

        memset(&s[i], 0, sizeof s[i]);
        snprintf(s[i].name, sizeof s[i].name, "%s", service_names[i]);
        snprintf(key, sizeof key, "service/%s", service_names[i]);
        if (view_get(v, key, &value) < 0)
            continue;
        get_string(value, "machine", s[i].machine, sizeof s[i].machine);
        get_string(value, "wanted", s[i].wanted, sizeof s[i].wanted);
        s[i].epoch = (uint64_t)json_integer_value(json_object_get(value, "epoch"));
        json_decref(value);
    }
}

static bool has_word(const char *words, const char *word)
{
    size_t len = strlen(word);

    for (const char *p = words; (p = strstr(p, word)); p += len)
        if ((p == words || p[-1] == ' ') && (!p[len] || p[len] == ' '))
            return true;
    return false;
}

static void read_wishes(const json_t *labels, struct place_machine *m)
{
    const char *label = json_string_value(json_object_get(labels, "service"));

    for (size_t i = 0; label && i < SERVICES; i++) {
        if (strcmp(label, "any") == 0 || strcmp(label, service_names[i]) == 0)
            m->wish[i] = SERVE_RATHER;
        else if (strcmp(label, "none") == 0)
            m->wish[i] = SERVE_NOT;
    }
}

/* By its own word. */
static void read_plight(struct replica *r, const struct member_view *is, struct place_machine *m)
{
    const struct standing *said = form_said(r, is->info.id, is->info.incarnation);

    m->unwell = said && said->unwell;
    for (size_t i = 0; said && i < SERVICES; i++)
        m->unfit[i] = has_word(said->unfit, service_names[i]);
}

static size_t read_machines(struct replica *r, struct registry_view *v, struct place_machine **out)
{
    const struct member *members = cluster_members(r->cluster);
    struct place_machine *m = calloc(member_count(members) + 1, sizeof *m);
    size_t n = 0;

    for (size_t i = 0; m && i < member_count(members); i++) {
        const struct member_view *is = member_at(members, i);
        char key[REGISTRY_KEY_MAX];
        json_t *value = NULL;

        snprintf(key, sizeof key, "member/%s", is->info.id);
        if (view_get(v, key, &value) < 0)
            continue;
        snprintf(m[n].id, sizeof m[n].id, "%s", is->info.id);
        m[n].alive = is->state == MEMBER_ALIVE || is->state == MEMBER_SUSPECT;
        m[n].since_ms = is->since_ms;
        m[n].leads = strcmp(is->info.id, r->me->id) == 0;
        m[n].draining = json_is_true(json_object_get(value, "draining"));
        read_wishes(cluster_labels(r->cluster, is->info.id), &m[n]);
        read_plight(r, is, &m[n]);
        json_decref(value);
        n++;
    }
    *out = m;
    return n;
}

/* Since when each is in its epoch. Of what was there before we led nothing is known: long ago. */
static void note_epochs(struct replica *r, struct place_service s[SERVICES], uint64_t now)
{
    for (size_t i = 0; i < SERVICES; i++) {
        if (r->seen[i].epoch != s[i].epoch) {
            r->seen[i].since_ms = r->seen_epochs ? now : 0;
            r->seen[i].epoch = s[i].epoch;
        }
        s[i].since_ms = r->seen[i].since_ms;
    }
    r->seen_epochs = true;
}

static void place(struct replica *r, uint64_t now)
{
    struct place_service services[SERVICES];
    struct place_move moves[SERVICES];
    struct place_machine *machines;
    struct registry_view *v;
    size_t n, n_moves;

    if (registry_read(r->registry, &v) < 0)
        return;
    read_services(v, services);
    n = read_machines(r, v, &machines);
    registry_view_end(v);
    note_epochs(r, services, now);
    n_moves =
        machines ? place_services(machines, n, services, SERVICES, now, moves, &r->place_ms) : 0;
    for (size_t i = 0; i < n_moves; i++)
        for (unsigned k = 0; k < SERVICES; k++)
            if (strcmp(moves[i].name, service_names[k]) == 0 && !(r->placing & 1u << k))
                assign(r, &moves[i], 1u << k);
    free(machines);
}

static bool none_placed(struct replica *r)
{
    char key[REGISTRY_KEY_MAX];
    struct registry_view *v;
    bool none;

    if (registry_read(r->registry, &v) < 0)
        return false;
    none = view_next(v, "service/", "", key, NULL) == -ENOENT;
    registry_view_end(v);
    return none;
}

void serve_settle(struct replica *r)
{
    uint64_t now = now_ms();

    if (!r->mine.leader) {
        r->leads_ms = 0;
        r->seen_epochs = false;
        return;
    }
    if (!r->leads_ms)
        r->leads_ms = now;
    if ((!r->look_services && now < r->place_ms) || !r->mine.registry[0] || r->wipe_ms)
        return;
    if (now < r->leads_ms + FIRST_MS && none_placed(r))
        return; /* it is looked at again with the ticks */
    r->look_services = false;
    r->place_ms = UINT64_MAX;
    place(r, now);
}
