/*
 * A writer is killed in the middle of its work, many times: what it was told to be done is there.
 * The writer is this program again, `test_raft_disk_killed write DIR`; ONEOS_ROUNDS: how often.
 */
#include "diskkit.h"

#include <signal.h>
#include <time.h>

/* What the child says on its way, a line each. */
enum said { SAID_APPENDED = 'a', SAID_TRUNCATING = 'x', SAID_TERM = 't', SAID_STORED = 's' };

struct message {
    uint64_t what, value;
};

static void say(enum said what, uint64_t value)
{
    struct message m = { what, value };

    if (write(1, &m, sizeof m) != sizeof m)
        _exit(0);
}

struct writer {
    struct loop *loop;
    struct raft_disk *disk;
    uint64_t next, term, stored;
    uint64_t term_from; /* entries from here on are of `term` */
    unsigned under_way;
    bool putting;
};

struct writing {
    struct writer *w;
    uint64_t last;
    uint8_t *data;
};

static void writing_done(void *token, int rc)
{
    struct writing *x = token;

    if (rc == 0)
        say(SAID_APPENDED, x->last);
    x->w->under_way--;
    free(x->data);
    free(x);
}

static void storing_done(void *token, int rc)
{
    struct writing *x = token;

    if (rc < 0)
        _exit(5);
    x->w->stored = x->last;
    x->w->putting = false;
    say(SAID_STORED, x->last);
    free(x->data);
    free(x);
}

static void writer_append(struct writer *w)
{
    size_t n = 1 + rnd(4), len = rnd(10) ? rnd(300) : rnd(9000);
    struct writing *x = malloc(sizeof *x);
    struct consensus_entry v[4];

    *x = (struct writing){ .w = w, .last = w->next + n - 1, .data = malloc(n * len + 1) };
    for (size_t i = 0; i < n; i++) {
        fill(w->next + i, (unsigned)w->term, x->data + i * len, len);
        v[i] = (struct consensus_entry){ w->term, 7, x->data + i * len, len };
    }
    if (raft_disk_append(w->disk, w->next, v, n, writing_done, x) < 0)
        _exit(6);
    w->next += n;
    w->under_way++;
}

static void writer_put(struct writer *w, uint64_t index, uint64_t trailing)
{
    size_t len = rnd(30000);
    struct writing *x = malloc(sizeof *x);
    struct consensus_snapshot s = {
        .index = index, .term = w->term, .conf_index = 1, .conf = "conf", .conf_len = 4, .len = len
    };

    *x = (struct writing){ .w = w, .last = index, .data = malloc(len + 1) };
    fill(index, 99, x->data, len);
    s.data = x->data;
    if (raft_disk_snapshot_put(w->disk, &s, trailing, storing_done, x) < 0)
        _exit(7);
    if (index >= w->next)
        w->next = w->term_from = index + 1;
    w->putting = true;
}

static void writer_step(struct writer *w)
{
    switch (rnd(40)) {
    case 0:
        say(SAID_TERM, w->term); /* a vote in this term goes before the next */
        if (raft_disk_set_term(w->disk, w->term + 1) < 0)
            _exit(8);
        say(SAID_TERM, ++w->term);
        w->term_from = w->next;
        break;
    case 1:
        if (!w->putting && w->under_way == 0 && w->next - w->stored > 8) {
            uint64_t at = w->next - 1 - rnd(5);

            say(SAID_TRUNCATING, at);
            if (raft_disk_truncate(w->disk, at) < 0)
                _exit(9);
            w->next = at;
            if (at < w->term_from)
                w->term_from = at;
        }
        break;
    case 2:
        if (!w->putting && w->next - w->stored > 50 && w->next - w->term_from > 20)
            writer_put(w, w->next - 1 - rnd(20), rnd(60));
        break;
    case 3:
        if (!w->putting && rnd(4) == 0)
            writer_put(w, w->next + 10 + rnd(10), 0);
        break;
    default:
        if (w->under_way < 16)
            writer_append(w);
    }
}

static int write_child(const char *dir)
{
    struct writer w = { 0 };
    struct consensus_loaded l;
    struct oerr e;

    if (loop_create(&w.loop) < 0 || raft_disk_open(&w.disk, w.loop, dir, &e) < 0 ||
        raft_disk_load(w.disk, &l, &e) < 0)
        return 4;
    rnd_state = (uint64_t)getpid() * 0x9e3779b97f4a7c15u;
    w.next = w.term_from = l.first + l.n;
    w.term = l.term;
    w.stored = l.snapshot.index;
    loaded_free(&l);
    for (;;) {
        writer_step(&w);
        uv_run(loop_uv(w.loop), w.under_way >= 16 ? UV_RUN_ONCE : UV_RUN_NOWAIT);
    }
}

/* What must be there: said so far. */
struct must {
    uint64_t last, term, stored;
};

static void hear(int fd, struct must *must, pid_t pid, unsigned messages)
{
    struct message m;

    while (read(fd, &m, sizeof m) == sizeof m) {
        if (m.what == SAID_APPENDED && m.value > must->last)
            must->last = m.value;
        else if (m.what == SAID_TRUNCATING && m.value <= must->last)
            must->last = m.value - 1;
        else if (m.what == SAID_TERM && m.value > must->term)
            must->term = m.value;
        else if (m.what == SAID_STORED && m.value > must->stored)
            must->stored = m.value;
        if (must->last < must->stored)
            must->last = must->stored;
        if (messages > 0 && --messages == 0)
            kill(pid, SIGKILL);
    }
}

static void a_killed_writer_loses_nothing_that_was_done(void **state)
{
    unsigned rounds = from_env("ONEOS_ROUNDS", 40);
    struct kit *k = *state;
    struct must must = { 0 };

    rnd_state = (uint64_t)time(NULL);
    for (unsigned round = 0; round < rounds; round++) {
        struct consensus_loaded l;
        int ends[2], status;
        pid_t pid;

        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        pid = spawn("write", k->dir, ends[1], false);
        close(ends[1]);
        hear(ends[0], &must, pid, 1 + (unsigned)rnd(400));
        close(ends[0]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
            fail_msg("the writer ended with %x", status);
        open_disk(k);
        load(k, &l);
        assert_entries(&l);
        assert_true(l.term >= must.term);
        assert_true(l.snapshot.index >= must.stored);
        if (l.first + l.n <= must.last)
            fail_msg("round %u: ends at %" PRIu64 ", %" PRIu64 " was done", round,
                     l.first + l.n - 1, must.last);
        must = (struct must){ l.first + l.n - 1, l.term, l.snapshot.index };
        loaded_free(&l);
        close_disk(k);
    }
    print_message("%" PRIu64 " entries, term %" PRIu64 "\n", must.last, must.term);
    assert_true(must.last > 10 * rounds);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        kit_test(a_killed_writer_loses_nothing_that_was_done),
    };

    if (argc == 3)
        return write_child(argv[2]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
