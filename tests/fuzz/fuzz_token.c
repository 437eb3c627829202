/*
 * fuzz_token.c - join tokens: a text that parses is well formed, and none holds that was not made
 * here.
 */
#include "net/identity.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct identity me = { .cluster_key = "the key of no cluster" };
    char *text = malloc(n + 1);
    struct token t;
    uint8_t raw[32];

    if (!text)
        return 0;
    memcpy(text, data, n);
    text[n] = '\0';
    if (token_parse(text, &t, NULL) == 0) {
        if (identity_check_id(t.id, NULL) < 0 || identity_key_decode(t.curve_public, raw) < 0 ||
            !t.address[0])
            abort();
        token_check(&me, &t, 0, NULL);
    }
    free(text);
    return 0;
}
