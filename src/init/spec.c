/*
 * spec.c - encoding and decoding of spawn requests.
 *
 *     magic number pty rows cols nice  cwd user  env  nstages argv...    what version 1 has
 *     flags memory[8] cpu_milli  n  { bits [in] [out] [err] env }...     from version 2, n 0 or
 * nstages
 *
 * Integers have 4 bytes where nothing else is said; a string is length, bytes, NUL; a list its
 * length and its strings. Decoding leaves the strings where they are, behind a cursor whose failure
 * is sticky.
 */
#include "base/buf.h"
#include "init/cursor.h"
#include "init/proto.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SPEC_MAGIC 0x31534f31u

enum { FLAG_LEASED = 1, FLAG_REAP_ALL = 2, FLAGS = 3 };
enum { STAGE_IN = 1, STAGE_OUT = 2, STAGE_ERR = 4, STAGE_APPEND = 8, STAGE_ERR_APPEND = 16 };
#define STAGE_BITS 31

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

static void put_stage(struct obuf *b, const struct istage *s)
{
    static char *const nothing[] = { NULL };

    put_u32(b, (s->in ? STAGE_IN : 0u) | (s->out ? STAGE_OUT : 0u) | (s->err ? STAGE_ERR : 0u) |
                   (s->append ? STAGE_APPEND : 0u) | (s->err_append ? STAGE_ERR_APPEND : 0u));
    if (s->in)
        put_string(b, s->in);
    if (s->out)
        put_string(b, s->out);
    if (s->err)
        put_string(b, s->err);
    put_list(b, s->env ? s->env : nothing);
}

static void put_more(struct obuf *b, const struct ispec *s)
{
    put_u32(b, (s->leased ? FLAG_LEASED : 0u) | (s->reap_all ? FLAG_REAP_ALL : 0u));
    put_u32(b, (uint32_t)s->memory);
    put_u32(b, (uint32_t)(s->memory >> 32));
    put_u32(b, s->cpu_milli);
    put_u32(b, s->stages ? s->nstages : 0);
    for (unsigned i = 0; s->stages && i < s->nstages; i++)
        put_stage(b, &s->stages[i]);
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
    if (s->more)
        put_more(b, s);
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

static void get_stage(struct cursor *c, struct istage *s, char ***room)
{
    uint32_t bits = (uint32_t)get(c, 4);

    c->bad |= (bits & ~(uint32_t)STAGE_BITS) != 0;
    s->in = bits & STAGE_IN ? get_string(c) : NULL;
    s->out = bits & STAGE_OUT ? get_string(c) : NULL;
    s->err = bits & STAGE_ERR ? get_string(c) : NULL;
    s->append = bits & STAGE_APPEND;
    s->err_append = bits & STAGE_ERR_APPEND;
    s->env = get_list(c, room);
}

static void get_more(struct cursor *c, struct ispec *s, struct istage *stages, char ***room)
{
    uint32_t flags = (uint32_t)get(c, 4), n;

    s->more = true;
    s->leased = flags & FLAG_LEASED;
    s->reap_all = flags & FLAG_REAP_ALL;
    s->memory = get(c, 8);
    s->cpu_milli = (uint32_t)get(c, 4);
    n = (uint32_t)get(c, 4);
    c->bad |= (flags & ~(uint32_t)FLAGS) != 0 || (n != 0 && n != s->nstages);
    if (c->bad || n == 0)
        return;
    s->stages = stages;
    for (unsigned i = 0; i < n; i++)
        get_stage(c, &stages[i], room);
}

int ispec_decode(struct ispec *s, const void *data, size_t n, struct oerr *e)
{
    struct cursor c = { data, (const uint8_t *)data + n, false };
    uint64_t magic = get(&c, 4);
    struct istage *stages;
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
    /* Room for the stages, a pointer to each string that can be there, and the ends of lists. */
    s->mem = calloc(1, ISPEC_STAGES * sizeof *stages +
                           ((size_t)(c.end - c.p) / 5 + 2 + 3 * ISPEC_STAGES) * sizeof(char *));
    if (!s->mem)
        return oerr_set(e, -ENOMEM, "no memory for a spawn request of %zu bytes", n);
    stages = s->mem;
    s->argv = (char ***)(stages + ISPEC_STAGES);
    room = (char **)(s->argv + ISPEC_STAGES);
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
    if (!c.bad && c.p != c.end)
        get_more(&c, s, stages, &room);
    if (c.bad || c.p != c.end)
        return oerr_set(e, -EPROTO, "the spawn request of %zu bytes is damaged", n);
    return 0;
}

void ispec_free(struct ispec *s)
{
    free(s->mem);
    *s = (struct ispec){ 0 };
}
