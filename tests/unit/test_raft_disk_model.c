/*
 * Any sequence of calls, many of them under way at once, leaves on the disk what a list in memory
 * says. ONEOS_SEED and ONEOS_SEEDS: which sequences.
 */
#include "diskkit.h"

#include "base/log.h"

enum { CALLS = 400, INDEX_MAX = 20000 };

/* The state that was asked for. */
struct model {
    uint64_t term, vote, first, next;
    uint64_t snap_index, snap_term;
    size_t snap_len;
    uint64_t terms[INDEX_MAX]; /* of the entries */
    size_t lens[INDEX_MAX];
    unsigned under_way, cancelled;
    uint64_t rnd;
};

struct call {
    struct model *m;
    uint8_t *data;
};

static uint64_t pick(struct model *m, uint64_t below)
{
    m->rnd = m->rnd * 6364136223846793005u + 1442695040888963407u;
    return (m->rnd >> 33) % below;
}

static void call_done(void *token, int rc)
{
    struct call *c = token;

    if (rc == -ECANCELED)
        c->m->cancelled++;
    else
        assert_int_equal(rc, 0);
    c->m->under_way--;
    free(c->data);
    free(c);
}

static struct call *call_begin(struct model *m, size_t len)
{
    struct call *c = malloc(sizeof *c);

    *c = (struct call){ .m = m, .data = malloc(len + 1) };
    m->under_way++;
    return c;
}

static void do_append(struct kit *k, struct model *m)
{
    size_t n = 1 + pick(m, 6), len = pick(m, 30) ? pick(m, 300) : pick(m, 9000);
    struct call *c = call_begin(m, n * len);
    struct consensus_entry v[6];

    for (size_t i = 0; i < n; i++) {
        fill(m->next + i, (unsigned)m->term, c->data + i * len, len);
        v[i] = (struct consensus_entry){ m->term, 7, c->data + i * len, len };
        m->terms[m->next + i] = m->term;
        m->lens[m->next + i] = len;
    }
    assert_int_equal(raft_disk_append(k->disk, m->next, v, n, call_done, c), 0);
    m->next += n;
}

static void do_truncate(struct kit *k, struct model *m)
{
    uint64_t back = pick(m, 12), at = m->next - back;

    if (back >= m->next || at <= m->snap_index)
        return;
    assert_int_equal(raft_disk_truncate(k->disk, at), 0);
    m->next = at;
    if (m->first > at)
        m->first = at;
}

static void do_term(struct kit *k, struct model *m)
{
    if (pick(m, 2)) {
        assert_int_equal(raft_disk_set_term(k->disk, ++m->term), 0);
        m->vote = 0;
    } else {
        m->vote = pick(m, 100);
        assert_int_equal(raft_disk_set_vote(k->disk, m->vote), 0);
    }
}

static void begin_store(struct kit *k, struct model *m, uint64_t index, uint64_t term,
                        uint64_t trailing)
{
    size_t len = pick(m, 5000);
    struct call *c = call_begin(m, len);
    struct consensus_snapshot s = { .index = index,
                                    .term = term,
                                    .conf_index = 1,
                                    .conf = "conf",
                                    .conf_len = 4,
                                    .data = c->data,
                                    .len = len };

    fill(index, 99, c->data, len);
    assert_int_equal(raft_disk_snapshot_put(k->disk, &s, trailing, call_done, c), 0);
    m->snap_index = index;
    m->snap_term = term;
    m->snap_len = len;
}

static void do_own_snapshot(struct kit *k, struct model *m)
{
    uint64_t back = 1 + pick(m, 20), index = m->next - back, trailing = pick(m, 40);

    if (back >= m->next || index <= m->snap_index || index < m->first)
        return;
    begin_store(k, m, index, m->terms[index], trailing);
    if (index >= trailing && index - trailing + 1 > m->first)
        m->first = index - trailing + 1;
}

static void do_others_snapshot(struct kit *k, struct model *m)
{
    uint64_t index = m->next + pick(m, 10), back = pick(m, 6);

    if (index < back || index - back <= m->snap_index)
        return;
    index -= back;
    begin_store(k, m, index, ++m->term, 0);
    m->first = m->next = index + 1;
    assert_int_equal(raft_disk_set_term(k->disk, m->term), 0);
    m->vote = 0;
}

static void do_get(struct kit *k, struct model *m)
{
    struct consensus_snapshot s = { 0 };
    struct wait w = { 0 };

    if (raft_disk_snapshot_get(k->disk, &s, wait_done, &w) < 0)
        return;
    assert_int_equal(kit_wait(k, &w), 0);
    assert_true(s.index <= m->snap_index);
    assert_snapshot(&s, s.index, s.term, s.len);
    free((void *)s.conf);
    free(s.data);
}

static void compare(struct kit *k, struct model *m)
{
    struct consensus_loaded l;

    run_until(k, m->under_way == 0);
    if (pick(m, 2))
        reopen_disk(k);
    load(k, &l);
    assert_int_equal(l.term, m->term);
    assert_int_equal(l.voted_for, m->vote);
    assert_int_equal(l.first, m->first);
    assert_int_equal(l.first + l.n, m->next);
    for (size_t i = 0; i < l.n; i++) {
        assert_int_equal(l.entries[i].term, m->terms[l.first + i]);
        assert_int_equal(l.entries[i].len, m->lens[l.first + i]);
    }
    assert_entries(&l);
    assert_int_equal(l.has_snapshot, m->snap_index != 0);
    if (l.has_snapshot)
        assert_snapshot(&l.snapshot, m->snap_index, m->snap_term, m->snap_len);
    loaded_free(&l);
}

static const struct {
    unsigned weight;
    void (*call)(struct kit *k, struct model *m);
} calls[] = {
    { 60, do_append },         { 8, do_truncate }, { 6, do_term }, { 6, do_own_snapshot },
    { 4, do_others_snapshot }, { 2, do_get },      { 2, compare },
};

static void any_sequence_leaves_what_the_model_says(void **state)
{
    unsigned seed = from_env("ONEOS_SEED", 1), n = from_env("ONEOS_SEEDS", 10);
    struct kit *k = *state;
    struct model *m = malloc(sizeof *m);
    unsigned total = 0, cancelled = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(calls); i++)
        total += calls[i].weight;
    for (unsigned end = seed + n; seed < end; seed++) {
        memset(m, 0, sizeof *m);
        m->first = m->next = 1;
        m->rnd = seed * 0x9e3779b97f4a7c15u;
        print_message("seed %u\n", seed);
        open_disk(k);
        for (unsigned c = 0; c < CALLS; c++) {
            uint64_t chosen = pick(m, total);
            unsigned i = 0;

            while (chosen >= calls[i].weight)
                chosen -= calls[i++].weight;
            calls[i].call(k, m);
            if (pick(m, 3) == 0)
                uv_run(loop_uv(k->loop), UV_RUN_NOWAIT);
        }
        compare(k, m);
        cancelled += m->cancelled;
        close_disk(k);
        tempdir_remove(k->dir);
    }
    assert_true(cancelled > 0);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(any_sequence_leaves_what_the_model_says),
    };

    log_to(2, LOG_WARN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
