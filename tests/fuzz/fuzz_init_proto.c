/*
 * fuzz_init_proto.c - the decoders of oneos-init over any bytes. What they accept must come back
 * the same from its own encoding.
 */
#include "base/buf.h"
#include "init/proto.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_message(const uint8_t *data, size_t size)
{
    uint8_t bytes[IM_BYTES];
    struct imsg m, again;

    if (imsg_decode(&m, data, size) < 0)
        return;
    if (imsg_decode(&again, bytes, imsg_encode(&m, bytes)) < 0 || m.type != again.type ||
        m.number != again.number || m.pid != again.pid || m.memory_peak != again.memory_peak ||
        m.lease != again.lease || m.until_ms != again.until_ms || strcmp(m.text, again.text) != 0)
        abort();
}

static int same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static void try_spec(const uint8_t *data, size_t size)
{
    struct ispec s, again = { 0 };
    struct obuf b = { 0 };
    struct oerr e = { "" };

    if (ispec_decode(&s, data, size, &e) < 0) {
        if (e.text[0] == '\0')
            abort();
        ispec_free(&s);
        return;
    }
    ispec_encode(&b, &s);
    if (b.len != size || ispec_decode(&again, b.p, b.len, &e) < 0 || again.nstages != s.nstages ||
        strcmp(again.argv[0][0], s.argv[0][0]) != 0 || again.memory != s.memory ||
        again.leased != s.leased || !again.stages != !s.stages)
        abort();
    for (unsigned i = 0; s.stages && i < s.nstages; i++)
        if (!same(s.stages[i].in, again.stages[i].in) ||
            !same(s.stages[i].out, again.stages[i].out) ||
            !same(s.stages[i].err, again.stages[i].err) ||
            !same(s.stages[i].env[0], again.stages[i].env[0]))
            abort();
    obuf_free(&b);
    ispec_free(&again);
    ispec_free(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_message(data, size);
    try_spec(data, size);
    return 0;
}
