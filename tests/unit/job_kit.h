/*
 * job_kit.h - a registry with jobs: commands from their fields, and what became of a job.
 */
#ifndef ONEOS_TESTS_UNIT_JOB_KIT_H
#define ONEOS_TESTS_UNIT_JOB_KIT_H

#include "sched/job_cmd.h"

#define KIT_SCHEMA REGISTRY_SCHEMA
#ifndef KIT_MORE
#define KIT_MORE job_commands,
#endif
#include "registry_kit.h"

#define S 1000000ull

/* One command; takes fields. Returns its result. */
static inline int job_do(struct kit *k, const char *cmd, json_t *fields)
{
    char *text;

    assert_non_null(fields);
    json_object_set_new(fields, "v", json_integer(REGISTRY_SCHEMA));
    json_object_set_new(fields, "cmd", json_string(cmd));
    text = json_dumps(fields, JSON_COMPACT);
    json_decref(fields);
    kit_queue(k, text);
    free(text);
    k->rc = 1;
    assert_int_equal(registry_flush(k->r, kit_applied, k), 0);
    return k->rc;
}

/* -ENOENT. The job is the caller's. */
static inline int job_read(struct kit *k, const char *name, struct job *out)
{
    char key[REGISTRY_KEY_MAX];
    struct registry_view *v;
    json_t *value = NULL;
    int rc;

    snprintf(key, sizeof key, JOB_KEY "%s", name);
    assert_int_equal(registry_read(k->r, &v), 0);
    rc = view_get(v, key, &value);
    registry_view_end(v);
    if (rc == 0)
        rc = job_decode(name, value, out);
    json_decref(value);
    return rc;
}

/* The same, kept here until the next call. */
static inline struct job *job_of(struct kit *k, const char *name)
{
    static struct job j;

    job_clear(&j);
    if (job_read(k, name, &j) < 0)
        fail_msg("there is no job %s", name);
    return &j;
}

static inline const char *state_of(struct kit *k, const char *name)
{
    return job_state_name(job_of(k, name)->state);
}

static inline uint64_t job_uid(struct kit *k, const char *name)
{
    return job_of(k, name)->uid;
}

static inline json_t *spec_of(const char *text)
{
    char full[1000];
    json_error_t error;
    json_t *spec;

    snprintf(full, sizeof full, "{'schema':1,%s}", text);
    for (char *p = full; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    spec = json_loads(full, 0, &error);
    if (!spec)
        fail_msg("%s: %s", full, error.text);
    return spec;
}

static inline int job_submit(struct kit *k, const char *name, const char *spec)
{
    return job_do(k, "job.make",
                  job_make_fields(name, "alice", "A", spec_of(spec), true, false, 100 * S));
}

/* Machines A, B, C, with sessions 11, 12, 13, and scheduler in epoch 1. */
static inline void job_kit_open(struct kit *k)
{
    static const char *const machines[] = { "A", "B", "C" };

    kit_open(k);
    assert_int_equal(kit_run(k, "'registry.init','id':'r1','at_us':5"), 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(kit_run(k, "'member.put','id':'%s','node':'%x','key':'k','at_us':1",
                                 machines[i], i + 1),
                         0);
        assert_int_equal(job_do(k, "runner.claim", runner_claim_fields(machines[i], 11 + i, S)), 0);
    }
    assert_int_equal(kit_run(k, "'service.assign','name':'scheduler','machine':'A','epoch':0,"
                                "'at_us':1"),
                     0);
}

static inline void job_kit_close(struct kit *k)
{
    struct job none = { 0 };

    job_clear(&none);
    kit_close(k);
}

/* Stages on these machines, a group each: "ABA". */
static inline int job_put(struct kit *k, const char *name, uint32_t attempt, const char *on)
{
    char ids[8][2];
    const char *list[8];
    size_t n = strlen(on);
    struct job_place p = { .name = name,
                           .uid = job_uid(k, name),
                           .attempt = attempt,
                           .on = list,
                           .n_on = n,
                           .groups = list,
                           .n_groups = n,
                           .status_group = (unsigned)n - 1 };

    for (size_t i = 0; i < n; i++) {
        snprintf(ids[i], 2, "%c", on[i]);
        list[i] = ids[i];
    }
    return job_do(k, "job.place", job_place_fields(1, &p, 1, 200 * S));
}

static inline int job_over(struct kit *k, const char *name, unsigned group, struct job_end end,
                           uint64_t now)
{
    const struct job *j = job_of(k, name);
    struct job_ended x = {
        .name = name, .uid = j->uid, .attempt = j->attempt, .group = group, .end = end
    };
    char machine[ID_MAX];

    assert_true(group < j->n_groups);
    strcpy(machine, j->groups[group].machine);
    return job_do(k, "job.end",
                  job_end_fields(machine, (uint64_t)(11 + machine[0] - 'A'), &x, 1, now));
}

#define EXITED(n) ((struct job_end){ .cause = JOB_EXITED, .exit = (n) })

#endif
