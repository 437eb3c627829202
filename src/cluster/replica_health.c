/*
 * replica_health.c - how the replica is: numbers, and words where something is wrong and what to do
 * about it, for status and doctor; whether it is well, for the others; and word of who leads.
 */
#include "cluster/replica_private.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>

#define LEADERLESS_MS 2000  /* an election is no news */
#define ELECTS_MS     10000 /* one that takes longer will not end by itself */

struct names {
    char text[160];
    unsigned n;
};

static void add_name(struct names *names, const char *id)
{
    size_t len = strlen(names->text);

    if (len + strlen(id) + 3 < sizeof names->text)
        snprintf(names->text + len, sizeof names->text - len, "%s%s", len ? ", " : "", id);
    names->n++;
}

static void count(struct replica *r, struct replica_health *h, struct names *missing)
{
    const struct consensus_server *v;
    size_t n = consensus_servers(r->consensus, &v);

    for (size_t i = 0; i < n; i++) {
        bool self = v[i].node == r->mine.node;
        bool here = self || cluster_reachable(r->cluster, v[i].id);

        if (self)
            h->role = v[i].role;
        if (v[i].role == ROLE_VOTER) {
            h->voters++;
            h->voters_alive += here;
            if (!here)
                add_name(missing, v[i].id);
        } else {
            h->learners++;
        }
    }
}

static void say_no_quorum(struct replica *r, struct replica_health *h, const struct names *missing)
{
    uint64_t since = r->leader_ms > r->started_ms ? r->leader_ms : r->started_ms;

    if (h->voters == 0)
        snprintf(h->trouble, sizeof h->trouble,
                 "no registry yet: this machine waits to be taken into one");
    else if (h->voters_alive * 2 <= h->voters)
        snprintf(h->trouble, sizeof h->trouble,
                 "no quorum: %u of %u voters; start oneosd again on %s, or mend the network to %s",
                 h->voters_alive, h->voters, missing->text, missing->n > 1 ? "them" : "it");
    else if (now_ms() - since >= ELECTS_MS)
        snprintf(h->trouble, sizeof h->trouble,
                 "no leader, though %u of %u voters can be reached: this machine's list of voters "
                 "may be an old one; start every machine that was there when this one stopped, and "
                 "read `trouble` on the others",
                 h->voters_alive, h->voters);
    else
        snprintf(h->trouble, sizeof h->trouble,
                 "no leader yet: %u of %u voters can be reached and elect one; this takes a second",
                 h->voters_alive, h->voters);
}

void replica_health(struct replica *r, struct replica_health *h)
{
    struct names missing = { "" };
    char words[256];

    memset(h, 0, sizeof *h);
    h->state = formation_state(r->formation, words);
    h->index = registry_index(r->registry);
    if (r->failed) {
        snprintf(h->trouble, sizeof h->trouble, "%s", r->trouble);
        return;
    }
    h->term = consensus_term(r->consensus);
    count(r, h, &missing);
    h->quorum = consensus_leader(r->consensus, h->leader) != 0;
    if (!h->quorum)
        h->leader[0] = '\0';
    if (raft_disk_trouble(r->disk))
        snprintf(h->trouble, sizeof h->trouble, "%s", raft_disk_trouble(r->disk));
    else if (registry_trouble(r->registry))
        snprintf(h->trouble, sizeof h->trouble, "%s", registry_trouble(r->registry));
    else if (words[0] && (h->voters == 0 || h->state == FORM_REFUSED || h->state == FORM_SPLIT))
        snprintf(h->trouble, sizeof h->trouble, "%s", words);
    else if (!h->quorum)
        say_no_quorum(r, h, &missing);
    else if (words[0] && h->state == FORM_MEMBER)
        snprintf(h->trouble, sizeof h->trouble, "%s", words);
}

int replica_role(const struct replica *r, const char *id, enum consensus_role *role)
{
    const struct consensus_server *v;
    size_t n = r->failed ? 0 : consensus_servers(r->consensus, &v);

    for (size_t i = 0; i < n; i++)
        if (strcmp(v[i].id, id) == 0) {
            *role = v[i].role;
            return 0;
        }
    return -ENOENT;
}

void replica_on_leader(struct replica *r, void (*fn)(void *arg, const char *leader), void *arg)
{
    r->on_leader = fn;
    r->on_leader_arg = arg;
}

static bool in_trouble(const struct replica *r)
{
    return r->failed || raft_disk_trouble(r->disk) || registry_trouble(r->registry);
}

bool replica_stuck(const struct replica *r)
{
    return r->mine.unwell && in_trouble(r);
}

void replica_unfit(struct replica *r, const char *names)
{
    if (strcmp(r->mine.unfit, names) == 0)
        return;
    snprintf(r->mine.unfit, sizeof r->mine.unfit, "%s", names);
    cluster_beat(r->cluster);
    r->look_services = true;
    replica_soon(r);
}

/* The others hear at once when that changes: the core services go where they can work. */
static void settle_wellness(struct replica *r)
{
    bool was = r->mine.unwell;

    r->mine.unwell =
        place_judge(&r->wellness, now_ms(), in_trouble(r), PLACE_UNWELL_MS, PLACE_WELL_MS);
    if (r->mine.unwell == was)
        return;
    if (r->mine.unwell)
        log_warn("registry", "the core services go elsewhere while it cannot be written here");
    cluster_beat(r->cluster);
    r->look = r->look_services = true;
}

void health_settle(struct replica *r)
{
    uint64_t now = now_ms();
    char id[ID_MAX];

    settle_wellness(r);
    if (!r->failed && consensus_leader(r->consensus, id) != 0)
        r->leader_ms = now;
    else if (now - r->leader_ms >= LEADERLESS_MS)
        id[0] = '\0';
    else
        return;
    if (strcmp(id, r->leader) == 0)
        return;
    strcpy(r->leader, id);
    if (r->on_leader)
        r->on_leader(r->on_leader_arg, r->leader);
}
