/*
 * consensus_log.c - looking into libraft's log and configuration, and setting them right.
 *
 * libraft 0.15 loses track of configurations in ways that would split a cluster; they are mended
 * from outside, in the public fields of struct raft, before and after its calls:
 *  - start takes the newest change in the log for committed (restoreEntries): it is marked
 *    uncommitted again, so that it can be rolled back;
 *  - a change takes effect when it is on disk and only if we still are a follower then
 *    (appendFollowerCb): it is set when it enters the log, as Raft has it;
 *  - a rollback goes to the last committed change, past others that stay in the log, and reads it
 *    from the log, where it may be trimmed away (membershipRollback: NULL): it is done here first;
 *  - a snapshot taken while a change is uncommitted holds that change (takeSnapshot): the committed
 *    one is kept here;
 *  - an installed snapshot leaves a stale mark of an uncommitted change (snapshotRestore).
 *
 * The commit index of a leader is counted here too: libraft commits only at its own last stored
 * index, so that under load it waits for the slowest, and it counts copies of entries of former
 * terms (replicationQuorum), which Raft forbids (figure 8 of the paper).
 */
#include "cluster/consensus_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static size_t log_count(const struct raft_log *l)
{
    return l->front <= l->back ? l->back - l->front : l->size - l->front + l->back;
}

uint64_t log_last(const struct raft *r)
{
    return r->log.offset + log_count(&r->log);
}

const struct raft_entry *log_entry(const struct raft *r, uint64_t index)
{
    const struct raft_log *l = &r->log;

    if (index <= l->offset || index > log_last(r))
        return NULL;
    return &l->entries[(l->front + (size_t)(index - l->offset - 1)) % l->size];
}

uint64_t log_term(const struct raft *r, uint64_t index)
{
    const struct raft_entry *entry;

    if (index == 0)
        return 0;
    if (index == r->log.snapshot.last_index)
        return r->log.snapshot.last_term;
    entry = log_entry(r, index);
    return entry ? entry->term : 0;
}

/* ---- configurations */

const struct raft_server *conf_server(const struct raft *r, uint64_t node)
{
    for (unsigned i = 0; i < r->configuration.n; i++)
        if (r->configuration.servers[i].id == node)
            return &r->configuration.servers[i];
    return NULL;
}

size_t conf_voters(const struct raft *r)
{
    size_t n = 0;

    for (unsigned i = 0; i < r->configuration.n; i++)
        n += r->configuration.servers[i].role == RAFT_VOTER;
    return n;
}

bool conf_alone(const struct consensus *c)
{
    const struct raft_server *self = conf_server(&c->raft, c->node);

    return self && self->role == RAFT_VOTER && conf_voters(&c->raft) == 1;
}

static const int raft_roles[] = {
    [ROLE_SPARE] = RAFT_SPARE, [ROLE_LEARNER] = RAFT_STANDBY, [ROLE_VOTER] = RAFT_VOTER
};

int conf_from_bytes(const void *data, size_t len, struct raft_configuration *out)
{
    struct consensus_server *v = NULL;
    size_t n = 0;
    int rc = consensus_conf_decode(data, len, &v, &n, NULL);

    raft_configuration_init(out);
    for (size_t i = 0; rc == 0 && i < n; i++)
        if (raft_configuration_add(out, v[i].node, v[i].id, raft_roles[v[i].role]) != 0)
            rc = -EPROTO;
    if (rc < 0) {
        raft_configuration_close(out);
        raft_configuration_init(out);
    }
    free(v);
    return rc;
}

static void put_in_force(struct consensus *c, const void *data, size_t len, uint64_t uncommitted)
{
    struct raft_configuration conf;

    if (conf_from_bytes(data, len, &conf) < 0) {
        consensus_fence(c, "a list of servers in the log cannot be read");
        return;
    }
    raft_configuration_close(&c->raft.configuration);
    c->raft.configuration = conf;
    c->raft.configuration_uncommitted_index = uncommitted;
}

/* The newest change in the log below `below`, above what is committed; 0: none. */
static uint64_t newest_change(const struct consensus *c, uint64_t below)
{
    const struct raft *r = &c->raft;
    uint64_t low = r->configuration_index > r->log.offset ? r->configuration_index : r->log.offset;

    for (uint64_t i = below - 1; i > low; i--)
        if (log_entry(r, i) && log_entry(r, i)->type == RAFT_CHANGE)
            return i;
    return 0;
}

void conf_appended(struct consensus *c, uint64_t first, const struct raft_entry *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (v[i].type == RAFT_CHANGE)
            c->change_last = first + i;
}

/* Called while the entries from index on are still in the log. */
void conf_truncated(struct consensus *c, uint64_t index)
{
    if (c->change_last >= index)
        c->change_last = newest_change(c, index);
}

/* Keeps a copy of the newest committed configuration, whose entry may leave the log. */
static void keep_committed(struct consensus *c)
{
    struct raft *r = &c->raft;
    const struct raft_entry *entry;
    struct raft_buffer buf = { 0 };

    if (c->conf_index == r->configuration_index || r->configuration_index == 0)
        return;
    entry = log_entry(r, r->configuration_index);
    if (entry && entry->type == RAFT_CHANGE) {
        buf.base = raft_malloc(entry->buf.len);
        buf.len = entry->buf.len;
        memcpy(buf.base, entry->buf.base, buf.len);
    } else if (r->configuration_uncommitted_index == 0 && r->configuration.n > 0) {
        if (raft_configuration_encode(&r->configuration, &buf) != 0)
            return;
    } else {
        return;
    }
    raft_free(c->conf.base);
    c->conf = buf;
    c->conf_index = r->configuration_index;
}

int conf_committed(struct consensus *c, struct raft_buffer *out)
{
    keep_committed(c);
    if (!c->conf.base)
        return -ENOENT;
    out->base = raft_malloc(c->conf.len);
    out->len = c->conf.len;
    memcpy(out->base, c->conf.base, c->conf.len);
    return 0;
}

/* Before libraft drops the entries from index on. */
void conf_rollback(struct consensus *c, uint64_t index)
{
    struct raft *r = &c->raft;
    uint64_t change;

    if (r->configuration_uncommitted_index < index)
        return;
    change = newest_change(c, index);
    if (change) {
        put_in_force(c, log_entry(r, change)->buf.base, log_entry(r, change)->buf.len, change);
        return;
    }
    keep_committed(c);
    if (c->conf.base)
        put_in_force(c, c->conf.base, c->conf.len, 0);
    else
        consensus_fence(c, "the list of servers before index %llu is lost",
                        (unsigned long long)index);
}

/* After raft_start(): what of the log is the configuration. */
void conf_loaded(struct consensus *c)
{
    struct raft *r = &c->raft;
    uint64_t before;

    c->change_last = 0;
    for (uint64_t i = log_last(r); i > r->log.offset && !c->change_last; i--)
        if (log_entry(r, i)->type == RAFT_CHANGE)
            c->change_last = i;
    if (c->change_last <= r->commit_index || c->change_last != r->configuration_index) {
        keep_committed(c);
        return;
    }
    before = c->conf_index; /* of the snapshot */
    for (uint64_t i = c->change_last - 1; i > r->log.offset; i--)
        if (log_entry(r, i)->type == RAFT_CHANGE && i <= r->commit_index) {
            before = i > before ? i : before;
            break;
        }
    if (before == 0) {
        keep_committed(c);
        return;
    }
    r->configuration_uncommitted_index = c->change_last;
    r->configuration_index = before;
    keep_committed(c);
}

/* After each call of libraft. */
void conf_audit(struct consensus *c)
{
    struct raft *r = &c->raft;
    const struct raft_entry *entry;

    if (c->fenced)
        return;
    if (r->configuration_uncommitted_index <= r->last_applied)
        r->configuration_uncommitted_index = 0;
    keep_committed(c);
    if (c->change_last <= r->log.offset)
        c->change_last = 0;
    if (r->state != RAFT_FOLLOWER || c->change_last <= r->configuration_index ||
        c->change_last == r->configuration_uncommitted_index)
        return;
    entry = log_entry(r, c->change_last);
    if (entry && entry->type == RAFT_CHANGE)
        put_in_force(c, entry->buf.base, entry->buf.len, c->change_last);
}

/* ---- what a majority has */

static int by_size_down(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? 1 : x > y ? -1 : 0;
}

/* The highest index of our term that a majority of the voters has stored, when node (it may be
 * ourselves) has `match`; 0: none beyond what is committed. */
uint64_t commit_target(const struct consensus *c, uint64_t node, uint64_t match)
{
    const struct raft *r = &c->raft;
    uint64_t has[CONSENSUS_SERVERS_MAX], stored = node == c->node ? match : r->last_stored, n = 0;
    uint64_t target;

    for (unsigned i = 0; i < r->configuration.n && n < CONSENSUS_SERVERS_MAX; i++) {
        const struct raft_server *s = &r->configuration.servers[i];
        uint64_t m = s->id == c->node ? stored : r->leader_state.progress[i].match_index;

        if (s->role != RAFT_VOTER)
            continue;
        if (s->id == node && match > m)
            m = match;
        has[n++] = m;
    }
    if (n == 0)
        return 0;
    qsort(has, n, sizeof has[0], by_size_down);
    target = has[n / 2] < stored ? has[n / 2] : stored;
    if (target <= r->commit_index || log_term(r, target) != r->current_term)
        return 0;
    return target;
}
