/*
 * doctor_tree.c - the checks of `oneos doctor` that look at the whole system, by its tree.
 */
#include "shell/doctor.h"
#include "shell/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CLOCK_SECONDS 60 /* two clocks may differ by so much */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static json_int_t number_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

/* The objects of a file of lines; NULL having reported what is wrong. */
static json_t *read_lines(struct exam *x, const char *path)
{
    struct obuf text = { 0 };
    int rc = tree_read(x->sh, &text, path);
    json_t *all = rc < 0 ? NULL : parse_lines(path, text.p);

    obuf_free(&text);
    if (!all)
        report(x, WRONG, "%s cannot be used%s%s", path, rc < 0 ? ": " : "",
               rc < 0 ? strerror(-rc) : "");
    return all;
}

/* ---- the registry ---- */

void check_registry(struct exam *x)
{
    const char *trouble = text_of(x->status, "trouble");
    json_int_t voters = number_of(x->status, "voters"),
               alive = number_of(x->status, "voters_alive");

    if (!x->status)
        return;
    if (*trouble)
        report(x, WRONG, "%s", trouble);
    else if (strcmp(text_of(x->status, "quorum"), "yes") != 0)
        report(x, WRONG, "nobody leads the registry: what is there can be read, not changed");
    else if (voters == 1 && number_of(x->status, "machines_alive") == 2)
        report(x, NOTE,
               "one machine votes: nothing can be changed while it is down; with a third machine "
               "any one may be down");
    else
        report(x, OK, "it has a leader, and %lld of %lld voters", (long long)alive,
               (long long)voters);
}

/* ---- machines ---- */

/* role: of those that have the state; NULL: any. The first that fits counts. */
static const struct {
    const char *state, *role, *words;
} ailments[] = {
    { "suspect", NULL, "was not heard lately: look at its network and its load" },
    { "dead", "voter",
      "is dead and still a voter, so that fewer others may fail: start oneosd there, or take it "
      "off the list with `oneos forget`" },
    { "dead", NULL, "is dead: start oneosd there, or take it off the list with `oneos forget`" },
    { "left", "voter",
      "has left and is still a voter, so that fewer others may fail: start oneosd there, or take "
      "it off the list with `oneos forget`" },
    { "pending", NULL, "asks to join: `oneos accept` or `oneos reject` it" },
};

static void report_state(struct exam *x, const json_t *row)
{
    for (size_t i = 0; i < sizeof ailments / sizeof ailments[0]; i++) {
        if (strcmp(text_of(row, "state"), ailments[i].state) != 0 ||
            (ailments[i].role && strcmp(text_of(row, "role"), ailments[i].role) != 0))
            continue;
        report(x, WRONG, "%s %s", text_of(row, "id"), ailments[i].words);
        return;
    }
}

/* What a machine says of its clock is up to some seconds old. */
static void report_clock(struct exam *x, const json_t *row)
{
    json_int_t theirs = number_of(row, "clock_us") / 1000000;
    long long ahead = (long long)theirs - (long long)time(NULL);

    if (theirs && llabs(ahead) > CLOCK_SECONDS)
        report(x, WRONG,
               "the clock of %s is %lld s %s this one: set them, or start a time service (chrony) "
               "on both",
               text_of(row, "id"), llabs(ahead), ahead > 0 ? "ahead of" : "behind");
}

void check_machines(struct exam *x)
{
    int before = x->wrong, alive = 0;
    json_t *all, *row;
    size_t i;

    if (!x->status || !(all = read_lines(x, "machines/all.jsonl")))
        return;
    json_array_foreach (all, i, row) {
        alive += strcmp(text_of(row, "state"), "alive") == 0;
        report_state(x, row);
        report_clock(x, row);
    }
    if (x->wrong == before)
        report(x, OK, "%d of %zu machines are alive", alive, json_array_size(all));
    json_decref(all);
}

/* ---- the core services ---- */

static void report_service(struct exam *x, const json_t *row)
{
    const char *name = text_of(row, "name"), *state = text_of(row, "state"),
               *machine = text_of(row, "machine");

    if (strcmp(state, "unplaced") == 0)
        report(x, WRONG,
               "%s runs nowhere: it is placed once the registry has a leader and a machine that "
               "is alive",
               name);
    else if (strcmp(state, "unreachable") == 0)
        report(x, WRONG,
               "%s is on %s, which cannot be reached: it moves within seconds while the registry "
               "has a leader; else start oneosd on %s",
               name, machine, machine);
    else if (strcmp(state, "failed") == 0)
        report(x, WRONG, "%s fails on %s: %s; `echo move ID >%s/services/%s/ctl` tries another",
               name, machine, text_of(row, "trouble"), x->sh->mount, name);
    else if (strcmp(state, "waiting") == 0)
        report(x, NOTE, "%s waits on %s until the registry has a leader", name, machine);
    else if (strcmp(state, "running") != 0)
        report(x, NOTE, "%s is %s on %s", name, state, machine);
}

void check_services(struct exam *x)
{
    int before = x->wrong;
    json_t *all, *row;
    size_t i;

    if (!x->status || !(all = read_lines(x, "services/all.jsonl")))
        return;
    json_array_foreach (all, i, row)
        report_service(x, row);
    if (x->wrong == before)
        report(x, OK, "%zu services have their machines", json_array_size(all));
    json_decref(all);
}
