/*
 * proc_rec.c - one process record as JSON: on the bus, in the state folder, and in procs/all.jsonl.
 */
#include "run/proctab.h"

#include <errno.h>
#include <string.h>

static const char *const state_names[] = { "new", "running", "stopped", "ended" };
static const char *const cause_names[] = { "", "exited", "killed", "oom", "timeout", "lost" };

const char *proc_state_name(enum proc_state s)
{
    return state_names[s];
}

const char *proc_cause_name(enum proc_cause c)
{
    return cause_names[c];
}

static int name_index(const char *const *names, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return -EPROTO;
}

json_t *proc_rec_encode(const struct proc_rec *r)
{
    json_t *o = json_pack(
        "{s:i, s:s, s:s, s:I, s:s, s:s, s:s, s:i, s:i, s:I, s:I, s:I, s:I, s:s, s:s*}", "schema", 1,
        "proc", r->name, "machine", r->machine, "number", (json_int_t)r->number, "user", r->user,
        "state", proc_state_name(r->state), "cause", proc_cause_name(r->cause), "exit", r->exit,
        "signal", r->signal, "created_us", (json_int_t)r->created_us, "started_us",
        (json_int_t)r->started_us, "ended_us", (json_int_t)r->ended_us, "changed_us",
        (json_int_t)r->changed_us, "cmdline", r->cmdline, "job", *r->job ? r->job : NULL);

    if (o && r->stuck)
        json_object_set_new(o, "output_errno", json_integer(r->stuck));
    return o;
}

static int copy(char *to, size_t room, const char *from)
{
    if (strlen(from) >= room)
        return -EPROTO;
    strcpy(to, from);
    return 0;
}

int proc_rec_decode(const json_t *j, struct proc_rec *r)
{
    const char *machine, *user, *state, *cause, *cmdline, *job = "";
    json_int_t number, exit, signal, created, started, ended, changed, stuck = 0;
    int st, ca;

    memset(r, 0, sizeof *r);
    if (json_unpack((json_t *)j,
                    "{s:s, s:I, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s?s, s?I}",
                    "machine", &machine, "number", &number, "user", &user, "state", &state, "cause",
                    &cause, "exit", &exit, "signal", &signal, "created_us", &created, "started_us",
                    &started, "ended_us", &ended, "changed_us", &changed, "cmdline", &cmdline,
                    "job", &job, "output_errno", &stuck) < 0)
        return -EPROTO;
    st = name_index(state_names, 4, state);
    ca = name_index(cause_names, 6, cause);
    if (st < 0 || ca < 0 || number < 1 || number > UINT32_MAX ||
        identity_check_id(machine, NULL) < 0 || exit < -1 || exit > 255 || signal < -1 ||
        signal > 64 || stuck < 0 || stuck > 4095 || created < 0 || started < 0 || ended < 0 ||
        changed < 0)
        return -EPROTO;
    if (copy(r->machine, sizeof r->machine, machine) < 0 ||
        copy(r->user, sizeof r->user, user) < 0 ||
        copy(r->cmdline, sizeof r->cmdline, cmdline) < 0 || copy(r->job, sizeof r->job, job) < 0)
        return -EPROTO;
    r->number = (uint32_t)number;
    r->exit = (int)exit;
    r->signal = (int)signal;
    r->stuck = (int)stuck;
    snprintf(r->name, sizeof r->name, "%s.%u", r->machine, r->number);
    r->state = (enum proc_state)st;
    r->cause = (enum proc_cause)ca;
    r->created_us = (uint64_t)created;
    r->started_us = (uint64_t)started;
    r->ended_us = (uint64_t)ended;
    r->changed_us = (uint64_t)changed;
    return 0;
}
