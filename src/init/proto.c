/*
 * proto.c - encoding and decoding of the messages between oneos-init and its client.
 *
 * One table says which fields each type carries; encoder and decoder walk it (spec.c does the spawn
 * requests). Decoding goes
 * through a cursor whose failure is sticky: no read passes the end, and one check at the end of
 * a message is enough.
 */
#include "init/proto.h"
#include "base/cleanup.h"
#include "init/cursor.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAGIC        0x31494f31u /* "1OI1" */
#define HEADER_BYTES 16

/* A field of struct imsg: an integer of `size` bytes, `count` of them, or text (size 0); carried
 * since version `since`. */
struct field {
    uint16_t off;
    uint8_t size, count, since;
};

#define F(name)                                                                                    \
    {                                                                                              \
        offsetof(struct imsg, name), sizeof(((struct imsg *)0)->name), 1, 1                        \
    }
#define F2(name)                                                                                   \
    {                                                                                              \
        offsetof(struct imsg, name), sizeof(((struct imsg *)0)->name), 1, 2                        \
    }
#define F_PIDS                                                                                     \
    {                                                                                              \
        offsetof(struct imsg, pids), sizeof(int32_t), IM_PIDS, 1                                   \
    }
#define F_TEXT                                                                                     \
    {                                                                                              \
        offsetof(struct imsg, text), 0, 1, 1                                                       \
    }
#define FIELDS_MAX 18

static const struct field fields[][FIELDS_MAX] = {
    [IM_HELLO] = { F(version_min), F(version_max) },
    [IM_WELCOME] = { F(version), F(pid), F(started_us), F_TEXT },
    [IM_REFUSED] = { F(version_min), F(version_max), F(pid), F_TEXT },
    [IM_PROC] = { F(number), F(pid), F(started_us), F(running), F(fds), F(exit), F(signal), F(oom),
                  F(ended_us), F(cpu_us), F(memory_peak), F(npids), F_PIDS, F_TEXT, F2(lease) },
    [IM_READY] = { { 0 } },
    [IM_SPAWN] = { F(number) },
    [IM_STARTED] = { F(number), F(rc), F(pid), F(started_us), F(fds), F(npids), F_PIDS, F_TEXT },
    [IM_ENDED] = { F(number), F(exit), F(signal), F(oom), F(ended_us), F(cpu_us), F(memory_peak),
                   F2(lease) },
    [IM_SIGNAL] = { F(number), F(value) },
    [IM_NICE] = { F(number), F(value) },
    [IM_CLOSED] = { F(number), F(fds) },
    [IM_TAKEN] = { F(number) },
    [IM_STOP] = { F(grace_ms) },
    [IM_STOPPED] = { { 0 } },
    [IM_REPLACED] = { { 0 } },
    [IM_LEASE] = { F2(until_ms) },
    [IM_KILL] = { F2(number) },
};

static uint64_t load(const void *at, unsigned size)
{
    uint64_t v = 0;

    memcpy(&v, at, size);
    return v;
}

/* The machine is little-endian wherever these low bytes are the first ones. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "load() takes the first bytes");

size_t imsg_encode(const struct imsg *m, void *buf)
{
    uint8_t *begin = buf, *p = begin, *length;
    const char *base = (const char *)m;

    put(&p, MAGIC, 4);
    put(&p, IM_VERSION_MAX, 1);
    put(&p, m->type, 1);
    put(&p, 0, 2);
    length = p;
    put(&p, 0, 4);
    put(&p, m->id, 4);
    for (const struct field *f = fields[m->type]; f->count; f++) {
        if (f->size == 0) {
            size_t n = strnlen(m->text, sizeof m->text - 1);

            put(&p, n, 2);
            memcpy(p, m->text, n);
            p += n;
        }
        for (unsigned i = 0; f->size && i < f->count; i++)
            put(&p, load(base + f->off + (size_t)i * f->size, f->size), f->size);
    }
    put(&length, (uint64_t)(p - begin), 4);
    return (size_t)(p - begin);
}

static void get_text(struct cursor *c, char *text, size_t size)
{
    size_t n = get(c, 2);

    if (c->bad || n >= size || (size_t)(c->end - c->p) < n) {
        c->bad = true;
        return;
    }
    memcpy(text, c->p, n);
    text[n] = '\0';
    c->p += n;
}

int imsg_decode(struct imsg *m, const void *data, size_t n)
{
    struct cursor c = { data, (const uint8_t *)data + n, false };
    uint64_t magic, version, length, zero;

    memset(m, 0, sizeof *m);
    magic = get(&c, 4);
    version = get(&c, 1);
    m->type = (uint8_t)get(&c, 1);
    zero = get(&c, 2);
    length = get(&c, 4);
    m->id = (uint32_t)get(&c, 4);
    if (c.bad || magic != MAGIC || version == 0 || zero != 0 || length != n || n > IM_BYTES)
        return -EPROTO;
    if (m->type == 0 || m->type >= ARRAY_SIZE(fields))
        return -EOPNOTSUPP;
    for (const struct field *f = fields[m->type]; f->count; f++) {
        char *at = (char *)m + f->off;

        if (version < f->since)
            continue;
        if (f->size == 0)
            get_text(&c, at, sizeof m->text);
        for (unsigned i = 0; f->size && i < f->count; i++, at += f->size) {
            uint64_t v = get(&c, f->size);

            memcpy(at, &v, f->size);
        }
    }
    if (c.bad || m->npids > IM_PIDS)
        return -EPROTO;
    return 0;
}

int imsg_send(int sock, const struct imsg *m, const int *fds, unsigned n)
{
    char bytes[IM_BYTES];
    union {
        char space[CMSG_SPACE(sizeof(int) * IM_FDS)];
        struct cmsghdr align;
    } control = { { 0 } };
    struct iovec iov = { bytes, imsg_encode(m, bytes) };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    ssize_t rc;

    if (n > 0) {
        struct cmsghdr *c = &control.align;

        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * n);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * n);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
    }
    do
        rc = sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : 0;
}

static void close_all(int fds[IM_FDS])
{
    for (int i = 0; i < IM_FDS; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
        fds[i] = -1;
    }
}

/* The descriptors of a message; what goes beyond IM_FDS was not let in by the kernel. */
static void take_fds(struct msghdr *msg, int fds[IM_FDS])
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && n <= IM_FDS)
            memcpy(fds, CMSG_DATA(c), n * sizeof(int));
    }
}

int imsg_recv(int sock, struct imsg *m, int fds[IM_FDS])
{
    char bytes[IM_BYTES];
    union {
        char space[CMSG_SPACE(sizeof(int) * IM_FDS)];
        struct cmsghdr align;
    } control;
    struct iovec iov = { bytes, sizeof bytes };
    struct msghdr msg = { .msg_iov = &iov,
                          .msg_iovlen = 1,
                          .msg_control = &control,
                          .msg_controllen = CMSG_LEN(sizeof(int) * IM_FDS) };
    ssize_t n;
    int rc;

    for (int i = 0; i < IM_FDS; i++)
        fds[i] = -1;
    do
        n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    take_fds(&msg, fds);
    if (n == 0) { /* the end, or an empty packet: whoever sends one is done with us */
        close_all(fds);
        return -ENODATA;
    }
    rc = msg.msg_flags & MSG_TRUNC ? -EPROTO : imsg_decode(m, bytes, (size_t)n);
    if (rc == 0 && msg.msg_flags & MSG_CTRUNC)
        rc = -EMFILE;
    if (rc < 0)
        close_all(fds);
    return rc;
}
