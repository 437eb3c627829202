/*
 * fuzz_selector.c - a selector, a newline, then the value of every label of the machine A. What is
 * not matched must say why.
 */
#include "sched/selector.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *label(void *arg, const char *key)
{
    return key[0] == 'n' ? NULL : arg;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = strndup((const char *)data, size), *value = text ? strchr(text, '\n') : NULL;
    char why[SELECTOR_WHY];
    struct selector *sel;
    struct oerr e = { "" };

    if (!text)
        abort();
    if (value)
        *value++ = '\0';
    if (selector_parse(text, &sel, &e) == 0) {
        const struct selector_facts f = { .id = "A", .label = label, .arg = value ? value : text };

        why[0] = '\0';
        if (selector_match(sel, &f, why) == (why[0] != '\0'))
            abort();
    } else if (!e.text[0] || sel) {
        abort();
    }
    selector_free(sel);
    free(text);
    return 0;
}
