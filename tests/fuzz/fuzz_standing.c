/*
 * fuzz_standing.c - standing_decode() over any JSON, one a line; what it accepts must come back the
 * same from its encoding, and formation must survive it, as the word of another machine and as its
 * own.
 */
#include "cluster/formation.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_member(void *arg, const char *id)
{
    (void)arg;
    return id[0] == 'b';
}

static bool ended(void *arg, const char *registry, char into[REGISTRY_ID])
{
    (void)arg;
    strcpy(into, "W");
    return registry[0] == 'e';
}

static bool caught_up(void *arg, uint64_t node)
{
    (void)arg;
    return node % 2;
}

static void encode_again(const struct standing *s)
{
    struct standing again;
    json_t *j = standing_encode(s);

    if (!j || standing_decode(j, &again) < 0 || memcmp(&again, s, sizeof again) != 0)
        abort();
    json_decref(j);
}

static void feed(struct formation *f, struct form_facts *k, struct form_machine *m, char *line,
                 size_t n)
{
    json_t *j = json_loadb(line, n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    size_t at = (size_t)(k->now_ms / 100 % k->n);
    struct form_step step;
    char words[256];

    if (j && standing_decode(j, &m[at].is) == 0) {
        encode_again(&m[at].is);
        k->is_leader = m[1].is.leader;
        formation_step(f, k, &step);
        if (step.what != FORM_NOTHING && !step.why[0])
            abort();
        if (step.what == FORM_WIPE || step.what == FORM_DISSOLVE)
            standing_ended(m[1].is.from, step.registry);
        formation_state(f, words);
    }
    json_decref(j);
    k->now_ms += 1100;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct form_machine m[3] = {
        { .id = "a", .alive = true, .known = true, .is.node = 1 },
        { .id = "b", .alive = true, .known = true, .is.node = 2, .is.registry = "R" },
        { .id = "c", .alive = true, .known = true, .is.node = 3 },
    };
    const struct consensus_server servers[] = {
        { .node = 2, .id = "b", .role = ROLE_VOTER },
        { .node = 3, .id = "c", .role = ROLE_LEARNER },
    };
    struct form_facts k = { .now_ms = 100000,
                            .self = "b",
                            .machines = m,
                            .n = 3,
                            .servers = servers,
                            .n_servers = 2,
                            .is_member = is_member,
                            .ended = ended,
                            .caught_up = caught_up };
    const char *text = (const char *)data, *end = text + size;
    struct formation *f;

    if (formation_create(&f) < 0)
        return 0;
    while (text < end) {
        const char *nl = memchr(text, '\n', (size_t)(end - text));
        size_t n = nl ? (size_t)(nl - text) : (size_t)(end - text);

        feed(f, &k, m, (char *)text, n);
        text += n + (nl != NULL);
    }
    formation_destroy(f);
    return 0;
}
