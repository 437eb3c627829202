/*
 * jobs_private.h - what the files of the rows below jobs/ share.
 *
 *   jobs.c       the rows; what exists, links, streams
 *   jobs_ctl.c   verbs; making and forgetting
 *   jobs_show.c  status, spec, why, all.jsonl
 *   jobs_admit.c what is refused at once
 */
#ifndef ONEOS_TREE_JOBS_PRIVATE_H
#define ONEOS_TREE_JOBS_PRIVATE_H

#include "tree/system.h"
#include "sched/job_cmd.h"

/* The record as it is now; the caller's: job_clear(). -ENOENT; -EPROTO. */
int job_read(struct system *sys, const char *name, struct job *out);

/* jobs_ctl.c */
extern const struct tree_verb jobs_verbs[], job_verbs[];
int make_job(struct tree_call *call, int flags);
int drop_job(struct tree_call *call);
int clone_job(struct tree_call *call);
void job_ctl_closed(struct tree_call *call);
int save_job_spec(struct tree_call *call, const char *text, size_t n);

/* jobs_show.c */
int show_jobs(const struct tree_at *at, struct obuf *out);
int show_job_spec(const struct tree_at *at, struct obuf *out);
int show_job_status(const struct tree_at *at, struct obuf *out);
int show_job_why(const struct tree_at *at, struct obuf *out);
int home_job_why(const struct tree_at *at, const char **machine);

/* jobs_admit.c: what is known of the machines, collected once for any number of jobs. */
struct admission;
int admission_begin(struct admission **out, struct system *sys);
void admission_end(struct admission *a); /* NULL is allowed */
/* 0 when a job of that user could run like this one day; else -EINVAL or -EPERM with words. */
int admission_check(const struct admission *a, const char *user, const json_t *spec,
                    struct oerr *e);

#endif
