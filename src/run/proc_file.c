/*
 * proc_file.c - what a restarted daemon must know of a process: N.json, or for one that was
 * planned and says little a slot (proc_slots.h).
 *
 * {"record": RECORD, "argv": [WORD or null...], "env": [K=V...], "cwd": DIR or null, "pty": bool,
 *  "whole": bool, "end": {"cpu_us": N, "memory_peak": N}}, and of one that was planned
 * "plan": {"uid": N, "attempt": N, "group": N, "shown": TEXT, "wires": BITS, "fed": bool,
 * "no_stdin": bool, "leased": bool, "cause": why it is ended}. A file is written beside and
 * renamed, so that it is always whole; nothing is synced, since processes do not outlive a power
 * loss.
 */
#include "run/procs_private.h"
#include "base/cleanup.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

void proc_path(const struct procs *p, uint32_t number, const char *suffix, char path[4200])
{
    snprintf(path, 4200, "%s/%u.%s", p->dir, number, suffix);
}

/* Bytes that are not UTF-8 cannot stand in JSON: such a word is {"bytes": TEXT}, in which each byte
 * is the character of that number. */
static json_t *encode_bytes(const char *word)
{
    struct obuf safe = { 0 };
    json_t *j = NULL;

    for (const unsigned char *c = (const unsigned char *)word; *c; c++) {
        if (*c < 0x80)
            obuf_put(&safe, c, 1);
        else
            obuf_printf(&safe, "%c%c", 0xc0 | *c >> 6, 0x80 | (*c & 0x3f));
    }
    if (obuf_check(&safe) == 0)
        j = json_pack("{s:s}", "bytes", safe.p);
    obuf_free(&safe);
    return j;
}

static json_t *encode_word(const char *word)
{
    json_t *j = word ? json_string(word) : json_null();

    return j ? j : encode_bytes(word);
}

/* -EBADMSG when it is neither a word nor null; NULL for null. */
static int decode_word(const json_t *j, char **out)
{
    const char *bytes = json_string_value(json_object_get(j, "bytes"));
    char *to;

    *out = NULL;
    if (json_is_null(j))
        return 0;
    if (!json_is_string(j) && !bytes)
        return -EBADMSG;
    *out = to = strdup(bytes ? bytes : json_string_value(j));
    if (!to)
        return -ENOMEM;
    for (const char *c = to; bytes && *c; c++) {
        if ((*c & 0x80) && (*c & 0xfc) != 0xc0)
            return -EBADMSG; /* no byte has that number */
        *to++ = (char)(*c & 0x80 ? (*c & 3) << 6 | (c[1] & 0x3f) : *c);
        c += (*c & 0x80) != 0;
    }
    if (bytes)
        *to = '\0';
    return 0;
}

static json_t *encode_plan(const struct proc *proc)
{
    int wires = 0;

    for (int i = 0; i < N_OUT; i++)
        wires |= proc->out[i].wire << i;
    return json_pack("{s:I, s:I, s:I, s:o, s:i, s:b, s:b, s:b, s:i}", "uid",
                     (json_int_t)proc->tag.uid, "attempt", (json_int_t)proc->tag.attempt, "group",
                     (json_int_t)proc->tag.group, "shown", encode_word(proc->shown), "wires", wires,
                     "fed", proc->fed, "no_stdin", proc->no_stdin, "leased", proc->leased, "cause",
                     (int)proc->cause);
}

/* The caller's. */
static char *encode(const struct proc *proc)
{
    json_t *argv = json_array(), *env = json_array(), *all;
    char *dump;

    for (size_t i = 0; i < proc->argc; i++)
        json_array_append_new(argv, encode_word(proc->argv[i]));
    for (size_t i = 0; i < proc->n_env; i++)
        json_array_append_new(env, encode_word(proc->env[i]));
    all = json_pack("{s:o, s:o, s:o, s:o, s:b, s:b, s:{s:I, s:I}, s:o*}", "record",
                    proc_rec_encode(&proc->rec), "argv", argv, "env", env, "cwd",
                    encode_word(proc->cwd), "pty", proc->pty, "whole", proc->whole, "end", "cpu_us",
                    (json_int_t)proc->end.cpu_us, "memory_peak", (json_int_t)proc->end.memory_peak,
                    "plan", proc->planned ? encode_plan(proc) : NULL);
    dump = all ? json_dumps(all, JSON_COMPACT) : NULL;
    json_decref(all);
    return dump;
}

static int write_file(struct proc *proc, const char *text)
{
    cleanup_fclose FILE *f = NULL;
    char path[4200], next[4200];

    proc_path(proc->procs, proc->rec.number, "json", path);
    proc_path(proc->procs, proc->rec.number, "new", next);
    f = fopen(next, "we");
    if (!f || fputs(text, f) < 0 || fflush(f) != 0 || rename(next, path) < 0)
        return -errno;
    proc->filed = true;
    return 0;
}

int proc_save(struct proc *proc)
{
    cleanup_free char *text = encode(proc);
    int rc = -E2BIG;

    if (!text)
        return -ENOMEM;
    if (proc->planned && !proc->filed)
        rc = slots_write(proc->procs->slots, &proc->slot, text, strlen(text));
    if (rc == -E2BIG) {
        rc = write_file(proc, text);
        if (rc == 0)
            slots_free(proc->procs->slots, &proc->slot);
    }
    return rc;
}

void proc_save_now(struct proc *proc)
{
    int rc = proc_save(proc);

    if (proc->to_save)
        DL_DELETE(proc->procs->unsaved, proc);
    proc->to_save = false;
    proc->saved = rc == 0;
    if (rc < 0)
        log_warn("procs", "%s: its record cannot be saved: %s", proc->rec.name, strerror(-rc));
    else
        proc_settle(proc);
}

void procs_save(uv_timer_t *timer)
{
    struct procs *p = container_of(timer, struct procs, saving);
    struct proc *proc, *next;

    DL_FOREACH_SAFE(p->unsaved, proc, next)
    {
        proc_save_now(proc);
    }
}

/* Nobody waits for the disk, and what ends at once is saved once: a little later. Until then
 * oneos-init remembers whose it is and how it ended, should this daemon be killed. */
void proc_to_save(struct proc *proc)
{
    struct procs *p = proc->procs;

    proc->saved = false;
    if (proc->to_save)
        return;
    proc->to_save = true;
    DL_APPEND(p->unsaved, proc);
    if (!uv_is_active((uv_handle_t *)&p->saving))
        uv_timer_start(&p->saving, procs_save, SAVE_MS, 0);
}

void proc_unsave(struct proc *proc)
{
    char path[4200];

    slots_free(proc->procs->slots, &proc->slot);
    if (!proc->filed)
        return;
    proc_path(proc->procs, proc->rec.number, "json", path);
    unlink(path);
}

/* Words and nulls, counted; -EBADMSG. */
static int decode_words(const json_t *list, char ***out, size_t *n)
{
    int rc = json_is_array(list) ? 0 : -EBADMSG;

    *n = 0;
    *out = calloc(json_array_size(list) + 1, sizeof **out);
    if (!*out)
        return -ENOMEM;
    for (size_t i = 0; rc == 0 && i < json_array_size(list); i++)
        rc = decode_word(json_array_get(list, i), *out + (*n)++);
    return rc;
}

/* -EBADMSG; all NULL: it was not planned. */
static int decode_plan(struct proc *proc, const json_t *plan)
{
    int wires, fed, no_stdin, leased, cause = CAUSE_NONE;
    json_int_t uid, attempt, group;
    json_t *shown;

    if (!plan)
        return 0;
    if (json_unpack((json_t *)plan, "{s:I, s:I, s:I, s:o, s:i, s:b, s:b, s:b, s?i}", "uid", &uid,
                    "attempt", &attempt, "group", &group, "shown", &shown, "wires", &wires, "fed",
                    &fed, "no_stdin", &no_stdin, "leased", &leased, "cause", &cause) < 0 ||
        cause < CAUSE_NONE || cause > CAUSE_LOST)
        return -EBADMSG;
    proc->planned = true;
    proc->tag.uid = (uint64_t)uid;
    proc->tag.attempt = (uint32_t)attempt;
    proc->tag.group = (uint32_t)group;
    snprintf(proc->tag.job, sizeof proc->tag.job, "%s", proc->rec.job);
    for (int i = 0; i < N_OUT; i++)
        proc->out[i].wire = wires >> i & 1;
    proc->fed = fed;
    proc->no_stdin = no_stdin;
    proc->leased = leased;
    proc->cause = (enum proc_cause)cause;
    return decode_word(shown, &proc->shown);
}

/* All but the record, into a process that proc_destroy() frees. */
static int decode(struct proc *proc, json_t *all)
{
    json_t *argv, *env, *cwd, *plan = NULL;
    json_int_t cpu, peak;
    int pty, whole, rc;

    if (json_unpack(all, "{s:o, s:o, s:o, s:b, s:b, s:{s:I, s:I}, s?o}", "argv", &argv, "env", &env,
                    "cwd", &cwd, "pty", &pty, "whole", &whole, "end", "cpu_us", &cpu, "memory_peak",
                    &peak, "plan", &plan) < 0)
        return -EBADMSG;
    rc = decode_words(argv, &proc->argv, &proc->argc);
    if (rc == 0)
        rc = decode_words(env, &proc->env, &proc->n_env);
    for (size_t i = 0; rc == 0 && i < proc->n_env; i++)
        rc = proc->env[i] ? 0 : -EBADMSG;
    if (rc == 0)
        rc = decode_word(cwd, &proc->cwd);
    if (rc == 0)
        rc = decode_plan(proc, plan);
    proc->pty = pty;
    proc->whole = whole;
    proc->end.cpu_us = (uint64_t)cpu;
    proc->end.memory_peak = (uint64_t)peak;
    return rc;
}

/* Takes the reference. number 0: whatever it is. */
static int load(struct procs *p, uint32_t number, json_t *all, struct proc **out, struct oerr *e)
{
    struct proc *proc = NULL;
    struct proc_rec rec;
    int rc = proc_rec_decode(json_object_get(all, "record"), &rec);

    if (rc == 0 && (strcmp(rec.machine, p->self) != 0 || (number && rec.number != number)))
        rc = -EBADMSG;
    if (rc == 0 && procs_find(p, rec.number))
        rc = -EEXIST;
    if (rc == 0)
        rc = proc_create(&proc, p, &rec, e);
    if (rc == 0)
        rc = decode(proc, all);
    json_decref(all);
    if (rc < 0) {
        proc_destroy(proc, false);
        return rc;
    }
    proc->saved = true;
    proc->end.exit = rec.exit;
    proc->end.signal = rec.signal > 0 ? rec.signal : 0;
    proc->end.oom = rec.cause == CAUSE_OOM;
    proc->end.ended_us = rec.ended_us;
    proc_out_look(proc);
    if (rec.state == PROC_ENDED)
        keep_ended(proc);
    *out = proc;
    return 0;
}

int proc_load(struct procs *p, uint32_t number, struct proc **out, struct oerr *e)
{
    char path[4200];
    int rc;

    proc_path(p, number, "json", path);
    rc = load(p, number, json_load_file(path, 0, NULL), out, e);
    if (rc == -EPROTO || rc == -EBADMSG)
        rc = oerr_set(
            e, -EBADMSG,
            "%s is damaged; that process is left out. Remove the file when it is not needed", path);
    if (rc == 0)
        (*out)->filed = true;
    return rc;
}

static bool found_slot(void *arg, unsigned slot, const char *text)
{
    struct procs *p = arg;
    struct proc *proc;
    int rc = load(p, 0, json_loads(text, 0, NULL), &proc, NULL);

    if (rc < 0 && rc != -EEXIST)
        log_warn("procs", "%s/slots: the record in slot %u is damaged; that process is left out",
                 p->dir, slot);
    if (rc < 0)
        return false;
    proc->slot = (int)slot;
    if (proc->rec.number >= p->next)
        p->next = proc->rec.number + 1;
    return true;
}

int procs_load_slots(struct procs *p, struct oerr *e)
{
    char path[4200];

    snprintf(path, sizeof path, "%s/slots", p->dir);
    return slots_open(&p->slots, path, found_slot, p, e);
}
