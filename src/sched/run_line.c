/*
 * run_line.c - reads and prints run lines.
 *
 * Words come from base/words.h; this gives them their places. A stage keeps slices of `lists`: its
 * variables, a NULL, its words, a NULL. There are never more of those than words and two a stage.
 *
 * Invariant: what parses also prints within RUN_LINE_MAX, so that it can always be read again.
 */
#include "sched/run_line.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/words.h"
#include "sched/selector.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

struct parser {
    struct words w;
    int at;      /* the next word */
    char **list; /* where the next slice goes */
    struct run_line *line;
    struct oerr *e;
};

static const struct redirect {
    const char *op;
    size_t file, append; /* members of struct run_stage; append 0: there is none */
    bool first, last;    /* is for the first, for the last command only */
} redirects[] = {
    { "<", offsetof(struct run_stage, in), 0, true, false },
    { ">", offsetof(struct run_stage, out), 0, false, true },
    { ">>", offsetof(struct run_stage, out), offsetof(struct run_stage, append), false, true },
    { "2>", offsetof(struct run_stage, err), 0, false, false },
    { "2>>", offsetof(struct run_stage, err), offsetof(struct run_stage, err_append), false,
      false },
};

static const struct redirect *redirect_named(const char *op)
{
    for (size_t i = 0; i < ARRAY_SIZE(redirects); i++)
        if (strcmp(redirects[i].op, op) == 0)
            return &redirects[i];
    return NULL;
}

size_t run_line_name(const char *text)
{
    static const char allowed[] = "0123456789"
                                  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";

    return *text >= '0' && *text <= '9' ? 0 : strspn(text, allowed);
}

/* Whether the word, of which bare bytes were not quoted, is NAME=VALUE. */
static bool is_assignment(const char *word, size_t bare)
{
    size_t n = run_line_name(word);

    return n > 0 && n < bare && word[n] == '=';
}

/* ---- one stage */

static bool at_pipe(const struct parser *p)
{
    return p->at < p->w.n && p->w.op[p->at] && strcmp(p->w.v[p->at], "|") == 0;
}

static int take_redirect(struct parser *p, struct run_stage *s)
{
    const struct redirect *r = redirect_named(p->w.v[p->at]);
    bool first = s == p->line->stages, last = s + 1 == p->line->stages + p->line->n;
    char **file = (char **)(void *)((char *)s + r->file);

    if (r->first && !first)
        return oerr_set(p->e, -EINVAL,
                        "'%s' can only be in the first command of a pipeline: "
                        "the input of the others is the pipe",
                        r->op);
    if (r->last && !last)
        return oerr_set(p->e, -EINVAL,
                        "'%s' can only be in the last command of a pipeline: "
                        "the output of the others is the pipe",
                        r->op);
    if (*file)
        return oerr_set(p->e, -EINVAL, "'%s' is one file too many: %.60s is named already", r->op,
                        *file);
    if (++p->at == p->w.n || p->w.op[p->at])
        return oerr_set(p->e, -EINVAL, "a file name is missing behind '%s'", r->op);
    if (!*p->w.v[p->at])
        return oerr_set(p->e, -EINVAL, "the file name behind '%s' is empty", r->op);
    *file = p->w.v[p->at];
    if (r->append)
        *(bool *)(void *)((char *)s + r->append) = true;
    return 0;
}

static int take_selector(struct parser *p, struct run_stage *s, bool first)
{
    char *word = p->w.v[p->at];
    struct selector *sel;
    int rc;

    if (!first)
        return oerr_set(p->e, -EINVAL,
                        "the selector %.60s must be the first word of its command, and the only "
                        "one: join terms with commas, or quote it if it is the command",
                        word);
    rc = selector_parse(word + 1, &sel, p->e);
    if (rc == 0)
        s->select = word + 1;
    selector_free(sel);
    return rc;
}

/* The later of two with one name counts, as in sh. */
static int take_assignment(struct parser *p, struct run_stage *s)
{
    char *word = p->w.v[p->at];
    size_t name = run_line_name(word) + 1;

    for (size_t i = 0; i < s->n_env; i++)
        if (strncmp(s->env[i], word, name) == 0) {
            s->env[i] = word;
            return 0;
        }
    if (s->n_env == RUN_STAGE_ENV)
        return oerr_set(p->e, -EINVAL, "a command has at most %d variables in front of it",
                        RUN_STAGE_ENV);
    s->env[s->n_env++] = word;
    return 0;
}

static int take_argument(struct parser *p, struct run_stage *s)
{
    if (s->argc == 0 && !*p->w.v[p->at])
        return oerr_set(p->e, -EINVAL, "the command is an empty word: write its name");
    if (s->argc == 0)
        s->argv = s->env + s->n_env + 1;
    s->argv[s->argc++] = p->w.v[p->at];
    return 0;
}

static int take_word(struct parser *p, struct run_stage *s, bool first)
{
    const char *word = p->w.v[p->at];
    size_t bare = p->w.bare[p->at];

    if (p->w.op[p->at])
        return take_redirect(p, s);
    if (s->argc == 0 && bare > 0 && word[0] == '@')
        return take_selector(p, s, first);
    if (s->argc == 0 && is_assignment(word, bare))
        return take_assignment(p, s);
    return take_argument(p, s);
}

static int no_command(const struct parser *p, int begin)
{
    if (p->at > begin)
        return oerr_set(p->e, -EINVAL, "a command is missing behind '%.60s'", p->w.v[p->at - 1]);
    if (begin > 0)
        return oerr_set(p->e, -EINVAL, "a command is missing behind '|'");
    if (p->w.n > 0)
        return oerr_set(p->e, -EINVAL, "a command is missing before '|'");
    return oerr_set(p->e, -EINVAL, "the run line is empty: write a command");
}

static int take_stage(struct parser *p, struct run_stage *s)
{
    int begin = p->at;

    s->env = p->list;
    for (; p->at < p->w.n && !at_pipe(p); p->at++) {
        int rc = take_word(p, s, p->at == begin);

        if (rc < 0)
            return rc;
    }
    if (s->argc == 0)
        return no_command(p, begin);
    p->list = s->argv + s->argc + 1;
    p->at++;
    return 0;
}

/* ---- the line */

static int check_operators(const struct parser *p)
{
    for (int i = 0; i < p->w.n; i++) {
        const char *op = p->w.v[i];

        if (!p->w.op[i] || strcmp(op, "|") == 0 || redirect_named(op))
            continue;
        if (strpbrk(op, "<>"))
            return oerr_set(p->e, -EINVAL,
                            "the run line has no '%.20s', only < > >> 2> 2>>: quote it if it is "
                            "meant as text, or use sh -c '...'",
                            op);
        return oerr_set(p->e, -EINVAL,
                        "the run line has no '%s': quote it if it is meant as text, or use "
                        "sh -c '...'",
                        op);
    }
    return 0;
}

static int check_text(const char *text, size_t used, size_t len, struct oerr *e)
{
    json_t *utf8 = json_stringn(text, used);

    if (!utf8)
        return oerr_set(e, -EINVAL, "the run line is not UTF-8");
    json_decref(utf8);
    for (size_t i = used; i < len; i++)
        if (!memchr(" \t\r\n", text[i], 4))
            return oerr_set(e, -EINVAL,
                            "a run line is one line: for more than one use sh -c '...', or quote "
                            "the newline");
    return 0;
}

static int check_length(const struct run_line *line, struct oerr *e)
{
    struct obuf b = { 0 };
    int rc;

    run_line_print(line, &b);
    rc = obuf_check(&b);
    if (rc == 0 && b.len > RUN_LINE_MAX)
        rc = oerr_set(e, -EINVAL, "the line with its quotes written out is longer than %d bytes",
                      RUN_LINE_MAX);
    obuf_free(&b);
    return rc;
}

static int parse(struct parser *p)
{
    struct run_line *line = p->line;
    int rc = check_operators(p);

    line->n = 1;
    for (int i = 0; i < p->w.n; i++)
        line->n += p->w.op[i] && strcmp(p->w.v[i], "|") == 0;
    if (rc == 0 && line->n > RUN_STAGES_MAX)
        rc = oerr_set(p->e, -EINVAL, "a pipeline has at most %d commands", RUN_STAGES_MAX);
    if (rc < 0)
        return rc;
    line->stages = calloc(line->n, sizeof *line->stages);
    line->lists = calloc((size_t)p->w.n + 2 * line->n, sizeof *line->lists);
    if (!line->stages || !line->lists)
        return -ENOMEM;
    p->list = line->lists;
    for (size_t i = 0; rc == 0 && i < line->n; i++)
        rc = take_stage(p, &line->stages[i]);
    return rc ? rc : check_length(line, p->e);
}

int run_line_parse(struct run_line *line, const char *text, size_t len, struct oerr *e)
{
    struct parser p = { .line = line, .e = e };
    size_t used;
    int rc;

    *line = (struct run_line){ 0 };
    rc = words_split_run(&p.w, text, len, &used, e);
    if (rc < 0)
        return rc;
    rc = check_text(text, used, len, e);
    if (rc == 0)
        rc = parse(&p);
    line->mem = take_ptr(p.w.mem);
    words_free(&p.w);
    if (rc < 0)
        run_line_free(line);
    return rc;
}

void run_line_free(struct run_line *line)
{
    free(line->stages);
    free(line->lists);
    free(line->mem);
    *line = (struct run_line){ 0 };
}

/* ---- printing */

static void print_selector(struct obuf *out, const char *select)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "_-+=.,/:@%^<>!";

    obuf_puts(out, "@");
    if (select[strspn(select, plain)])
        obuf_quote_all(out, select);
    else
        obuf_puts(out, select);
    obuf_puts(out, " ");
}

static void print_assignment(struct obuf *out, const char *text)
{
    size_t name = run_line_name(text) + 1;

    obuf_put(out, text, name);
    if (text[name])
        obuf_quote(out, text + name);
    obuf_puts(out, " ");
}

static void print_command(struct obuf *out, const char *command)
{
    if (command[0] == '@' || is_assignment(command, strlen(command)))
        obuf_quote_all(out, command);
    else
        obuf_quote(out, command);
}

static void print_file(struct obuf *out, const char *op, const char *file)
{
    if (!file)
        return;
    obuf_printf(out, " %s ", op);
    obuf_quote(out, file);
}

void run_line_print(const struct run_line *line, struct obuf *out)
{
    for (size_t i = 0; i < line->n; i++) {
        const struct run_stage *s = &line->stages[i];

        obuf_puts(out, i ? " | " : "");
        if (s->select)
            print_selector(out, s->select);
        for (size_t k = 0; k < s->n_env; k++)
            print_assignment(out, s->env[k]);
        print_command(out, s->argv[0]);
        for (int k = 1; k < s->argc; k++) {
            obuf_puts(out, " ");
            obuf_quote(out, s->argv[k]);
        }
        print_file(out, "<", s->in);
        print_file(out, s->append ? ">>" : ">", s->out);
        print_file(out, s->err_append ? "2>>" : "2>", s->err);
    }
}
