/*
 * test_init_hostile.c - oneos-init and clients that mean no good, or do not listen.
 */
#include "tests/unit/init_fixture.h"
#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int raw_connect(struct fix *f)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    snprintf(to.sun_path, sizeof to.sun_path, "%.80s/init.sock", f->dir);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static int raw_recv(int fd, struct imsg *m)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    int fds[IM_FDS], rc;

    assert_int_equal(poll(&p, 1, 20000), 1);
    rc = imsg_recv(fd, m, fds);
    for (int i = 0; i < IM_FDS; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    return rc;
}

static int raw_hello(struct fix *f, unsigned min, unsigned max, struct imsg *answer)
{
    struct imsg m = {
        .type = IM_HELLO, .id = 7, .version_min = (uint16_t)min, .version_max = (uint16_t)max
    };
    int fd = raw_connect(f);

    assert_int_equal(imsg_send(fd, &m, NULL, 0), 0);
    assert_int_equal(raw_recv(fd, answer), 0);
    return fd;
}

static void test_versions(void **state)
{
    struct fix *f = *state;
    static const unsigned bad[][2] = { { 3, 9 }, { 0, 0 }, { 9, 2 }, { 65535, 65535 } };
    struct imsg m;
    int fd;

    fix_start_init(f, "--idle-ms", "60000");
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        fd = raw_hello(f, bad[i][0], bad[i][1], &m);
        assert_int_equal(m.type, IM_REFUSED);
        assert_int_equal(m.id, 7);
        assert_non_null(strstr(m.text, "speaks versions 1 to 2 of its protocol"));
        assert_int_equal(raw_recv(fd, &m), -ENODATA);
        close(fd);
    }
    fd = raw_hello(f, 0, 9, &m);
    assert_int_equal(m.type, IM_WELCOME);
    assert_int_equal(m.version, 2);
    close(fd);
    fd = raw_hello(f, 1, 1, &m);
    assert_int_equal(m.type, IM_WELCOME);
    assert_int_equal(m.version, 1);
    close(fd);
    fix_connect(f);
}

static int make_memfd(const void *data, size_t n, unsigned seals)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    assert_int_equal(write(fd, data, n), n);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

static void test_hostile(void **state)
{
    struct fix *f = *state;
    const unsigned seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    char junk[2048];
    struct imsg m;
    unsigned fds;
    pid_t pid;
    int fd, extra[IM_FDS];

    fix_connect(f);
    pid = fix_init_pid(f);
    fix_run(f, 1, ARGV("true"));
    fix_close(&f->h[1].fds);
    initc_taken(f->c, 1);
    fix_run(f, 2, ARGV("true"));
    fds = fix_count_fds(pid);

    /* Garbage of every length, and a connection that says nothing. */
    srand(1);
    for (size_t n = 1; n < sizeof junk; n += 13) {
        for (size_t i = 0; i < n; i++)
            junk[i] = (char)rand();
        fd = raw_connect(f);
        assert_int_equal(send(fd, junk, n, MSG_NOSIGNAL), n);
        assert_int_equal(raw_recv(fd, &m), -ENODATA);
        close(fd);
    }
    for (int i = 0; i < 100; i++)
        close(raw_connect(f));
    /* Requests before HELLO. */
    fd = raw_connect(f);
    assert_int_equal(imsg_send(fd, &(struct imsg){ IM_STOP }, NULL, 0), 0);
    assert_int_equal(raw_recv(fd, &m), -ENODATA);
    close(fd);
    assert_int_equal(f->c->state, CLINK_READY); /* none of that touched the client */
    fix_run(f, 3, ARGV("true"));
    fix_close(&f->h[3].fds);
    initc_taken(f->c, 3);

    /* A client that says HELLO and then sends spawn requests that are none. */
    fd = raw_hello(f, 1, 1, &m);
    while (m.type != IM_READY)
        assert_int_equal(raw_recv(fd, &m), 0);
    for (int i = 0; i < 6; i++) {
        uint32_t huge[8] = { 0x31534f31u, 9, 0, 0, 0, 0, 0xffffffff, 0x7fffffff };

        for (int k = 0; k < IM_FDS; k++)
            extra[k] = -1;
        extra[0] = i == 1   ? make_memfd("x", 1, 0)
                   : i == 2 ? open("/dev/null", O_RDONLY | O_CLOEXEC)
                   : i == 3 ? make_memfd("", 0, seals)
                   : i == 4 ? make_memfd(huge, sizeof huge, seals)
                            : make_memfd(junk, sizeof junk, seals);
        m = (struct imsg){ IM_SPAWN, .id = 1, .number = 9 };
        assert_int_equal(imsg_send(fd, &m, extra, i > 0), 0);
        close(extra[0]);
        assert_int_equal(raw_recv(fd, &m), 0);
        assert_int_equal(m.type, IM_STARTED);
        assert_true(m.rc < 0);
        assert_true(*m.text != '\0');
    }
    /* Messages that are answers, or about nothing, with descriptors that nobody wants. */
    for (uint8_t type = 1; type <= IM_REPLACED; type++) {
        int pair[IM_FDS];

        if (type == IM_STOP || type == IM_SPAWN || type == IM_HELLO)
            continue;
        for (int k = 0; k < IM_FDS; k++)
            pair[k] = open("/dev/null", O_RDONLY | O_CLOEXEC);
        m = (struct imsg){ type, .number = 77, .value = -5, .fds = 255, .npids = IM_PIDS };
        assert_int_equal(imsg_send(fd, &m, pair, IM_FDS), 0);
        for (int k = 0; k < IM_FDS; k++)
            close(pair[k]);
    }
    /* A type from the future is answered; then it dies in the middle of asking. */
    memcpy(junk, (char[]){ 0x31, 0x4f, 0x49, 0x31, 1, 99, 0, 0, 16, 0, 0, 0, 5, 0, 0, 0 }, 16);
    assert_int_equal(send(fd, junk, 16, MSG_NOSIGNAL), 16);
    assert_int_equal(raw_recv(fd, &m), 0);
    assert_int_equal(m.type, IM_REFUSED);
    assert_int_equal(m.id, 5);
    imsg_send(fd, &(struct imsg){ IM_SPAWN, .id = 3, .number = 10 }, NULL, 0);
    close(fd);

    fix_close(&f->h[2].fds);
    FIX_UNTIL(f, f->c->state == CLINK_GONE);
    initc_destroy(f->c, false, 0);
    fix_connect(f);
    assert_int_equal(fix_init_pid(f), pid);
    assert_int_equal(f->n_adopted, 1);
    assert_int_equal(fix_count_fds(pid), fds);
    fix_close(&f->h[2].fds);
}

/* A client that does not read costs no memory and stops nobody. */
static void test_deaf_client(void **state)
{
    struct fix *f = *state;
    struct imsg m;
    pid_t pid;
    long rss;
    int fd;

    fix_connect(f);
    pid = fix_init_pid(f);
    for (uint32_t i = 1; i <= 300; i++) {
        fix_run(f, i, ARGV("true"));
        fix_close(&f->h[i].fds);
    }
    rss = fix_rss_kb(pid);
    initc_destroy(f->c, false, 0);
    fd = raw_hello(f, 1, 1, &m);
    for (int i = 0; i < 20000; i++)
        if (imsg_send(fd, &(struct imsg){ IM_SPAWN, .id = 1, .number = 9 }, NULL, 0) == -EAGAIN)
            break;
    fix_connect(f);
    assert_int_equal(f->n_adopted, 300);
    assert_in_range(fix_rss_kb(pid), 0, rss + 2 * FIX_RSS_SLACK_KB);
    close(fd);
    for (uint32_t i = 1; i <= 300; i++)
        fix_close(&f->h[i].fds);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        T(test_versions),
        T(test_hostile),
        T(test_deaf_client),
    };

    cmocka_set_test_filter(argc > 1 ? argv[1] : NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
