/*
 * fuzz_words.c - words_split() over any bytes; what it accepts must survive quoting and splitting.
 */
#include "base/buf.h"
#include "base/words.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void split_again(const struct words *w)
{
    struct obuf b = { 0 };
    struct words again;
    size_t used;

    for (int i = 0; i < w->n; i++) {
        obuf_puts(&b, i ? " " : "");
        if (w->op[i])
            obuf_puts(&b, w->v[i]);
        else
            obuf_quote(&b, w->v[i]);
    }
    if (b.len > 0 && b.len <= WORDS_LINE_MAX) {
        if (words_split(&again, b.p, b.len, &used, NULL) < 0 || again.n != w->n || used != b.len)
            abort();
        for (int i = 0; i < w->n; i++)
            if (strcmp(again.v[i], w->v[i]) != 0 || again.op[i] != w->op[i])
                abort();
        words_free(&again);
    }
    obuf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;

    while (size > 0) {
        struct words w;
        struct oerr e;
        size_t used;
        int rc = words_split(&w, text, size, &used, &e);

        if (used == 0 || used > size || (rc < 0 && used != size))
            abort();
        if (rc == 0)
            split_again(&w);
        words_free(&w);
        text += used;
        size -= used;
    }
    return 0;
}
