/*
 * proc_show.c - what the files of a process say.
 */
#include "run/procs_private.h"

#include <signal.h>
#include <string.h>
#include <time.h>

static void show_time(struct obuf *out, const char *key, uint64_t us)
{
    time_t seconds = (time_t)(us / 1000000);
    char text[40];
    struct tm tm;

    if (!us)
        return;
    gmtime_r(&seconds, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    obuf_printf(out, "%s %s.%06uZ\n", key, text, (unsigned)(us % 1000000));
}

void proc_show_status(struct proc *p, struct obuf *out)
{
    struct init_usage usage = { p->end.cpu_us, 0, p->end.memory_peak };
    struct spool_stat so, se;
    struct flow_stat in = { .bytes_out = p->sink ? sink_bytes(p->sink) : p->in_bytes };

    if (p->rec.state == PROC_RUNNING || p->rec.state == PROC_STOPPED)
        initc_usage(p->procs->init, p->rec.number, &usage);
    proc_out_stat(p, OUT_STDOUT, &so);
    proc_out_stat(p, OUT_STDERR, &se);
    if (p->in)
        flow_stat(p->in, &in);
    obuf_printf(out, "state %s\nuser %s\n", proc_state_name(p->rec.state), p->rec.user);
    if (p->rec.state == PROC_ENDED && p->rec.signal > 0)
        obuf_printf(out, "signal %s\n",
                    sigabbrev_np(p->rec.signal) ? sigabbrev_np(p->rec.signal) : "?");
    else if (p->rec.state == PROC_ENDED && p->rec.exit >= 0)
        obuf_printf(out, "exit %d\n", p->rec.exit);
    if (*p->rec.job)
        obuf_printf(out, "job %s\n", p->rec.job);
    if (p->rec.cause)
        obuf_printf(out, "cause %s\n", proc_cause_name(p->rec.cause));
    show_time(out, "created", p->rec.created_us);
    show_time(out, "started", p->rec.started_us);
    show_time(out, "ended", p->rec.ended_us);
    obuf_printf(out, "cpu_usec %lu\nmemory_bytes %lu\nmemory_peak_bytes %lu\n", usage.cpu_us,
                usage.memory, usage.memory_peak);
    obuf_printf(out, "stdin_bytes %lu\nstdout_bytes %lu\nstderr_bytes %lu\n", in.bytes_out,
                so.bytes, se.bytes);
    obuf_printf(out, "stdout_dropped_bytes %lu\nstderr_dropped_bytes %lu\n", so.dropped,
                se.dropped);
    if (so.error || se.error)
        obuf_printf(out, "output_error %s\n", strerror(so.error ? -so.error : -se.error));
}

void proc_show_cmdline(const struct proc *p, struct obuf *out)
{
    obuf_puts(out, p->shown ? p->shown : "");
    for (size_t i = 0; i + 1 < p->argc; i++) {
        if (i > 0)
            obuf_puts(out, " ");
        if (p->argv[i])
            obuf_quote(out, p->argv[i]);
        else
            obuf_puts(out, "|");
    }
    if (p->argc)
        obuf_puts(out, "\n");
}

void proc_show_cwd(const struct proc *p, struct obuf *out)
{
    if (p->cwd)
        obuf_printf(out, "%s\n", p->cwd);
}

void proc_show_env(const struct proc *p, struct obuf *out)
{
    for (size_t i = 0; i < p->n_env; i++) {
        obuf_quote(out, p->env[i]);
        obuf_puts(out, "\n");
    }
}
