/*
 * consensus_start.c - consensus begins and ends: what is on the disk, libraft around it, and the
 * first entry of a new cluster.
 *
 * What libraft takes for granted of the disk (no gaps, terms that do not fall, lists of servers
 * that can be read) is checked here first, with words.
 */
#include "cluster/consensus_private.h"

#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { ELECTION_MS = 250, HEARTBEAT_MS = 50, THRESHOLD = 16384, TRAILING = 4096 };
enum { INSTALL_MS = 5000, CATCH_UP_MS = 10000 };

/* ---- libraft's memory: out of it there is no way back from the middle of a change */

static void *sure(void *p)
{
    if (!p) {
        log_error("consensus", "no memory is left for consensus; oneosd ends");
        abort();
    }
    return p;
}

static void *heap_malloc(void *data, size_t n)
{
    size_t tail = n < 8 ? n : 8;
    char *p = sure(malloc(n ? n : 1));

    (void)data;
    memset(p + n - tail, 0, tail); /* libraft leaves the padding of configurations as it was */
    return p;
}

static void heap_free(void *data, void *p)
{
    (void)data;
    free(p);
}

static void *heap_calloc(void *data, size_t n, size_t size)
{
    (void)data;
    return sure(calloc(n ? n : 1, size));
}

static void *heap_realloc(void *data, void *p, size_t n)
{
    (void)data;
    return sure(realloc(p, n ? n : 1));
}

static void *heap_aligned(void *data, size_t alignment, size_t n)
{
    (void)data;
    return sure(aligned_alloc(alignment, n));
}

static void heap_aligned_free(void *data, size_t alignment, void *p)
{
    (void)data;
    (void)alignment;
    free(p);
}

static struct raft_heap heap = { NULL,         heap_malloc,  heap_free,        heap_calloc,
                                 heap_realloc, heap_aligned, heap_aligned_free };

/* ---- what is on the disk */

static void free_loaded(struct consensus_loaded *l)
{
    for (size_t i = 0; i < l->n; i++)
        free((void *)(uintptr_t)l->entries[i].data);
    free(l->entries);
    free(l->snapshot.data);
    free((void *)(uintptr_t)l->snapshot.conf);
    *l = (struct consensus_loaded){ 0 };
}

/* What libraft takes for granted. */
static int check_loaded(const struct consensus_loaded *l, struct oerr *e)
{
    const struct consensus_snapshot *s = &l->snapshot;
    uint64_t last = l->first + l->n - 1, term = 0;
    struct consensus_server *v = NULL;
    size_t n;

    if (l->n > 0 && l->first == 0)
        return oerr_set(e, -EBADMSG, "the log of consensus begins with index 0");
    if (l->has_snapshot && (s->index == 0 || s->term == 0 || s->term > l->term ||
                            s->conf_index == 0 || s->conf_index > s->index))
        return oerr_set(e, -EBADMSG, "the snapshot of consensus has no good index or term");
    if (l->has_snapshot && consensus_conf_decode(s->conf, s->conf_len, &v, &n, e) < 0)
        return -EBADMSG;
    free(v);
    if (l->n > 0 && (l->has_snapshot ? l->first > s->index + 1 || last < s->index : l->first != 1))
        return oerr_set(e, -EBADMSG,
                        "the log of consensus has entries %llu to %llu, its snapshot is at %llu: "
                        "some are missing",
                        (unsigned long long)l->first, (unsigned long long)last,
                        (unsigned long long)s->index);
    for (size_t i = 0; i < l->n; i++) {
        const struct consensus_entry *entry = &l->entries[i];

        v = NULL;
        if (entry->term < term || entry->term == 0 || entry->term > l->term ||
            entry->kind < ENTRY_COMMAND || entry->kind > ENTRY_CHANGE ||
            (l->first + i == 1 && entry->kind != ENTRY_CHANGE) ||
            (entry->kind == ENTRY_CHANGE &&
             consensus_conf_decode(entry->data, entry->len, &v, &n, e) < 0))
            return oerr_set(e, -EBADMSG, "entry %llu of the log of consensus is not a good one",
                            (unsigned long long)(l->first + i));
        free(v);
        term = entry->term;
    }
    return 0;
}

/* Whether the newest configuration on the disk has only us as voter. */
static bool loaded_alone(const struct consensus *c)
{
    const struct consensus_loaded *l = &c->loaded;
    const void *conf = l->has_snapshot ? l->snapshot.conf : NULL;
    size_t len = l->snapshot.conf_len, n = 0, voters = 0, own = 0;
    struct consensus_server *v = NULL;

    for (size_t i = 0; i < l->n; i++)
        if (l->entries[i].kind == ENTRY_CHANGE) {
            conf = l->entries[i].data;
            len = l->entries[i].len;
        }
    if (!conf || consensus_conf_decode(conf, len, &v, &n, NULL) < 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        voters += v[i].role == ROLE_VOTER;
        own += v[i].role == ROLE_VOTER && v[i].node == c->node;
    }
    free(v);
    return voters == 1 && own == 1;
}

static int load(struct consensus *c, struct oerr *e)
{
    struct consensus_loaded *l = &c->loaded;
    int rc = c->fn.load(c->env, l, e);

    if (rc < 0)
        return rc;
    rc = check_loaded(l, e);
    if (rc < 0)
        return rc;
    if (l->n == 0)
        l->first = l->has_snapshot ? l->snapshot.index + 1 : 1;
    if (l->has_snapshot) {
        c->conf.base = raft_malloc(l->snapshot.conf_len);
        c->conf.len = l->snapshot.conf_len;
        memcpy(c->conf.base, l->snapshot.conf, c->conf.len);
        c->conf_index = l->snapshot.conf_index;
    }
    if (!loaded_alone(c))
        return 0;
    rc = c->fn.set_term(c->env, l->term + 1);
    if (rc == 0)
        rc = c->fn.set_vote(c->env, c->node);
    if (rc < 0)
        return oerr_set(e, rc, "the term of consensus could not be written: %s", strerror(-rc));
    l->term++;
    l->voted_for = c->node;
    return 0;
}

/* ---- life */

static int start(struct consensus *c, const struct consensus_options *opt, struct oerr *e)
{
    int rv = raft_init(&c->raft, &c->io, &c->fsm, c->node, c->id);

    if (rv != 0)
        return oerr_set(e, -EIO, "consensus could not start: %s", raft_strerror(rv));
    c->has_raft = true;
    raft_set_election_timeout(&c->raft, c->election_ms);
    raft_set_heartbeat_timeout(&c->raft, c->heartbeat_ms);
    raft_set_install_snapshot_timeout(&c->raft, INSTALL_MS);
    raft_set_max_catch_up_round_duration(&c->raft, CATCH_UP_MS);
    raft_set_snapshot_threshold(&c->raft,
                                opt->snapshot_threshold ? opt->snapshot_threshold : THRESHOLD);
    raft_set_snapshot_trailing(&c->raft, c->trailing);
    raft_set_pre_vote(&c->raft, true);
    rv = raft_start(&c->raft);
    if (rv != 0 || c->fenced)
        return oerr_set(e, -EIO, "consensus could not start: %s",
                        c->fenced ? c->failed : raft_strerror(rv));
    conf_loaded(c);
    return 0;
}

int consensus_create(struct consensus **out, const struct consensus_options *opt,
                     const struct consensus_env *fn, void *env, struct oerr *e)
{
    struct consensus *c;
    int rc;

    if (opt->node == 0 || !opt->id || !opt->id[0] || strlen(opt->id) >= ID_MAX)
        return oerr_set(e, -EINVAL, "consensus needs the number and the id of this server");
    raft_heap_set(&heap);
    c = raft_calloc(1, sizeof *c);
    c->fn = *fn;
    c->env = env;
    c->node = opt->node;
    strcpy(c->id, opt->id);
    c->election_ms = opt->election_ms ? opt->election_ms : ELECTION_MS;
    c->heartbeat_ms = opt->heartbeat_ms ? opt->heartbeat_ms : HEARTBEAT_MS;
    c->trailing = opt->snapshot_trailing ? opt->snapshot_trailing : TRAILING;
    c->depth = 1;
    c->complaints = (struct rate){ .gap_ms = 1000, .burst = 5 };
    consensus_io_init(c);
    ask_init(c);
    rc = load(c, e);
    if (rc == 0)
        rc = start(c, opt, e);
    free_loaded(&c->loaded);
    if (rc < 0) {
        consensus_destroy(c);
        return rc;
    }
    *out = c;
    consensus_leave(c);
    return 0;
}

static void on_closed(struct raft *r)
{
    (void)r;
}

void consensus_destroy(struct consensus *c)
{
    if (!c)
        return;
    c->closing = c->fenced = true;
    ask_end_all(c, -ECANCELED);
    if (c->has_raft)
        raft_close(&c->raft, on_closed);
    ask_end_all(c, -ECANCELED);
    ask_finish(c);
    raft_free(c->conf.base);
    free(c->servers);
    free(c->peers);
    free(c);
}

/* The first entry comes as if a leader had sent it: so it takes the one way that entries go. Term 1
 * is that of the first entry alone, no leader ever has it: it may be left from a bootstrap that was
 * cut short. */
int consensus_bootstrap(struct consensus *c, struct oerr *e)
{
    struct raft *r = &c->raft;
    struct raft_message m = { .type = RAFT_IO_APPEND_ENTRIES, .server_id = c->node };
    struct raft_append_entries *a = &m.append_entries;
    struct raft_configuration conf;

    if (c->fenced)
        return oerr_set(e, -EIO, "consensus has stopped: %s", c->failed);
    if (r->current_term > 1 || r->voted_for != 0 || log_last(r) != 0 || r->configuration.n != 0)
        return oerr_set(e, -EBUSY, "this machine has a log already or heard of a cluster");
    consensus_enter(c);
    raft_configuration_init(&conf);
    raft_configuration_add(&conf, c->node, c->id, RAFT_VOTER);
    a->term = 1;
    a->leader_commit = 1;
    a->n_entries = 1;
    a->entries = raft_calloc(1, sizeof *a->entries);
    a->entries[0].term = 1;
    a->entries[0].type = RAFT_CHANGE;
    raft_configuration_encode(&conf, &a->entries[0].buf);
    a->entries[0].batch = a->entries[0].buf.base;
    raft_configuration_close(&conf);
    c->in.top = 1;
    consensus_hand_in(c, &m, c->id);
    r->election_timer_start = 0; /* nobody else will */
    consensus_leave(c);
    return c->fenced ? oerr_set(e, -EIO, "consensus has stopped: %s", c->failed) : 0;
}
