/*
 * proto.c - encoding and decoding of the messages between oneos-init and its client.
 *
 * One table says which fields each type carries; encoder and decoder walk it. Decoding goes
 * through a cursor whose failure is sticky: no read passes the end, and one check at the end of
 * a message is enough.
 */
#include "init/proto.h"
#include "base/buf.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAGIC        0x31494f31u /* "1OI1" */
#define SPEC_MAGIC   0x31534f31u
#define HEADER_BYTES 16

/* A field of struct imsg: an integer of `size` bytes, `count` of them, or text (size 0). */
struct field {
    uint16_t off;
    uint8_t size, count;
};

#define F(name)                                                                                    \
    {                                                                                              \
        offsetof(struct imsg, name), sizeof(((struct imsg *)0)->name), 1                           \
    }
#define F_PIDS                                                                                     \
    {                                                                                              \
        offsetof(struct imsg, pids), sizeof(int32_t), IM_PIDS                                      \
    }
#define F_TEXT                                                                                     \
    {                                                                                              \
        offsetof(struct imsg, text), 0, 1                                                          \
    }
#define FIELDS_MAX 16

static const struct field fields[][FIELDS_MAX] = {
    [IM_HELLO] = { F(version_min), F(version_max) },
    [IM_WELCOME] = { F(version), F(pid), F(started_us), F_TEXT },
    [IM_REFUSED] = { F(version_min), F(version_max), F(pid), F_TEXT },
    [IM_PROC] = { F(number), F(pid), F(started_us), F(running), F(fds), F(exit), F(signal), F(oom),
                  F(ended_us), F(cpu_us), F(memory_peak), F(npids), F_PIDS, F_TEXT },
    [IM_READY] = { { 0 } },
    [IM_SPAWN] = { F(number) },
    [IM_STARTED] = { F(number), F(rc), F(pid), F(started_us), F(fds), F(npids), F_PIDS, F_TEXT },
    [IM_ENDED] = { F(number), F(exit), F(signal), F(oom), F(ended_us), F(cpu_us), F(memory_peak) },
    [IM_SIGNAL] = { F(number), F(value) },
    [IM_NICE] = { F(number), F(value) },
    [IM_CLOSED] = { F(number), F(fds) },
    [IM_TAKEN] = { F(number) },
    [IM_STOP] = { F(grace_ms) },
    [IM_STOPPED] = { { 0 } },
    [IM_REPLACED] = { { 0 } },
};

static void put(uint8_t **p, uint64_t v, unsigned n)
{
    for (; n > 0; n--, v >>= 8)
        *(*p)++ = (uint8_t)v;
}

/* Reads from data that came from outside; `bad` stays set after the first short read. */
struct cursor {
    const uint8_t *p, *end;
    bool bad;
};

static uint64_t get(struct cursor *c, unsigned n)
{
    uint64_t v = 0;

    if (c->bad || (size_t)(c->end - c->p) < n) {
        c->bad = true;
        return 0;
    }
    for (unsigned i = 0; i < n; i++)
        v |= (uint64_t)*c->p++ << (8 * i);
    return v;
}

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
    uint64_t magic, length, zero;

    memset(m, 0, sizeof *m);
    magic = get(&c, 4);
    get(&c, 1);
    m->type = (uint8_t)get(&c, 1);
    zero = get(&c, 2);
    length = get(&c, 4);
    m->id = (uint32_t)get(&c, 4);
    if (c.bad || magic != MAGIC || zero != 0 || length != n || n > IM_BYTES)
        return -EPROTO;
    if (m->type == 0 || m->type >= ARRAY_SIZE(fields))
        return -EOPNOTSUPP;
    for (const struct field *f = fields[m->type]; f->count; f++) {
        char *at = (char *)m + f->off;

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

static void put_u32(struct obuf *b, uint32_t v)
{
    uint8_t bytes[4], *p = bytes;

    put(&p, v, 4);
    obuf_put(b, bytes, 4);
}

/* length[4] bytes NUL: the decoder can leave it where it is. */
static void put_string(struct obuf *b, const char *s)
{
    size_t n = strlen(s);

    put_u32(b, n > UINT32_MAX ? UINT32_MAX : (uint32_t)n);
    obuf_put(b, s, n + 1);
}

static void put_list(struct obuf *b, char *const *list)
{
    uint32_t n = 0;

    while (list[n])
        n++;
    put_u32(b, n);
    for (uint32_t i = 0; i < n; i++)
        put_string(b, list[i]);
}

void ispec_encode(struct obuf *b, const struct ispec *s)
{
    put_u32(b, SPEC_MAGIC);
    put_u32(b, s->number);
    put_u32(b, s->pty);
    put_u32(b, s->rows);
    put_u32(b, s->cols);
    put_u32(b, (uint32_t)s->nice);
    put_string(b, s->cwd);
    put_string(b, s->user);
    put_list(b, s->env);
    put_u32(b, s->nstages);
    for (unsigned i = 0; i < s->nstages; i++)
        put_list(b, s->argv[i]);
}

static const char *get_string(struct cursor *c)
{
    size_t n = get(c, 4);
    const char *s = (const char *)c->p;

    if (c->bad || n >= (size_t)(c->end - c->p) || memchr(s, '\0', n + 1) != s + n) {
        c->bad = true;
        return NULL;
    }
    c->p += n + 1;
    return s;
}

/* A string takes at least 5 bytes, so that a count is bounded by what is left. */
static uint32_t get_count(struct cursor *c)
{
    uint32_t n = (uint32_t)get(c, 4);

    if (c->bad || n > (size_t)(c->end - c->p) / 5)
        c->bad = true;
    return c->bad ? 0 : n;
}

static char **get_list(struct cursor *c, char ***room)
{
    uint32_t n = get_count(c);
    char **list = *room;

    for (uint32_t i = 0; i < n; i++)
        list[i] = (char *)(uintptr_t)get_string(c);
    list[n] = NULL;
    *room += n + 1;
    return list;
}

int ispec_decode(struct ispec *s, const void *data, size_t n, struct oerr *e)
{
    struct cursor c = { data, (const uint8_t *)data + n, false };
    uint64_t magic = get(&c, 4);
    char **room;

    memset(s, 0, sizeof *s);
    s->number = (uint32_t)get(&c, 4);
    s->pty = get(&c, 4) != 0;
    s->rows = (uint16_t)get(&c, 4);
    s->cols = (uint16_t)get(&c, 4);
    s->nice = (int32_t)get(&c, 4);
    s->cwd = get_string(&c);
    s->user = get_string(&c);
    if (c.bad || magic != SPEC_MAGIC || n > ISPEC_BYTES)
        return oerr_set(e, -EPROTO, "the spawn request of %zu bytes is not one", n);
    /* Room for a pointer to each string that can be there, the ends of lists and the stages. */
    s->mem = calloc((size_t)(c.end - c.p) / 5 + 2 + 2 * ISPEC_STAGES, sizeof(char *));
    if (!s->mem)
        return oerr_set(e, -ENOMEM, "no memory for a spawn request of %zu bytes", n);
    s->argv = s->mem;
    room = (char **)s->mem + ISPEC_STAGES;
    s->env = get_list(&c, &room);
    s->nstages = get_count(&c);
    if (s->nstages == 0 || s->nstages > ISPEC_STAGES)
        return oerr_set(e, -EINVAL, "a spawn request has 1 to %d stages, not %u", ISPEC_STAGES,
                        s->nstages);
    for (unsigned i = 0; i < s->nstages; i++) {
        s->argv[i] = get_list(&c, &room);
        if (!c.bad && !s->argv[i][0])
            return oerr_set(e, -EINVAL, "stage %u has no command", i + 1);
    }
    if (c.bad || c.p != c.end)
        return oerr_set(e, -EPROTO, "the spawn request of %zu bytes is damaged", n);
    return 0;
}

void ispec_free(struct ispec *s)
{
    free(s->mem);
    *s = (struct ispec){ 0 };
}
