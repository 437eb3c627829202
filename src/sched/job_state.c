/*
 * job_state.c - what may become of a job, in one table, and how its attempts are judged.
 *
 * An attempt is over when each of its groups has ended; then the worst of what happened to them is
 * how it ended: a short result must never look like a whole one. A job that somebody cancelled is
 * cancelled, unless it had ended well by itself before the word reached it; it is not begun again.
 */
#include "sched/job_state.h"
#include "base/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- states */

#define NO -1

/* What an act makes of a job in each state. How an attempt ends is judged by job_settle(). */
static const struct {
    const char *may; /* "only a job that is ... can be ..." */
    const char *past;
    signed char to[JOB_LOST + 1];
} acts[] = {
    /* clang-format off */
    /*                                            new            held           pending        running        over */
    [ACT_SET]     = { "new or held",    "changed",   { JOB_NEW,       JOB_HELD,      NO,            NO,            NO, NO, NO, NO } },
    [ACT_RUN]     = { "new",            "run",       { JOB_PENDING,   NO,            NO,            NO,            NO, NO, NO, NO } },
    [ACT_HOLD]    = { "not running",    "held",      { JOB_NEW,       JOB_HELD,      JOB_HELD,      NO,            NO, NO, NO, NO } },
    [ACT_RELEASE] = { "held",           "released",  { JOB_NEW,       JOB_PENDING,   JOB_PENDING,   NO,            NO, NO, NO, NO } },
    [ACT_CANCEL] = { "not over",       "cancelled", { JOB_CANCELLED, JOB_CANCELLED, JOB_CANCELLED, JOB_RUNNING,   NO, NO, NO, NO } },
    [ACT_PLACE]   = { "pending",        "placed",    { NO,            NO,            JOB_RUNNING,   NO,            NO, NO, NO, NO } },
    [ACT_REFUSE]  = { "pending",        "refused",   { NO,            NO,            JOB_FAILED,    NO,            NO, NO, NO, NO } },
    [ACT_FORGET]  = { "over or new",    "forgotten", { JOB_NEW,       NO,            NO,            NO,            JOB_DONE, JOB_FAILED, JOB_CANCELLED, JOB_LOST } },
    /* clang-format on */
};

int job_act(const struct job *j, enum job_act act, enum job_state *to, struct oerr *e)
{
    int next = acts[act].to[j->state];

    if (next == NO)
        return oerr_set(e, -EBUSY, "job %s is %s; only a job that is %s can be %s", j->name,
                        job_state_name(j->state), acts[act].may, acts[act].past);
    *to = (enum job_state)next;
    return 0;
}

const char *job_act_past(enum job_act act)
{
    return acts[act].past;
}

/* ---- an attempt */

/* What matters more, when groups ended in different ways. A loss comes late: where a group did not
 * begin, or its time was over, those that read from it on other machines lose their stdin. */
static const enum job_cause worst_first[] = { JOB_NOT_BEGUN, JOB_TIMEOUT, JOB_LOSS, JOB_NOT_TAKEN,
                                              JOB_OOM };

bool job_attempt_over(const struct job *j)
{
    for (size_t i = 0; i < j->n_groups; i++)
        if (j->groups[i].end.cause == JOB_NOT_ENDED)
            return false;
    return true;
}

static const struct job_end *judge(const struct job *j)
{
    for (size_t c = 0; c < ARRAY_SIZE(worst_first); c++)
        for (size_t i = 0; i < j->n_groups; i++)
            if (j->groups[i].end.cause == worst_first[c])
                return &j->groups[i].end;
    return &j->groups[j->status_group].end;
}

/* How the attempt ended, with what all of its groups took. */
static void sum_up(struct job *j, uint64_t now)
{
    struct job_end end = *judge(j);

    end.started_us = end.ended_us = end.cpu_us = end.memory_peak = 0;
    for (size_t i = 0; i < j->n_groups; i++) {
        const struct job_end *g = &j->groups[i].end;

        if (g->started_us && (!end.started_us || g->started_us < end.started_us))
            end.started_us = g->started_us;
        if (g->ended_us > end.ended_us)
            end.ended_us = g->ended_us;
        if (g->memory_peak > end.memory_peak)
            end.memory_peak = g->memory_peak;
        end.cpu_us = g->cpu_us > INT64_MAX - end.cpu_us ? INT64_MAX : end.cpu_us + g->cpu_us;
    }
    j->end = end;
    j->ended_us = end.ended_us ? end.ended_us : now;
    if (end.started_us)
        j->started_us = end.started_us;
}

static enum job_state verdict(const struct job *j)
{
    if (j->end.cause == JOB_EXITED && j->end.exit == 0)
        return JOB_DONE;
    if (j->cancelled || j->end.cause == JOB_CANCEL)
        return JOB_CANCELLED;
    return j->end.cause == JOB_LOSS || j->end.cause == JOB_NOT_TAKEN ? JOB_LOST : JOB_FAILED;
}

enum restart { NEVER, ON_FAILURE, ALWAYS };
static const char *const restarts[] = {
    [NEVER] = "never", [ON_FAILURE] = "on-failure", [ALWAYS] = "always"
};

static int restart_of(const json_t *spec)
{
    const char *text = json_string_value(json_object_get(spec, "restart"));

    if (!json_object_get(spec, "restart"))
        return NEVER;
    for (size_t i = 0; text && i < ARRAY_SIZE(restarts); i++)
        if (strcmp(restarts[i], text) == 0)
            return (int)i;
    return -1;
}

/* `retries` says how often at most; `restart` alone: for ever, but not for what cannot begin. */
static bool again(const struct job *j, enum job_state s)
{
    const json_t *retries = json_object_get(j->spec, "retries");
    int restart = restart_of(j->spec);

    if (j->cancelled || s == JOB_CANCELLED || (s == JOB_DONE && restart != ALWAYS))
        return false;
    if (retries)
        return j->restarts < json_integer_value(retries);
    return restart > NEVER && j->end.cause != JOB_NOT_BEGUN;
}

/* Nothing of it was begun: it is placed again, and that is no restart. */
static bool not_taken(const struct job *j)
{
    return j->end.cause == JOB_NOT_TAKEN && !j->end.started_us && !j->cancelled;
}

enum job_state job_settle(struct job *j, uint64_t now)
{
    enum job_state s;
    uint64_t pause = JOB_PAUSE_MAX;

    sum_up(j, now);
    if (not_taken(j)) {
        j->not_before_us = now + JOB_PAUSE_US;
        j->started_us = j->ended_us = 0;
        return JOB_PENDING;
    }
    s = verdict(j);
    if (!again(j, s))
        return s;
    if (j->restarts < 16 && JOB_PAUSE_US << j->restarts < JOB_PAUSE_MAX)
        pause = JOB_PAUSE_US << j->restarts;
    j->restarts++;
    j->not_before_us = now + pause;
    j->started_us = j->ended_us = 0;
    return JOB_PENDING;
}

/* ---- arrays */

/* "F-L"; 0 when it is one, 1 when there is none. */
int job_array_of(const json_t *spec, unsigned *first, unsigned *last)
{
    const char *text = json_string_value(json_object_get(spec, "array"));
    int n = 0;

    if (!json_object_get(spec, "array"))
        return 1;
    if (!text || strspn(text, "0123456789-") != strlen(text) || text[0] == '-' ||
        sscanf(text, "%6u-%6u%n", first, last, &n) != 2 || text[n] || *last < *first ||
        *last - *first >= JOB_ARRAY_MAX)
        return -EINVAL;
    return 0;
}

static const enum job_state worst_state[] = { JOB_LOST, JOB_FAILED, JOB_CANCELLED, JOB_DONE };

static json_int_t count_of(const struct job *j, enum job_state s)
{
    return json_integer_value(json_object_get(j->counts, job_state_name(s)));
}

/* As its elements are, together. */
static enum job_state array_state(const struct job *j)
{
    json_int_t held = count_of(j, JOB_HELD), pending = count_of(j, JOB_PENDING),
               running = count_of(j, JOB_RUNNING), over = 0;
    enum job_state worst = JOB_DONE;

    for (size_t i = 0; i < ARRAY_SIZE(worst_state); i++) {
        over += count_of(j, worst_state[i]);
        if (worst == JOB_DONE && count_of(j, worst_state[i]) > 0)
            worst = worst_state[i];
    }
    if (held + pending + running == 0)
        return worst;
    if (running > 0 || over > 0)
        return JOB_RUNNING;
    return pending > 0 ? JOB_PENDING : JOB_HELD;
}

static int count(struct job *j, enum job_state s, int by)
{
    json_int_t n = count_of(j, s) + by;

    if (n == 0)
        return json_object_del(j->counts, job_state_name(s)), 0;
    return json_object_set_new(j->counts, job_state_name(s), json_integer(n)) < 0 ? -ENOMEM : 0;
}

/* Whether no element ended in this way or a worse one before. */
static bool is_worst(const struct job *array, enum job_state s)
{
    for (size_t i = 0; i < ARRAY_SIZE(worst_state); i++) {
        if (count_of(array, worst_state[i]) > 0)
            return false;
        if (worst_state[i] == s)
            return true;
    }
    return false;
}

int job_array_tell(struct job *array, const struct job *element, enum job_state from)
{
    int rc;

    if (!array->counts)
        return -EPROTO;
    if (is_worst(array, element->state))
        array->end = element->end;
    rc = count(array, from, -1);
    if (rc == 0)
        rc = count(array, element->state, 1);
    array->state = array_state(array);
    if (array->started_us == 0)
        array->started_us = element->started_us;
    if (job_is_over(array->state))
        array->ended_us = element->ended_us;
    return rc;
}

/* ---- specs, names, words */

static int check_after(const json_t *after, struct oerr *e)
{
    size_t n = json_array_size(after);

    if (after && (!json_is_array(after) || n > JOB_AFTER_MAX))
        return oerr_set(e, -EINVAL, "`after` of a job is a list of at most %d names of jobs",
                        JOB_AFTER_MAX);
    for (size_t i = 0; i < n; i++)
        if (json_string_length(json_array_get(after, i)) >= JOB_NAME_MAX ||
            json_string_length(json_array_get(after, i)) == 0)
            return oerr_set(e, -EINVAL, "`after` of a job has something that is no name of a job");
    return 0;
}

int job_check_spec(const json_t *spec, struct oerr *e)
{
    const json_t *retries = json_object_get(spec, "retries"), *run = json_object_get(spec, "run");
    unsigned first, last;

    if (!json_is_object(spec))
        return oerr_set(e, -EINVAL, "the spec of a job is a JSON object");
    if (run && json_string_length(run) == 0)
        return oerr_set(e, -EINVAL, "`run` of a job is a text: what to run");
    if (retries && (!json_is_integer(retries) || json_integer_value(retries) < 0))
        return oerr_set(e, -EINVAL, "`retries` of a job is a whole number from 0");
    if (restart_of(spec) < 0)
        return oerr_set(e, -EINVAL, "`restart` of a job is never, on-failure or always");
    if (job_array_of(spec, &first, &last) < 0)
        return oerr_set(e, -EINVAL,
                        "`array` of a job is FIRST-LAST, numbers from 0 to 999999, at "
                        "most %d of them",
                        JOB_ARRAY_MAX);
    return check_after(json_object_get(spec, "after"), e);
}

/* What stands in the folder jobs/ beside the jobs. */
static const char *const reserved[] = { "all.jsonl", "clone", "ctl", "error", "last", "status" };

static bool plain(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

int job_check_name(const char *name, struct oerr *e)
{
    size_t len = strlen(name);

    if (len == 0)
        return oerr_set(e, -EINVAL, "a job needs a name");
    if (len > JOB_CHOSEN_MAX)
        return oerr_set(e, -ENAMETOOLONG, "the job name %.40s... is longer than %d bytes", name,
                        JOB_CHOSEN_MAX);
    for (size_t i = 0; i < len; i++)
        if (!plain(name[i]) || (i == 0 && !((name[0] | 32) >= 'a' && (name[0] | 32) <= 'z')))
            return oerr_set(e, -EINVAL,
                            "'%s' is no name for a job: it begins with a letter, and then come "
                            "letters, digits and any of . _ -",
                            name);
    for (size_t i = 0; i < ARRAY_SIZE(reserved); i++)
        if (strcmp(name, reserved[i]) == 0)
            return oerr_set(e, -EINVAL, "%s is not a name for a job; choose another", name);
    return 0;
}

static const char *lost_machine(const struct job *j)
{
    for (size_t i = 0; i < j->n_groups; i++)
        if (j->groups[i].end.cause == JOB_LOSS)
            return j->groups[i].machine;
    return "";
}

void job_verdict(const struct job *j, char line[128])
{
    const char *signal = j->end.signal ? sigabbrev_np(j->end.signal) : NULL;

    if (!job_is_over(j->state))
        snprintf(line, 128, "%s", job_state_name(j->state));
    else if (j->state == JOB_CANCELLED)
        snprintf(line, 128, "cancelled");
    else if (j->state == JOB_LOST)
        snprintf(line, 128, "lost%s%s", *lost_machine(j) ? " " : "", lost_machine(j));
    else if (j->end.cause == JOB_TIMEOUT)
        snprintf(line, 128, "timeout");
    else if (signal)
        snprintf(line, 128, "signal %s", signal);
    else if (j->end.signal)
        snprintf(line, 128, "signal %d", j->end.signal);
    else
        snprintf(line, 128, "exit %d", j->end.exit);
}
