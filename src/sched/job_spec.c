/*
 * job_spec.c - specs of jobs between JSON, words and the struct, by the table of keys.
 *
 * Invariants: what decodes also encodes, and that decodes to the same; a canonical spec to which a
 * patch was applied is canonical, with its keys in the order of the table.
 */
#include "sched/job_spec.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "sched/job_spec_private.h"

#include <errno.h>
#include <string.h>

/* ---- values of JSON as words */

/* Puts the key in front of the words of a failure. */
static int about(const char *key, int rc, struct oerr *e)
{
    struct oerr was;

    if (rc == 0 || rc == -ENOMEM || !e)
        return rc;
    was = *e;
    return oerr_set(e, rc, "%s: %s", key, was.text);
}

static int add_scalar(struct job_list *words, const char *prefix, const json_t *value,
                      struct oerr *e)
{
    struct obuf b = { 0 };
    int rc;

    if (!json_is_string(value) && !json_is_number(value))
        return oerr_set(e, -EINVAL, "its value must be a text or a number");
    obuf_puts(&b, prefix);
    if (json_is_string(value))
        obuf_put(&b, json_string_value(value), json_string_length(value));
    else if (json_is_integer(value))
        obuf_printf(&b, "%lld", json_integer_value(value));
    else
        obuf_printf(&b, "%.15g", json_real_value(value));
    rc = obuf_check(&b);
    if (rc == 0 && memchr(b.p, '\0', b.len))
        rc = oerr_set(e, -EINVAL, "there is a NUL byte in its value");
    if (rc == 0)
        rc = job_list_add(words, b.p);
    obuf_free(&b);
    return rc;
}

/* An object as words K=V. */
static int add_pairs(struct job_list *words, const json_t *object, struct oerr *e)
{
    const char *key;
    json_t *value;
    int rc = 0;

    json_object_foreach ((json_t *)object, key, value) {
        cleanup_free char *prefix = NULL;

        if (!*key || key[run_line_name(key)])
            return oerr_set(e, -EINVAL, "'%.60s' is not a name for a variable", key);
        if (asprintf(&prefix, "%s=", key) < 0)
            return -ENOMEM;
        rc = add_scalar(words, prefix, value, e);
        if (rc < 0)
            break;
    }
    return rc;
}

static int words_of(struct job_list *words, const struct spec_key *k, const json_t *value,
                    struct oerr *e)
{
    const json_t *member;
    size_t i;
    int rc = 0;

    if (json_is_object(value) && k->pairs)
        return add_pairs(words, value, e);
    if (!json_is_array(value) || k->max == 1)
        return add_scalar(words, "", value, e);
    json_array_foreach (value, i, member) {
        rc = add_scalar(words, "", member, e);
        if (rc < 0)
            break;
    }
    return rc;
}

static int set_key(struct job_spec *spec, const struct spec_key *k, const json_t *value,
                   struct oerr *e)
{
    struct job_list words = { 0 };
    int rc = words_of(&words, k, value, e);

    if (rc == 0 && words.n > 0)
        rc = k->set(spec, (int)words.n, words.v, e);
    job_list_free(&words);
    return about(k->shown.name, rc, e);
}

static const struct spec_key *key_named(const char *name)
{
    for (const struct spec_key *k = spec_keys; k->shown.name; k++)
        if (strcmp(k->shown.name, name) == 0)
            return k;
    return NULL;
}

const struct job_spec_key *job_spec_key(size_t i)
{
    for (const struct spec_key *k = spec_keys; k->shown.name; k++)
        if (i-- == 0)
            return &k->shown;
    return NULL;
}

/* ---- reading and writing */

static void set_defaults(struct job_spec *spec)
{
    *spec = (struct job_spec){ 0 };
    for (const struct spec_key *k = spec_keys; k->shown.name; k++)
        k->reset(spec);
}

static int decode_head(const json_t *json, struct job_spec *spec, struct oerr *e)
{
    const json_t *schema = json_object_get(json, "schema"), *run = json_object_get(json, "run");

    if (!json_is_object(json))
        return oerr_set(e, -EINVAL, "a spec is a JSON object, as {\"schema\": 1, \"run\": \"ls\"}");
    if (!schema)
        return oerr_set(e, -EINVAL, "schema: it is missing; write \"schema\": %d", JOB_SPEC_SCHEMA);
    if (!json_is_integer(schema) || json_integer_value(schema) != JOB_SPEC_SCHEMA)
        return oerr_set(e, -EINVAL, "schema: it must be %d; another is not known here",
                        JOB_SPEC_SCHEMA);
    if (!json_is_string(run))
        return oerr_set(e, -EINVAL, "run: %s",
                        run ? "it must be a text, the run line"
                            : "it is missing; write the run line, as \"run\": \"ls -l\"");
    return about(
        "run", run_line_parse(&spec->line, json_string_value(run), json_string_length(run), e), e);
}

static int decode_key(struct job_spec *spec, const char *key, const json_t *value, struct oerr *e)
{
    const struct spec_key *k = key_named(key);

    if (k)
        return set_key(spec, k, value, e);
    if (strcmp(key, "schema") == 0 || strcmp(key, "run") == 0)
        return 0;
    return oerr_set(e, -EINVAL, "%.60s: a spec has no such key; take it away", key);
}

int job_spec_decode(const json_t *json, struct job_spec *spec, struct oerr *e)
{
    const char *key;
    json_t *value;
    int rc;

    set_defaults(spec);
    rc = decode_head(json, spec, e);
    if (rc == 0) {
        json_object_foreach ((json_t *)json, key, value) {
            rc = decode_key(spec, key, value, e);
            if (rc < 0)
                break;
        }
    }
    if (rc < 0)
        job_spec_free(spec);
    return rc;
}

int job_spec_parse(const char *text, size_t len, struct job_spec *spec, struct oerr *e)
{
    json_error_t err;
    json_t *json = json_loadb(text, len, JSON_REJECT_DUPLICATES, &err);
    int rc;

    *spec = (struct job_spec){ 0 };
    if (!json)
        return oerr_set(e, -EINVAL, "the spec is not JSON, at line %d: %s", err.line, err.text);
    rc = job_spec_decode(json, spec, e);
    json_decref(json);
    return rc;
}

bool job_spec_is_begun(const char *text, size_t len)
{
    json_error_t err;
    json_t *json = json_loadb(text, len, 0, &err);
    bool more = !json && json_error_code(&err) == json_error_premature_end_of_input;

    json_decref(json);
    return more;
}

static json_t *encode_line(const struct run_line *line)
{
    struct obuf b = { 0 };
    json_t *text;

    run_line_print(line, &b);
    text = obuf_check(&b) == 0 ? json_stringn(b.p, b.len) : NULL;
    obuf_free(&b);
    return text;
}

json_t *job_spec_encode(const struct job_spec *spec)
{
    json_t *json = json_pack("{s:i}", "schema", JOB_SPEC_SCHEMA);
    int rc = json ? 0 : -1;

    if (rc == 0 && spec->line.n)
        rc = json_object_set_new(json, "run", encode_line(&spec->line));
    for (const struct spec_key *k = spec_keys; rc == 0 && k->shown.name; k++) {
        json_t *value = k->get(spec);

        if (!value || !json_is_null(value))
            rc = json_object_set_new(json, k->shown.name, value);
    }
    if (rc < 0) {
        json_decref(json);
        json = NULL;
    }
    return json;
}

void job_spec_free(struct job_spec *spec)
{
    run_line_free(&spec->line);
    job_list_free(&spec->after);
    job_list_free(&spec->env);
    free(spec->near);
    free(spec->cwd);
    *spec = (struct job_spec){ 0 };
}

/* ---- changing one key */

/* An object of one member (the reference is taken). */
static int one_member(const char *key, json_t *value, json_t **out)
{
    *out = json_pack("{s:o}", key, value);
    return *out ? 0 : -ENOMEM;
}

static int unknown_key(const char *name, struct oerr *e)
{
    struct obuf all = { 0 };

    if (strcmp(name, "run") == 0)
        return oerr_set(e, -EINVAL, "the line is set by the verb run: write run LINE");
    for (const struct spec_key *k = spec_keys; k->shown.name; k++)
        obuf_printf(&all, " %s", k->shown.name);
    obuf_puts(&all, " spread pack");
    oerr_set(e, -EINVAL, "there is no key '%.60s'; set knows:%s", name, all.p ? all.p : "");
    obuf_free(&all);
    return -EINVAL;
}

static int check_words(const struct spec_key *k, int argc, char *const *argv, struct oerr *e)
{
    if (k->max >= 0 && argc > k->max)
        return oerr_set(e, -EINVAL, "it takes one value, so that '%.60s' is too much",
                        argv[k->max]);
    for (int i = 0; i < argc; i++) {
        json_t *utf8 = json_string(argv[i]);

        if (!utf8)
            return oerr_set(e, -EINVAL, "'%.60s' is not UTF-8", argv[i]);
        json_decref(utf8);
    }
    return 0;
}

/* The words of one key, over what the spec has of it. */
static int change(struct job_spec *spec, const struct spec_key *k, const json_t *was, int argc,
                  char *const *argv, struct oerr *e)
{
    int rc = was ? set_key(spec, k, was, e) : 0;

    if (rc < 0)
        return rc;
    rc = check_words(k, argc, argv, e);
    if (rc == 0 && argc > 0)
        rc = k->set(spec, argc, argv, e);
    else if (rc == 0)
        k->reset(spec);
    return about(k->shown.name, rc, e);
}

int job_spec_patch(const json_t *json, int argc, char *const *argv, json_t **patch, struct oerr *e)
{
    const struct spec_key *k;
    struct job_spec spec;
    bool alias;
    int rc;

    *patch = NULL;
    if (argc == 0)
        return oerr_set(e, -EINVAL, "a key is missing: set KEY VALUE");
    alias = strcmp(argv[0], "spread") == 0 || strcmp(argv[0], "pack") == 0;
    k = key_named(alias ? "place" : argv[0]);
    if (!k)
        return unknown_key(argv[0], e);
    if (alias && argc > 1)
        return oerr_set(e, -EINVAL, "%s: it takes no value, so that '%.60s' is too much", argv[0],
                        argv[1]);
    set_defaults(&spec);
    rc = change(&spec, k, json_object_get(json, k->shown.name), argc - !alias, argv + !alias, e);
    if (rc == 0)
        rc = one_member(k->shown.name, k->get(&spec), patch);
    job_spec_free(&spec);
    return rc;
}

int job_spec_patch_line(const char *text, size_t len, json_t **patch, struct oerr *e)
{
    struct run_line line;
    int rc = run_line_parse(&line, text, len, e);

    *patch = NULL;
    if (rc == 0)
        rc = one_member("run", encode_line(&line), patch);
    run_line_free(&line);
    return rc;
}

/* Moves a member to the end of next. */
static int move_member(json_t *next, json_t *from, const char *key)
{
    json_t *value = json_object_get(from, key);
    int rc = 0;

    if (value && !json_is_null(value))
        rc = json_object_set(next, key, value);
    json_object_del(from, key);
    return rc;
}

/* Keys that the table does not know stay, behind the others. */
int job_spec_apply(json_t *spec, const json_t *patch)
{
    json_t *all = json_copy(spec), *next = json_pack("{s:i}", "schema", JOB_SPEC_SCHEMA);
    int rc = all && next ? json_object_update(all, (json_t *)patch) : -1;

    if (rc == 0) {
        json_object_del(all, "schema");
        rc = move_member(next, all, "run");
    }
    for (const struct spec_key *k = spec_keys; rc == 0 && k->shown.name; k++)
        rc = move_member(next, all, k->shown.name);
    if (rc == 0)
        rc = json_object_update(next, all);
    if (rc == 0)
        rc = json_object_clear(spec);
    if (rc == 0)
        rc = json_object_update(spec, next);
    json_decref(all);
    json_decref(next);
    return rc < 0 ? -ENOMEM : 0;
}
