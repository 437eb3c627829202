/*
 * fuzz_run_line.c - run_line_parse() over any bytes; what it takes must print as a line that gives
 * the same line and prints the same again.
 */
#include "base/buf.h"
#include "sched/run_line.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool same_list(char **a, char **b)
{
    while (*a && *b && strcmp(*a, *b) == 0)
        a++, b++;
    return !*a && !*b;
}

static bool same_stage(const struct run_stage *a, const struct run_stage *b)
{
    return same_text(a->select, b->select) && a->n_env == b->n_env && same_list(a->env, b->env) &&
           a->argc == b->argc && same_list(a->argv, b->argv) && same_text(a->in, b->in) &&
           same_text(a->out, b->out) && same_text(a->err, b->err) && a->append == b->append &&
           a->err_append == b->err_append;
}

static void expect_same(const struct run_line *a, const struct run_line *b)
{
    if (a->n != b->n)
        abort();
    for (size_t i = 0; i < a->n; i++)
        if (!same_stage(&a->stages[i], &b->stages[i]))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct obuf printed = { 0 }, again = { 0 };
    struct run_line line, back;
    struct oerr e = { "" };

    if (run_line_parse(&line, (const char *)data, size, &e) < 0) {
        if (!e.text[0] || line.n || line.stages)
            abort();
        return 0;
    }
    run_line_print(&line, &printed);
    if (run_line_parse(&back, printed.p, printed.len, &e) < 0)
        abort();
    expect_same(&line, &back);
    run_line_print(&back, &again);
    if (printed.len != again.len || memcmp(printed.p, again.p, again.len) != 0)
        abort();
    run_line_free(&back);
    run_line_free(&line);
    obuf_free(&printed);
    obuf_free(&again);
    return 0;
}
