/*
 * consensus_kit.c - some servers of one consensus in one process (consensus_kit.h).
 */
#include "tests/unit/consensus_kit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *copy(const void *data, size_t len)
{
    void *p = malloc(len + 1);

    if (len)
        memcpy(p, data, len);
    return p;
}

static struct consensus_entry *slot(struct kit_disk *d, uint64_t index)
{
    return &d->e[index % KIT_ENTRIES];
}

/* ---- env */

static uint64_t e_now(void *env)
{
    return ((struct kit_server *)env)->kit->now;
}

static unsigned e_random(void *env, unsigned min, unsigned max)
{
    struct kit *k = ((struct kit_server *)env)->kit;

    k->seed = k->seed * 1103515245 + 12345;
    return min + (k->seed >> 8) % (max - min);
}

static int e_load(void *env, struct consensus_loaded *out, struct oerr *e)
{
    struct kit_disk *d = &((struct kit_server *)env)->disk;

    (void)e;
    *out = (struct consensus_loaded){ .term = d->term,
                                      .voted_for = d->vote,
                                      .has_snapshot = d->has_snapshot,
                                      .snapshot = d->snapshot,
                                      .first = d->first,
                                      .n = d->n };
    if (d->has_snapshot) {
        out->snapshot.data = copy(d->snapshot.data, d->snapshot.len);
        out->snapshot.conf = copy(d->snapshot.conf, d->snapshot.conf_len);
    }
    out->entries = calloc(d->n + 1, sizeof *out->entries);
    for (uint64_t i = 0; i < d->n; i++) {
        out->entries[i] = *slot(d, d->first + i);
        out->entries[i].data = copy(out->entries[i].data, out->entries[i].len);
    }
    return 0;
}

static int e_set_term(void *env, uint64_t term)
{
    struct kit_disk *d = &((struct kit_server *)env)->disk;

    if (d->fail_set_term) {
        d->fail_set_term--;
        return -ENOSPC;
    }
    d->term = term;
    d->vote = 0;
    return 0;
}

static int e_set_vote(void *env, uint64_t node)
{
    ((struct kit_server *)env)->disk.vote = node;
    return 0;
}

static void drop_entry(struct kit_disk *d, uint64_t index)
{
    free((void *)(uintptr_t)slot(d, index)->data);
    slot(d, index)->data = NULL;
}

static int e_truncate(void *env, uint64_t index)
{
    struct kit_disk *d = &((struct kit_server *)env)->disk;

    while (d->n && d->first + d->n > index)
        drop_entry(d, d->first + --d->n);
    return 0;
}

static void begin(struct kit_disk *d, consensus_disk_done *done, void *token,
                  struct consensus_snapshot *out)
{
    struct kit_work *w = calloc(1, sizeof *w);

    w->done = done;
    w->token = token;
    w->out = out;
    *d->end = w;
    d->end = &w->next;
}

static int e_append(void *env, uint64_t first, const struct consensus_entry *v, size_t n,
                    consensus_disk_done *done, void *token)
{
    struct kit_disk *d = &((struct kit_server *)env)->disk;

    if (d->n == 0)
        d->first = first;
    if (first != d->first + d->n || d->n + n > KIT_ENTRIES)
        abort();
    for (size_t i = 0; i < n; i++) {
        *slot(d, first + i) = v[i];
        slot(d, first + i)->data = copy(v[i].data, v[i].len);
    }
    d->n += n;
    ((struct kit_server *)env)->appends++;
    begin(d, done, token, NULL);
    return 0;
}

static int e_snapshot_put(void *env, const struct consensus_snapshot *s, uint64_t trailing,
                          consensus_disk_done *done, void *token)
{
    struct kit_disk *d = &((struct kit_server *)env)->disk;

    free(d->snapshot.data);
    free((void *)(uintptr_t)d->snapshot.conf);
    d->snapshot = *s;
    d->snapshot.data = copy(s->data, s->len);
    d->snapshot.conf = copy(s->conf, s->conf_len);
    d->has_snapshot = true;
    while (d->n && (d->first + trailing <= s->index || d->first + d->n <= s->index)) {
        drop_entry(d, d->first++);
        d->n--;
    }
    begin(d, done, token, NULL);
    return 0;
}

static int e_snapshot_get(void *env, struct consensus_snapshot *out, consensus_disk_done *done,
                          void *token)
{
    begin(&((struct kit_server *)env)->disk, done, token, out);
    return 0;
}

static void e_send(void *env, uint64_t node, const char *id, const void *message, size_t len)
{
    struct kit_server *s = env;
    struct kit_mail *m = malloc(sizeof *m + len);

    (void)id;
    m->next = NULL;
    m->to = node;
    m->len = len;
    strcpy(m->from, s->id);
    memcpy(m->data, message, len);
    s->kit->sent++;
    *s->kit->end = m;
    s->kit->end = &m->next;
}

static void e_committed(void *env, uint64_t index, const void *data, size_t len)
{
    struct kit_server *s = env;

    if (index <= s->applied)
        abort();
    s->applied = index;
    s->text_len = s->forget ? 0 : s->text_len;
    s->text = realloc(s->text, s->text_len + len + 2);
    memcpy(s->text + s->text_len, data, len);
    s->text_len += len;
    s->text[s->text_len++] = ';';
    s->text[s->text_len] = '\0';
}

static void e_flush(void *env)
{
    ((struct kit_server *)env)->flushed++;
}

static int e_snapshot(void *env, uint64_t index, void **data, size_t *len)
{
    struct kit_server *s = env;

    if (s->busy)
        return -EBUSY;
    if (index < s->applied)
        abort();
    *data = copy(s->text, s->text_len);
    *len = s->text_len;
    return 0;
}

static int e_restore(void *env, uint64_t index, const void *data, size_t len)
{
    struct kit_server *s = env;

    if (index <= s->applied)
        return 0;
    s->applied = s->restored = index;
    free(s->text);
    s->text = copy(data, len);
    s->text_len = len;
    s->text[len] = '\0';
    return 0;
}

static void e_changed(void *env)
{
    ((struct kit_server *)env)->changed++;
}

static const struct consensus_env env_fn = { e_now,      e_random,       e_load,
                                             e_set_term, e_set_vote,     e_truncate,
                                             e_append,   e_snapshot_put, e_snapshot_get,
                                             e_send,     e_committed,    e_flush,
                                             e_snapshot, e_restore,      e_changed };

/* ---- servers */

struct kit *kit_new(void)
{
    struct kit *k = calloc(1, sizeof *k);

    k->now = 1000;
    k->seed = 1;
    k->end = &k->mail;
    for (unsigned i = 0; i < KIT_SERVERS; i++) {
        struct kit_server *s = &k->s[i];

        s->kit = k;
        s->node = 101 + i;
        snprintf(s->id, sizeof s->id, "m%u", i);
        s->disk.first = 1;
        s->disk.end = &s->disk.work;
    }
    return k;
}

int kit_start(struct kit *k, unsigned i, struct oerr *e)
{
    struct kit_server *s = &k->s[i];
    struct consensus_options opt = { .node = s->node,
                                     .id = s->id,
                                     .snapshot_threshold = k->threshold,
                                     .snapshot_trailing = k->trailing };

    return consensus_create(&s->c, &opt, &env_fn, s, e);
}

static void drop_work(struct kit_disk *d)
{
    while (d->work) {
        struct kit_work *w = d->work;

        d->work = w->next;
        free(w);
    }
    d->end = &d->work;
}

void kit_stop(struct kit *k, unsigned i)
{
    struct kit_server *s = &k->s[i];

    consensus_destroy(s->c);
    s->c = NULL;
    drop_work(&s->disk);
    free(s->text);
    s->text = NULL;
    s->text_len = 0;
    s->applied = 0;
}

void kit_free(struct kit *k)
{
    for (unsigned i = 0; i < KIT_SERVERS; i++) {
        struct kit_disk *d = &k->s[i].disk;

        kit_stop(k, i);
        e_truncate(&k->s[i], 0);
        free(d->snapshot.data);
        free((void *)(uintptr_t)d->snapshot.conf);
    }
    while (k->mail) {
        struct kit_mail *m = k->mail;

        k->mail = m->next;
        free(m);
    }
    free(k);
}

bool kit_end_work(struct kit *k, unsigned i)
{
    struct kit_server *s = &k->s[i];
    struct kit_disk *d = &s->disk;
    struct kit_work *w = d->work;

    if (!w || !s->c)
        return false;
    d->work = w->next;
    if (!d->work)
        d->end = &d->work;
    if (w->out) {
        *w->out = d->snapshot;
        w->out->data = copy(d->snapshot.data, d->snapshot.len);
        w->out->conf = copy(d->snapshot.conf, d->snapshot.conf_len);
    }
    w->done(w->token, 0);
    free(w);
    return true;
}

static bool deliver_one(struct kit *k)
{
    struct kit_mail *m = k->mail;

    if (!m)
        return false;
    k->mail = m->next;
    if (!k->mail)
        k->end = &k->mail;
    for (unsigned i = 0; i < KIT_SERVERS; i++) {
        struct kit_server *s = &k->s[i], *from = &k->s[m->from[1] - '0'];

        if (s->node == m->to && s->c && !s->cut && !from->cut)
            consensus_receive(s->c, m->data, m->len, m->from);
    }
    free(m);
    return true;
}

void kit_deliver(struct kit *k)
{
    bool more;

    do {
        more = deliver_one(k);
        for (unsigned i = 0; i < KIT_SERVERS; i++)
            more |= !k->s[i].disk.held && kit_end_work(k, i);
    } while (more);
}

void kit_run(struct kit *k, unsigned ms)
{
    for (uint64_t end = k->now + ms; k->now < end; k->now += 5) {
        for (unsigned i = 0; i < KIT_SERVERS; i++)
            if (k->s[i].c)
                consensus_tick(k->s[i].c);
        kit_deliver(k);
    }
}

struct consensus *kit_leader(struct kit *k)
{
    struct consensus *found = NULL;

    for (unsigned i = 0; i < KIT_SERVERS; i++)
        if (k->s[i].c && consensus_is_leader(k->s[i].c) &&
            (!found || consensus_term(k->s[i].c) > consensus_term(found)))
            found = k->s[i].c;
    return found;
}

void kit_done(void *arg, int rc, uint64_t index)
{
    struct kit_said *said = arg;

    said->calls++;
    said->rc = rc;
    said->index = index;
}

size_t kit_conf(uint8_t to[512], const enum consensus_role *roles, size_t n)
{
    static const uint8_t codes[] = { [ROLE_LEARNER] = 0, [ROLE_VOTER] = 1, [ROLE_SPARE] = 2 };
    size_t len = 9;

    memset(to, 0, 512);
    to[0] = 1;
    to[1] = (uint8_t)n;
    for (size_t i = 0; i < n; i++) {
        to[len] = (uint8_t)(101 + i);
        len += 8 + (size_t)snprintf((char *)to + len + 8, 16, "m%zu", i) + 1;
        to[len++] = codes[roles[i]];
    }
    return (len + 7) & ~(size_t)7;
}

void kit_three(struct kit *k)
{
    struct kit_said said = { 0 };

    for (unsigned i = 0; i < 3; i++)
        if (kit_start(k, i, NULL) < 0)
            abort();
    if (consensus_bootstrap(k->s[0].c, NULL) < 0)
        abort();
    kit_run(k, 100);
    for (unsigned i = 1; i < 3; i++) {
        if (consensus_add(k->s[0].c, k->s[i].node, k->s[i].id, kit_done, &said) < 0)
            abort();
        kit_run(k, 100);
        if (consensus_assign(k->s[0].c, k->s[i].node, ROLE_VOTER, kit_done, &said) < 0)
            abort();
        kit_run(k, 300);
    }
    if (said.calls != 4 || said.rc != 0)
        abort();
}
