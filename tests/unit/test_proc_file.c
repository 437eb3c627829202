/*
 * test_proc_file.c - N.json: what is written comes back, and what is damaged is refused.
 *
 * No oneos-init: the collection is made by hand, as far as the records need it.
 */
#include "run/procs_private.h"

#include "runkit.h"

static void collection(struct procs *p, struct kit *k)
{
    memset(p, 0, sizeof *p);
    p->core = p->data = k->loop;
    snprintf(p->dir, sizeof p->dir, "%s", k->dir);
    snprintf(p->self, sizeof p->self, "A");
    snprintf(p->owner, sizeof p->owner, "u");
}

static struct proc *make(struct procs *p, uint32_t number)
{
    struct proc_rec rec = { .number = number,
                            .state = PROC_ENDED,
                            .cause = CAUSE_EXITED,
                            .exit = 7,
                            .signal = -1,
                            .created_us = 1,
                            .started_us = 2,
                            .ended_us = 3 };
    struct oerr e = { "" };
    struct proc *proc;

    snprintf(rec.name, sizeof rec.name, "A.%u", number);
    snprintf(rec.machine, sizeof rec.machine, "A");
    snprintf(rec.user, sizeof rec.user, "u");
    assert_int_equal(proc_create(&proc, p, &rec, &e), 0);
    return proc;
}

static void add(char ***v, size_t *n, const char *word)
{
    *v = realloc(*v, (*n + 2) * sizeof **v);
    (*v)[*n] = word ? strdup(word) : NULL;
    (*v)[++*n] = NULL;
}

static void all_of_it_comes_back(void **state)
{
    static const char *const words[] = {
        "cat",
        "",
        "two words",
        "\xc3\xa4\xc6\x80", /* UTF-8, also of the characters of old encodings */
        "\xff\xfe not UTF-8 \x80\xc3\xa4",
        NULL,
        "tr",
        "\x01\x7f\"\\",
        NULL,
    };
    struct procs p;
    struct proc *proc, *back;
    struct oerr e = { "" };

    collection(&p, *state);
    proc = make(&p, 5);
    for (size_t i = 0; i < ARRAY_SIZE(words); i++)
        add(&proc->argv, &proc->argc, words[i]);
    add(&proc->env, &proc->n_env, "K=\xf0 V");
    proc->end = (struct init_end){ .cpu_us = 1234567, .memory_peak = 1ul << 40 };
    proc->pty = true;
    proc->whole = true;
    assert_int_equal(proc_save(proc), 0);
    proc_destroy(proc, false);

    assert_int_equal(proc_load(&p, 5, &back, &e), 0);
    assert_int_equal(back->argc, ARRAY_SIZE(words));
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (words[i])
            assert_string_equal(back->argv[i], words[i]);
        else
            assert_null(back->argv[i]);
    }
    assert_int_equal(back->n_env, 1);
    assert_string_equal(back->env[0], "K=\xf0 V");
    assert_null(back->cwd);
    assert_true(back->pty);
    assert_true(back->whole);
    assert_int_equal(back->end.cpu_us, 1234567);
    assert_int_equal(back->end.memory_peak, 1ul << 40);
    assert_int_equal(back->rec.exit, 7);
    assert_int_equal(back->rec.number, 5);
    proc_destroy(back, true);
    assert_int_equal(proc_load(&p, 5, &back, &e), -EBADMSG); /* removed with it */
}

static void a_directory_comes_back(void **state)
{
    struct procs p;
    struct proc *proc, *back;
    struct oerr e = { "" };

    collection(&p, *state);
    proc = make(&p, 1);
    proc->cwd = strdup("/\xe4 dir");
    assert_int_equal(proc_save(proc), 0);
    proc_destroy(proc, false);
    assert_int_equal(proc_load(&p, 1, &back, &e), 0);
    assert_string_equal(back->cwd, "/\xe4 dir");
    assert_false(back->whole);
    proc_destroy(back, false);
}

static void put_file(struct kit *k, const char *name, const char *text, size_t n)
{
    char path[300];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", k->dir, name);
    f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    fclose(f);
}

/* Each is refused with a sentence that names the file, and leaves nothing behind. */
static void assert_damaged(struct procs *p, uint32_t number)
{
    struct oerr e = { "" };
    struct proc *proc = NULL;
    char path[4200];

    proc_path(p, number, "json", path);
    assert_int_equal(proc_load(p, number, &proc, &e), -EBADMSG);
    assert_non_null(strstr(e.text, "is damaged"));
    assert_null(p->all);
}

static void what_is_cut_short_is_damaged(void **state)
{
    struct kit *k = *state;
    char path[4200], text[4096];
    struct procs p;
    struct proc *proc;
    size_t n;
    FILE *f;

    collection(&p, k);
    proc = make(&p, 3);
    add(&proc->argv, &proc->argc, "true");
    assert_int_equal(proc_save(proc), 0);
    proc_destroy(proc, false);
    proc_path(&p, 3, "json", path);
    f = fopen(path, "re");
    n = fread(text, 1, sizeof text, f);
    fclose(f);
    for (size_t len = 0; len < n; len++) {
        put_file(k, "3.json", text, len);
        assert_damaged(&p, 3);
    }
    put_file(k, "4.json", text, n); /* another number's */
    assert_damaged(&p, 4);
}

static void what_has_wrong_fields_is_damaged(void **state)
{
    static const struct {
        const char *key, *value;
    } bad[] = {
        { "record", "{}" },
        { "argv", "7" },
        { "argv", "[7]" },
        { "argv", "[{}]" },
        { "env", "null" },
        { "env", "[null]" },
        { "cwd", "7" },
        { "pty", "0" },
        { "whole", "null" },
        { "end", "{}" },
        { "argv", "[{\"bytes\": \"\\u0100\"}]" },
        { "argv", "[{\"bytes\": 1}]" },
    };
    struct kit *k = *state;
    struct procs p;
    struct proc *proc;
    json_t *good;
    char path[4200];

    collection(&p, k);
    proc = make(&p, 3);
    assert_int_equal(proc_save(proc), 0);
    proc_destroy(proc, false);
    proc_path(&p, 3, "json", path);
    good = json_load_file(path, 0, NULL);
    assert_non_null(good);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        json_t *j = json_copy(good);

        json_object_set_new(j, bad[i].key, json_loads(bad[i].value, JSON_DECODE_ANY, NULL));
        assert_int_equal(json_dump_file(j, path, 0), 0);
        assert_damaged(&p, 3);
        json_object_del(j, bad[i].key);
        assert_int_equal(json_dump_file(j, path, 0), 0);
        assert_damaged(&p, 3);
        json_decref(j);
    }
    json_decref(good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        kit_test(all_of_it_comes_back),
        kit_test(a_directory_comes_back),
        kit_test(what_is_cut_short_is_damaged),
        kit_test(what_has_wrong_fields_is_damaged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
