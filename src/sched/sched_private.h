/*
 * sched_private.h - the scheduler's parts, for its own files and their tests.
 *
 * sched.c steps; sched_machine.c and sched_job.c take events in; sched_wait.c says where a job
 * waits, sched_early.c places
 * before the making; lane.c orders the queue; blocked.c has what cannot go on; place.c puts a job
 * on machines (fit.c: the best of them; choice.c, need.c: which ones can have it); kind.c and
 * keep.c keep machines for the first that does not fit; fence.c gives up on dead machines; retain.c
 * forgets; why.c says why.
 */
#ifndef ONEOS_SCHED_SCHED_PRIVATE_H
#define ONEOS_SCHED_SCHED_PRIVATE_H

#include "sched/fair.h"
#include "sched/fit.h"
#include "sched/heap.h"
#include "sched/sched.h"
#include "sched/selector.h"
#include "sched/want.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define KEEPS_MAX        8      /* machines are kept for so many jobs at most */
#define KEEP_PATIENCE_MS 600000 /* a machine that has not become free by then: another is tried */
#define PROBES_ONCE      16 /* machines asked at first for one need; then twice as many each time */
#define PROBE_WAIT_MS    5000 /* an answer that does not come */
#define PROBE_OLD_MS     60000 /* a no that is older is asked again when there is no room elsewhere */
#define PROBE_PAUSE_MS   1000 /* before one that did not come is asked for again */
#define CHOICES_KEPT     512 /* of those not in use, so that the same need not be found out again */
#define NEEDS_KEPT       1024
#define POOR_MS          10000 /* how long a machine that lacked something gets no job */
#define AGAIN_MS         5000  /* fences, losses, forgetting that have not shown */
#define FAILED_PAUSE_MS  200
#define EARLY_MAX        64
#define STEP_PLACES      256
#define STEP_TRIES       2048

struct user {
    char *name;
    struct fair_account use;
    size_t queued;     /* its jobs in lanes */
    struct heap ended; /* retain.c */
    size_t ended_records;
    UT_hash_handle hh;
};

/* N of a counted label. */
struct count {
    char key[64];
    uint64_t n;
};

/* Which machines a selector means, by the machine it is asked from when that matters. */
struct choice {
    struct selector *sel; /* NULL: all */
    const char *text;     /* in key; NULL */
    char here[ID_MAX];    /* "": it does not matter */
    uint64_t *match;
    struct count *counts; /* that it takes */
    size_t n_counts;
    size_t refs;
    UT_hash_handle hh;
    char key[];
};

enum verdict { V_UNKNOWN, V_ASKED, V_YES, V_NO }; /* V_NO + i: with reasons[i] */
#define NEED_REASONS 200

/* What machines say to one command of one user. */
struct need {
    struct sched_need what; /* points into key */
    uint8_t *verdict;       /* of each slot */
    uint64_t *yes, *unknown;
    size_t n_asked, n_told, from; /* are to answer; have answered; the next slot to ask */
    uint64_t round_ms;            /* the answers no are younger than this */
    bool fresh;                   /* an answer came since the last step */
    struct reason {
        int exit;
        char *words;
    } * reasons;
    size_t n_reasons;
    size_t refs;
    UT_hash_handle hh;
    char key[];
};

struct probe {
    uint64_t id;
    struct need *need;
    unsigned slot;
    uint64_t until_ms;
    UT_hash_handle hh;
};

struct stage {
    struct choice *choice;
    struct need *need;
};

enum blocked {
    BLOCKED_NOT,
    BLOCKED_FULL, /* no room; or what is there is kept for another */
    BLOCKED_KEPT, /* ...only that */
    BLOCKED_ASKS, /* answers of probes are to come */
    BLOCKED_UNFIT /* no machine could, even when it had room */
};

/* Lanes of one kind (kind.c) and one queue. */
struct group {
    struct kind *kind;
    struct queue *queue;
    struct heap full;        /* lanes that are blocked for want of room, by their first jobs' age */
    size_t lanes, n_choices; /* choices: of each lane of the kind */
    double share;            /* in a look */
    size_t place;
};

struct kind {
    struct group **groups;
    size_t n;
    struct keep *keep;
    UT_hash_handle hh;
    struct choice *key[];
};

/* Jobs that look the same to all machines: same user, priority, size, selectors, commands. */
struct lane {
    struct queue *queue;
    struct group *group;
    struct stage *stages;
    size_t n;
    int64_t cpu, memory; /* of each group */
    uint64_t run_us;     /* how long its jobs ran lately; 0: none has ended */
    enum want_place place;
    struct heap jobs;   /* waiting, by age */
    size_t refs;        /* jobs that know it, waiting or not yet */
    size_t place_ready; /* in queue->ready; HEAP_OUT */
    enum blocked blocked;
    enum blocked was;  /* it is ready only since hot machines have room, in the step... */
    uint64_t was_look; /* ...of that look; NOT: for other reasons, too */
    size_t blocked_at; /* in sched->stuck */
    uint64_t round;    /* in which it was last tried for room */
    size_t place_full; /* in group->full; HEAP_OUT */
    UT_hash_handle hh;
    char key[];
};

/* The lanes of one user at one priority. */
struct queue {
    struct {
        int priority;
        uint32_t zero;
        struct user *user;
    } key;
    struct heap ready; /* lanes that are not blocked and not empty, by their first jobs' age */
    size_t lanes;
    size_t place; /* in the step's heap */
    double share;
    UT_hash_handle hh;
};

/* All of one priority. */
struct level {
    int priority;
    struct queue **queues;
    size_t n, cap;
};

struct dep;

/* Something promised to a run of stages of a job on one machine: to the first there its cores and
 * memory, to each its counts. */
struct grant {
    struct job_node *job;
    struct machine *machine;
    int64_t cpu, memory;
    size_t first, n;            /* stages */
    unsigned group, groups_end; /* that it is for */
    struct count *counts;
    size_t n_counts;
    uint64_t ends_us; /* at the latest; FIT_NEVER */
    bool endless, ahead;
    uint64_t cost_us; /* of what is ahead: what it will take of a core, as far as can be guessed */
    struct grant *ahead_prev, *ahead_next;
    struct grant *before, *after; /* on the machine */
    struct grant *next;           /* of the job */
};

struct machine {
    char id[ID_MAX];
    unsigned slot;
    bool known; /* else only jobs or a runner speak of it */
    enum sched_health health;
    bool draining;
    uint64_t incarnation;
    int64_t cpu, memory; /* that it has */
    uint32_t load;       /* thousandths of a core */
    json_t *labels;      /* an object of strings; never NULL */
    uint64_t session;
    bool fenced, told; /* told: since sched_sync(true) */
    uint64_t poor_ms;  /* until then it gets nothing: it lacked what a job needs to begin; else 0 */
    uint64_t down_ms, fenced_ms, asked_ms; /* not alive since; fenced since; last effect */
    int64_t used_cpu, used_memory;
    unsigned n_grants, n_probes;
    struct grant *grants;
    struct grant *ahead; /* those that wait there, the oldest first (ahead.c) */
    size_t n_ahead;
    uint64_t ahead_us; /* the sum of their costs */
    int64_t quick_cpu; /* as it was in the step quick_step */
    uint64_t quick_step;
    struct count *used;
    size_t n_used;
    struct keep *keep;
    bool dirty; /* something became free, or better, since the last step */
    UT_hash_handle hh;
};

enum job_wait {
    J_IDLE,   /* new, held, an array's own */
    J_CHECK,  /* pending; `after` is to be looked at */
    J_AFTER,  /* waits for others to end */
    J_PAUSE,  /* waits for not_before */
    J_QUEUED, /* in its lane */
    J_DOOMED, /* is to be refused */
    J_SENT,   /* a placement or refusal is on its way */
    J_RUNNING,
    J_OVER
};

struct job_node {
    char *name;
    uint64_t uid;
    struct user *user;
    char by[ID_MAX];
    enum job_state record; /* what the record says */
    enum job_wait state;
    bool array, element, told, cancelled, placing; /* placing: what was sent is a placement */
    size_t records; /* of an array that is over: with its elements; else 1 */
    uint32_t attempt, restarts;
    uint64_t queued_us, not_before_us, started_us, ended_us, seen_ms;
    json_t *spec;
    struct lane *lane;
    size_t place;      /* in the lane, the pauses or the ended */
    size_t place_user; /* in its user's ended */
    char *near;        /* its machine, as the owner said; NULL */
    bool files, endless;
    uint64_t timeout_us;
    char **after; /* owned names */
    size_t n_after;
    struct waiter { /* one for each of them, in the list of what it waits for */
        struct dep *dep;
        struct job_node *job;
        struct waiter *next, **prev;
    } * waits;
    char (*on)[ID_MAX];
    size_t n_on;
    struct grant *grants;
    unsigned charged;         /* thousandths of a core that its user's account has as running... */
    uint64_t charged_us;      /* ...since then */
    struct machine *not_here; /* was kept in vain */
    int doom_exit;
    char *words; /* of its doom */
    struct job_end *end;
    char *cancelled_by;
    uint64_t again_ms;             /* in going: when its forgetting is looked at again; else 0 */
    struct job_node *next, **prev; /* in the list of what is to be checked, or doomed */
    UT_hash_handle hh, by_name;
};

/* A job that others wait for; there is one while any does. */
struct dep {
    struct waiter *waiters;
    UT_hash_handle hh;
    char name[];
};

/* Machines kept for a job, one for each part of it. */
struct keep {
    struct job_node *job; /* NULL: free */
    struct keep_part {
        struct machine *machine;
        size_t first, end; /* stages */
        uint64_t at_us;    /* when it has room at the latest; FIT_NEVER: not known */
    } * parts;
    size_t n;
    uint64_t since_ms;
    int priority;
};

struct sent {
    struct job_place place;
    const char **on, **groups;
    struct want_groups plan;
};

struct sched {
    struct sched_options opt;
    struct sched_fx fx;
    void *arg;
    uint64_t now_ms, wall_us;
    struct fair fair;
    bool syncing;

    struct fit fit;
    struct machine *machines, **slots;
    size_t slots_cap;
    struct machine **dirty, **hot; /* that have got room: since the last look, before it */
    size_t n_dirty, n_hot;
    bool unranked, facts_changed, kinds_look, needs_fresh;
    bool ahead_changed;                            /* more may go ahead */
    bool got_room, hopes_left, hope_ahead, resume; /* blocked.c */
    uint64_t steps;

    struct choice *choices;
    struct need *needs;
    struct probe *probes;
    size_t need_serial;
    size_t idle_choices, idle_needs; /* without refs */
    uint64_t probe_id;

    struct user *users;
    struct queue *queues;
    struct level **levels; /* highest first */
    size_t n_levels;
    struct lane *lanes;
    struct kind *kinds;
    struct lane **stuck;
    size_t n_stuck, stuck_cap;
    struct heap hopes; /* of groups, in a look */
    uint64_t look, round;
    size_t n_ready;    /* lanes */
    struct heap order; /* of one level in a step */
    struct keep keeps[KEEPS_MAX];

    struct job_node *jobs, *names;
    struct dep *deps;
    struct job_node *check, *doomed;
    struct heap pauses, ended, going;
    size_t ended_records, elements_over; /* retain.c */
    struct sent *batch;
    size_t n_batch;
    struct early {
        uint64_t id, until_ms;
    } early[EARLY_MAX];
    size_t n_early;
    uint64_t early_last;
    struct job_node *early_now; /* is being decided */
    void (*early_put)(void *arg, const struct job_place *place);
    void *early_arg;
    bool left_over;
    uint64_t fences_ms, retain_ms, probes_ms, poor_ms; /* when to look again */
    struct sched_counts counts;
};

/* ---- sched_machine.c */
struct machine *machine_get(struct sched *s, const char *id); /* makes it; NULL without memory */
struct machine *machine_find(const struct sched *s, const char *id);
void machine_refit(struct sched *s, struct machine *m); /* after what it has or promised changed */
void machine_dirty(struct sched *s, struct machine *m); /* it may help what is blocked */
void machine_poor(struct sched *s, struct machine *m);  /* it gets nothing for POOR_MS */
void machines_look(struct sched *s);                    /* ...which is over for some */
void machine_rank(struct sched *s);                     /* when unranked */
bool machine_has_counts(const struct machine *m, const struct count *c, size_t n,
                        const char **lacks);
uint64_t machine_count_left(const struct machine *m, const char *key);
int machine_use_counts(struct machine *m, const struct count *c, size_t n, bool give_back);
/* Why it gets nothing at all, as a phrase; NULL: it may. */
const char *machine_closed(const struct machine *m);
struct grant *grant_make(struct sched *s, struct job_node *j, struct machine *m, size_t first,
                         size_t n);
void grant_drop(struct sched *s, struct grant *g);
void machines_free(struct sched *s);

/* ---- choice.c */
struct choice *choice_get(struct sched *s, const char *select, const char *by);
void choice_put(struct sched *s, struct choice *c);
bool choice_match(const struct sched *s, const struct choice *c, const struct machine *m,
                  char why[SELECTOR_WHY]);
void choices_machine(struct sched *s, const struct machine *m, bool appeared);
int choices_grow(struct sched *s, size_t cap); /* before a slot is added */
void choices_free(struct sched *s);

/* ---- need.c */
struct need *need_get(struct sched *s, const struct sched_need *what);
void need_put(struct sched *s, struct need *n);
int needs_grow(struct sched *s, size_t cap);
void needs_forget(struct sched *s, unsigned slot, struct need *only); /* only: NULL for all */
/* Asks machines of the stage that were not asked. room: only those that have it now. How many. */
size_t need_ask(struct sched *s, const struct stage *st, const struct lane *room,
                const char *first);
void need_again(struct sched *s, struct need *n);              /* takes the noes back */
const char *need_words(const struct need *n, uint8_t verdict); /* of a no */
/* Whether the words name the machine, at their begin or end; what they say behind its name. */
bool need_names(const char *words, const char *id);
void need_say(const char *words, const char *id, struct obuf *out);
void needs_expire(struct sched *s);
void needs_free(struct sched *s);

/* ---- lane.c */
struct lane *lane_get(struct sched *s, struct job_node *j, const struct want *w);
void lane_put(struct sched *s, struct lane *l);
int lane_add(struct sched *s, struct job_node *j); /* it waits: -ENOMEM */
void lane_remove(struct sched *s, struct job_node *j);
int lane_ready(struct sched *s, struct lane *l); /* -ENOMEM */
void lane_unready(struct sched *s, struct lane *l);
bool lanes_before(const struct job_node *a, const struct job_node *b); /* age */
struct queue *queue_first(struct sched *s, struct level *level); /* begins the order of a level */
void queue_moved(struct sched *s, struct queue *q); /* its share, or what it has first */
void queues_done(struct sched *s);                  /* ends it */
bool lane_before(const void *a, const void *b);     /* of those that have jobs */
void lanes_free(struct sched *s);

/* ---- blocked.c */
/* false: no memory; it stays ready. */
bool lane_block(struct sched *s, struct lane *l, enum blocked how);
void lane_unblock(struct sched *s, struct lane *l);
void lane_free_blocked(struct sched *s, struct lane *l); /* without making it ready */
/* Whether what made it ready is still there: else it need not be tried. */
bool lane_still_hopeful(const struct sched *s, const struct lane *l);
void blocked_look(struct sched *s); /* makes ready what the changes since the last look may help */
bool blocked_left(struct sched *s); /* after a step: whether it has to look again */

/* ---- kind.c */
int group_join(struct sched *s, struct lane *l);
void group_leave(struct sched *s, struct lane *l);
void kinds_keep(struct sched *s); /* when kinds_look: keeps machines for the first of each */

/* ---- place.c */
enum outcome { PLACED, NO_ROOM, KEPT_ROOM, ASKS, UNFIT, DOOMED, NO_MEMORY };
enum outcome place_try(struct sched *s, struct job_node *j);
/* Why the submitter's machine, whose files it reads or writes, cannot serve them; NULL. */
const char *files_lack(const struct sched *s, const struct job_node *j);
void place_send(struct sched *s); /* the batch */
/* What some neighbours of a pipeline ask of the one machine that they are to share. Must not be
 * copied: query points into it. */
#define PART_COUNTS 16
struct part {
    const struct sched *s;
    size_t first, end; /* stages */
    const uint64_t *sets[2 * WANT_STAGES_MAX];
    struct fit_query query;
    struct count counts[PART_COUNTS];
    size_t n_counts;
};
void part_of(const struct sched *s, const struct lane *l, size_t first, size_t end,
             struct part *out);
/* The fewest parts that machines can be found for, as far as they are known to be able to; the
 * i-th has the stages [first[i], first[i + 1]). 0: some stage has no machine. */
size_t parts_of(const struct sched *s, const struct lane *l, size_t first[WANT_STAGES_MAX + 1]);

/* ---- keep.c */
struct keep *keep_take(struct sched *s, struct job_node *j); /* NULL: none was found */
void keep_drop(struct sched *s, struct keep *k);
void keep_drop_lane(struct sched *s, const struct lane *l);
void keep_drop_job(struct sched *s, const struct job_node *j);
bool keep_allows(const struct sched *s, const struct job_node *j, const struct machine *m);
void keeps_look(struct sched *s);
struct keep *keep_of(struct sched *s, const struct job_node *j);
/* The machine that has room for the job's first part soonest, and when; NULL. */
const struct machine *keep_guess(struct sched *s, const struct job_node *j, uint64_t *at_us);

/* ---- ahead.c */
void lane_ran(struct sched *s, struct lane *l, uint64_t us); /* one of its jobs took so long */
bool ahead_may(const struct sched *s, const struct lane *l);
/* A machine that has no room, but soon; -1: none. */
long ahead_choose(struct sched *s, struct job_node *j, const struct part *p);
void ahead_add(struct sched *s, struct grant *g);       /* promises it, or lets it wait */
void ahead_remove(struct sched *s, struct grant *g);    /* undoes that */
void ahead_promise(struct sched *s, struct machine *m); /* to those that have room by now */
void ahead_failed(struct sched *s, const struct job_node *j, struct machine *m); /* given back */

/* ---- sched_job.c */
struct job_node *job_named(const struct sched *s, const char *name);
/* Promises its machines what it wants. -ENOMEM: nothing. */
int job_grant(struct sched *s, struct job_node *j, const char *const *on, size_t n_on,
              const struct want_groups *plan);
void job_gone(struct sched *s, struct job_node *j);
bool job_index(struct sched *s, struct job_node *j); /* false: no memory */
void job_unindex(struct sched *s, struct job_node *j);
void job_drop(struct sched *s, struct job_node *j); /* one that is not in the index */
void jobs_free(struct sched *s);

/* ---- sched_wait.c */
int job_read_spec(struct sched *s, struct job_node *j, struct oerr *e); /* its lane, and the like */
void job_free_after(struct job_node *j);
void job_wait(struct sched *s, struct job_node *j);  /* pending: to where it has to wait */
void job_leave(struct sched *s, struct job_node *j); /* from there; promises stay */
void job_doom(struct sched *s, struct job_node *j, int exit, const char *words);
void jobs_wake_waiters(struct sched *s, const char *name); /* that job is over, or gone */
void jobs_check(struct sched *s);  /* those whose `after` is to be looked at */
void jobs_wake(struct sched *s);   /* those whose pause is over */
void jobs_refuse(struct sched *s); /* the doomed */

/* ---- sched_early.c */
void early_expire(struct sched *s);
uint64_t early_next(const struct sched *s); /* when the first is over; UINT64_MAX */

/* ---- fence.c, retain.c */
uint64_t fence_due(const struct sched *s, const struct machine *m);
void fences_look(struct sched *s);
void retain_init(struct sched *s);
void retain_user(struct user *u);                    /* it is new */
int retain_add(struct sched *s, struct job_node *j); /* it is over: -ENOMEM */
void retain_remove(struct sched *s, struct job_node *j);
void retain_look(struct sched *s);

#endif
