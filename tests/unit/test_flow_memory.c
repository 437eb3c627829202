/*
 * test_flow_memory.c - a flow when memory runs out: every call says so or does its work, what was
 * counted as written can be read, and nothing leaks.
 *
 * The linker puts __wrap_malloc and __wrap_calloc before the real ones (see local.mk).
 */
#include "flowkit.h"

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);

static int left = -1; /* allocations until one fails; < 0: none does */
static unsigned allocations;

static bool fails(void)
{
    allocations++;
    return left >= 0 && left-- == 0;
}

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

static char data[500000], expected[500000], got[500000];

/* Writes n bytes, of which the flow may take fewer; returns how many. */
static size_t write_some(struct stream *w, size_t n)
{
    struct req r;

    req_init(&r, true);
    if (slices_copy(&r.io.bytes, data, n) < 0) {
        assert_int_equal(r.io.bytes.n + r.io.bytes.len, 0);
        return 0;
    }
    w->ops->write(w, &r.io);
    assert_int_equal(r.answers, 1);
    slices_free(&r.io.bytes);
    if (r.rc < 0) {
        assert_int_equal(r.rc, -ENOMEM);
        return 0;
    }
    assert_true(n > 4096 ? (size_t)r.rc <= n : (size_t)r.rc == n);
    return (size_t)r.rc;
}

static void pass_bytes(struct flow *f, struct stream *r, struct stream *w)
{
    static const size_t sizes[] = { 10, 4096, 50000, 4000, 300000, 1000, 60000, 60000 };
    size_t in = 0, at = 0;

    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        size_t n = write_some(w, sizes[i]);

        memcpy(expected + in, data, n);
        in += n;
        assert_int_equal(stat_of(f).buffered, in);
    }
    for (ssize_t n; at < in; at += (size_t)n) {
        n = try_get(r, got + at, 7000);
        assert_true(n > 0);
    }
    assert_int_equal(at, in);
    assert_memory_equal(got, expected, in);
    assert_read_rc(r, -EAGAIN);
}

/* A bit of everything, while the allocation number fail_at fails. True when there were not so many.
 */
static bool session(int fail_at)
{
    struct stream *w = NULL, *r = NULL;
    struct flow *f = NULL;
    int rc;

    left = fail_at;
    rc = flow_create(&f, 1000000, FLOW_STREAM);
    if (!rc)
        rc = flow_open_reader(f, &r);
    if (!rc)
        rc = flow_open_writer(f, false, &w);
    if (rc)
        assert_int_equal(rc, -ENOMEM);
    else
        pass_bytes(f, r, w);
    if (w)
        shut(w);
    if (r)
        shut(r);
    flow_unref(f);
    return left >= 0;
}

/* Takes all blocks out of the pool, so that the next one must be allocated. */
static void drain_pool(struct blk **held, size_t room, size_t *n)
{
    unsigned before = allocations;

    while (allocations == before) {
        assert_true(*n < room);
        held[(*n)++] = blk_alloc(BLK_BYTES);
    }
}

static void every_allocation_may_fail(void **state)
{
    static struct blk *held[2000];
    size_t nheld = 0;
    int n = 0;

    (void)state;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char)(i * 7 + i / 255);
    do {
        left = -1;
        drain_pool(held, ARRAY_SIZE(held), &nheld);
        assert_int_equal(blk_live(), nheld);
    } while (!session(n++));
    left = -1;
    assert_true(n > 20);
    while (nheld)
        blk_unref(held[--nheld]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        flow_test(every_allocation_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
