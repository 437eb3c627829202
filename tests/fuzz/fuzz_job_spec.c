/*
 * fuzz_job_spec.c - a spec as text, or, behind a first byte '!', lines of `set KEY VALUE...` over
 * an empty one. What is taken must encode, and that decode to the same text again.
 */
#include "base/words.h"
#include "sched/job_spec.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *encoded(const struct job_spec *spec)
{
    json_t *json = job_spec_encode(spec);
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;

    if (!text)
        abort();
    json_decref(json);
    return text;
}

static void expect_round_trip(const struct job_spec *spec)
{
    char *text = encoded(spec), *again;
    struct job_spec back;

    if (job_spec_parse(text, strlen(text), &back, NULL) < 0)
        abort();
    again = encoded(&back);
    if (strcmp(text, again) != 0)
        abort();
    job_spec_free(&back);
    free(text);
    free(again);
}

/* What set accepts is canonical at once. */
static void expect_canonical(json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT), *again;
    struct job_spec spec;

    if (!text || job_spec_decode(json, &spec, NULL) < 0)
        abort();
    again = encoded(&spec);
    if (strcmp(text, again) != 0)
        abort();
    job_spec_free(&spec);
    free(text);
    free(again);
}

/* Of a patch that was made with rc. */
static void apply(json_t *json, int rc, json_t *patch, const struct oerr *e)
{
    if (rc < 0 ? patch || !e->text[0] : job_spec_apply(json, patch) < 0)
        abort();
    json_decref(patch);
}

static void set_lines(const char *text, size_t size)
{
    json_t *json = json_object(), *patch;
    struct oerr e = { "" };
    int rc;

    rc = job_spec_patch_line("true", 4, &patch, &e);
    apply(json, rc, patch, &e);
    while (size > 0) {
        struct words w;
        size_t used;

        e.text[0] = '\0';
        if (words_split(&w, text, size, &used, NULL) == 0 && w.n > 0) {
            rc = job_spec_patch(json, w.n, w.v, &patch, &e);
            apply(json, rc, patch, &e);
        }
        words_free(&w);
        expect_canonical(json);
        text += used;
        size -= used;
    }
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct job_spec spec;
    struct oerr e = { "" };

    if (size > 0 && data[0] == '!') {
        set_lines((const char *)data + 1, size - 1);
        return 0;
    }
    if (job_spec_parse((const char *)data, size, &spec, &e) == 0)
        expect_round_trip(&spec);
    else if (!e.text[0])
        abort();
    job_spec_free(&spec);
    return 0;
}
