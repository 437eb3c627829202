/*
 * sim.h - a deterministic simulator of machines and their network, in virtual time.
 *
 * Everything follows from the seed: latency, loss, delay, doubling, and the random numbers that the
 * test draws. Cuts are one way. A machine that crashes loses what is under way to it; what it sent
 * goes on. A frozen one gets everything late. What happens can be written down as a trace and
 * compared with text.
 */
#ifndef ONEOS_TESTS_SIM_H
#define ONEOS_TESTS_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim;

struct sim_ops {
    void (*deliver)(void *arg, unsigned to, unsigned from, const void *msg, size_t n);
    void (*timer)(void *arg, unsigned node, unsigned which); /* as armed by sim_timer() */
    void (*step)(void *arg);                                 /* after every event; may be NULL */
};

/* How the network is; per million. May be changed at any time. */
struct sim_net {
    unsigned latency_min, latency_max; /* ms */
    unsigned loss, twice, late;        /* per million of messages */
    unsigned late_max;                 /* ms added to late ones: they overtake each other */
};

#define SIM_TIMERS 4 /* of each machine */

struct sim *sim_new(unsigned nodes, uint64_t seed, const struct sim_ops *ops, void *arg);
void sim_free(struct sim *s);

uint64_t sim_now(const struct sim *s);
struct sim_net *sim_net(struct sim *s);

/* Runs until that time, or until sim_stop(). */
void sim_run(struct sim *s, uint64_t until);
void sim_stop(struct sim *s);

uint64_t sim_random(struct sim *s);
unsigned sim_below(struct sim *s, unsigned n); /* 0..n-1 */
bool sim_chance(struct sim *s, unsigned per_million);

void sim_send(struct sim *s, unsigned from, unsigned to, const void *msg, size_t n);
void sim_cast(struct sim *s, unsigned from, const void *msg,
              size_t n); /* to all others that are up */

/* Arms the machine's timer, in place of what it was armed to. */
void sim_timer(struct sim *s, unsigned node, unsigned which, uint64_t at);

void sim_boot(struct sim *s, unsigned node);
void sim_crash(struct sim *s, unsigned node);
bool sim_up(const struct sim *s, unsigned node);
void sim_freeze(struct sim *s, unsigned node, uint64_t until);

void sim_cut(struct sim *s, unsigned from, unsigned to, bool cut); /* one way */
void sim_partition(struct sim *s,
                   const unsigned *side); /* side[node]; sides do not hear each other */
void sim_heal(struct sim *s);
bool sim_connected(const struct sim *s, unsigned a, unsigned b); /* both up, both ways */

/* A line of the trace, "[time] text"; kept only after sim_trace_on(). */
void sim_trace_on(struct sim *s);
void sim_trace(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
const char *sim_trace_text(const struct sim *s);

#endif
