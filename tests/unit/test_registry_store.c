/*
 * test_registry_store.c - the file: starts after other ends, damage, snapshots, schemas, full
 * disks.
 *
 * data/registry-schema-1 is a snapshot by the first version. `test_registry_store FILE` makes one
 * of the present version.
 */
#include "registry_kit.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

/* Touches all that can be read; how many keys. */
static size_t walk(struct kit *k)
{
    char key[REGISTRY_KEY_MAX] = "";
    struct registry_view *v;
    const char *text;
    size_t n = 0, len, touched = 0;
    int rc;

    assert_int_equal(registry_read(k->r, &v), 0);
    while ((rc = view_next(v, "", key, key, NULL)) == 0) {
        if (view_text(v, key, &text, &len) == 0)
            touched += strnlen(text, len);
        n++;
    }
    assert_int_equal(rc, -ENOENT);
    assert_true(touched >= n);
    registry_view_end(v);
    return n;
}

/* What would be found if its process were killed now. */
static void copy_of(const struct kit *k, struct kit *killed)
{
    static const char *const names[] = { "state.mdb", "state.mark" };
    char path[300];

    *killed = (struct kit){ .index = 0 };
    kit_folder(killed);
    for (size_t i = 0; i < 2; i++) {
        size_t n;
        char *p;

        kit_path(k, names[i], path);
        p = kit_read(path, &n);
        kit_path(killed, names[i], path);
        kit_write(path, p, n);
        free(p);
    }
}

/* ---- starts */

static void other_boot(void **state)
{
    struct kit k, killed;

    (void)state;
    kit_open(&k);
    kit_fill(&k, 10);
    copy_of(&k, &killed);
    registry_close(k.r);
    /* The machine died. */
    kit_open_boot(&killed, "another");
    assert_int_equal(registry_index(killed.r), 0);
    assert_value(&killed, "kv/k1", "");
    /* Closed as it should be, it outlives the boot. */
    kit_open_boot(&k, "another");
    assert_int_equal(registry_index(k.r), 10);
    assert_true(*kit_text(&k, "kv/k1"));
    kit_close(&killed);
    kit_close(&k);
}

/* A process that is killed takes nothing with it that was applied. */
static void same_boot(void **state)
{
    struct kit k, killed;

    (void)state;
    kit_open(&k);
    kit_fill(&k, 300);
    copy_of(&k, &killed);
    kit_open_boot(&killed, BOOT);
    assert_int_equal(registry_index(killed.r), 300);
    assert_int_equal(walk(&killed), 302);
    kit_close(&killed);
    kit_close(&k);
}

static void no_folder(void **state)
{
    struct registry *r;
    struct oerr e;

    (void)state;
    assert_int_equal(registry_open(&r, "/proc/none", BOOT, kit_tables, &e), -ENOENT);
    assert_non_null(strstr(e.text, "/proc/none"));
}

static void twice_the_same_name(void **state)
{
    const struct registry_command *const tables[] = { kit_commands, kit_commands, NULL };
    struct registry *r;
    struct oerr e;
    struct kit k;

    (void)state;
    kit_open(&k);
    assert_int_equal(registry_open(&r, k.dir, BOOT, tables, &e), -EEXIST);
    kit_close(&k);
}

/* ---- damage */

/* It opens, can be read from end to end and written, and then closes. */
static void is_usable(struct kit *k)
{
    char key[40];

    kit_open_boot(k, BOOT);
    walk(k);
    for (int i = 0; i < 40; i++) {
        snprintf(key, sizeof key, "k%d", i * 7);
        assert_int_equal(kit_run(k, "'kv.set','key':'%s','value':'%0150d'", key, i), 0);
        assert_int_equal(kit_run(k, "'kv.del','key':'%s'", key), 0);
    }
    walk(k);
    registry_close(k->r);
}

static void cut_short(void **state)
{
    char path[300];
    struct kit k;
    size_t n;
    char *p;

    (void)state;
    kit_open(&k);
    kit_fill(&k, 300);
    kit_run(&k, "'kv.set','key':'big','value':'%03000d'", 1);
    registry_close(k.r);
    kit_path(&k, "state.mdb", path);
    p = kit_read(path, &n);
    for (size_t left = 0; left < n; left += left < 9000 ? 997 : 9973) {
        for (int clean = 0; clean < 2; clean++) {
            kit_write(path, p, left);
            if (!clean)
                kit_mark(&k, "schema 1\nboot " BOOT "\n");
            kit_open_boot(&k, BOOT);
            /* Behind the end there may have been nothing but free pages. */
            if (clean || registry_index(k.r))
                assert_int_equal(walk(&k), clean ? 2 : 303);
            registry_close(k.r);
        }
        is_usable(&k);
    }
    free(p);
    kit_open_boot(&k, BOOT);
    kit_close(&k);
}

static void closed_and_changed(void **state)
{
    char path[300];
    struct kit k;
    size_t n;
    char *p;

    (void)state;
    kit_open(&k);
    kit_fill(&k, 10);
    kit_reopen(&k);
    assert_int_equal(registry_index(k.r), 10);
    registry_close(k.r);
    kit_path(&k, "state.mdb", path);
    p = kit_read(path, &n);
    *(char *)memmem(p, n, "kv/k1", 5) ^= 1;
    kit_write(path, p, n);
    free(p);
    kit_open_boot(&k, BOOT);
    assert_int_equal(registry_index(k.r), 0);
    kit_close(&k);
}

/* Bytes anywhere: no crash, whatever LMDB would make of them. */
static void flipped(void **state)
{
    unsigned seed = 1;
    size_t n, kept = 0;
    char path[300];
    struct kit k;
    char *p, *q;

    (void)state;
    kit_open(&k);
    kit_fill(&k, 400);
    for (int i = 0; i < 200; i += 2)
        kit_run(&k, "'kv.del','key':'k%d'", i);
    for (int i = 0; i < 5; i++)
        kit_run(&k, "'kv.set','key':'big%d','value':'%03900d'", i, i);
    registry_close(k.r);
    kit_path(&k, "state.mdb", path);
    p = kit_read(path, &n);
    q = malloc(n);
    for (int round = 0; round < 500; round++) {
        memcpy(q, p, n);
        for (int flips = 1 + round % 4; flips; flips--) {
            /* Half of them in the heads of pages, where they hurt most. */
            size_t at = (size_t)rand_r(&seed) % n;

            at = rand_r(&seed) % 2 ? at : at / 4096 * 4096 + at % 160;
            q[at] = (char)(rand_r(&seed) % 3 ? q[at] ^ 1 << rand_r(&seed) % 8 : rand_r(&seed));
        }
        kit_write(path, q, n);
        kit_mark(&k, "schema 1\nboot " BOOT "\n");
        kit_open_boot(&k, BOOT);
        kept += registry_index(k.r) != 0;
        registry_close(k.r);
        kit_write(path, q, n);
        kit_mark(&k, "schema 1\nboot " BOOT "\n");
        is_usable(&k);
    }
    /* Most are found, but not all can be: a byte of a value is as good as another. */
    assert_in_range(kept, 1, 450);
    free(p);
    free(q);
    kit_open_boot(&k, BOOT);
    kit_close(&k);
}

static void marks(void **state)
{
    static const char *const bad[] = { "",
                                       "nonsense",
                                       "schema 1\n",
                                       "schema 1\nclean\n",
                                       "schema 1\nclean 12\n",
                                       "schema 0\nboot " BOOT "\n" };
    struct registry *r;
    struct oerr e;
    struct kit k;

    (void)state;
    kit_open(&k);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        kit_fill(&k, 3);
        registry_close(k.r);
        kit_mark(&k, bad[i]);
        kit_open_boot(&k, BOOT);
        assert_int_equal(registry_index(k.r), 0);
    }
    kit_fill(&k, 3);
    registry_close(k.r);
    /* What a newer one wrote is not thrown away. */
    kit_mark(&k, "schema 2\nboot another\n");
    assert_int_equal(registry_open_as(&r, k.dir, BOOT, kit_tables, 1, registry_upgrades, &e),
                     -EPROTONOSUPPORT);
    assert_non_null(strstr(e.text, "newer oneosd (schema 2; this one knows 1)"));
    kit_mark(&k, "schema 1\nboot " BOOT "\n");
    kit_open_boot(&k, BOOT);
    assert_int_equal(registry_index(k.r), 3);
    kit_close(&k);
}

/* ---- no room */

static void map_grows(void **state)
{
    size_t was = store_first_map;
    struct registry_view *v;
    const char *text;
    struct kit k;
    size_t n;

    (void)state;
    store_first_map = 64 * 4096;
    kit_open(&k);
    kit_run(&k, "'kv.set','key':'a','value':1");
    assert_int_equal(registry_read(k.r, &v), 0);
    assert_int_equal(view_text(v, "kv/a", &text, &n), 0);
    /* Not while somebody reads. */
    for (int i = 0; i < 300; i++) {
        char cmd[300];

        snprintf(cmd, sizeof cmd,
                 "{\"v\":1,\"cmd\":\"kv.set\",\"key\":\"k%d\",\"value\":\"%0200d\"}", i, i);
        kit_queue(&k, cmd);
        if (registry_flush(k.r, kit_applied, &k) < 0)
            break;
    }
    assert_non_null(registry_trouble(k.r));
    assert_int_equal(registry_flush(k.r, kit_applied, &k), -ENOSPC);
    assert_string_equal(text, "1");
    registry_view_end(v);
    assert_int_equal(registry_flush(k.r, kit_applied, &k), 0);
    assert_null(registry_trouble(k.r));
    for (int i = 0; i < 5000; i++)
        assert_int_equal(kit_run(&k, "'kv.set','key':'l%d','value':'%0200d'", i, i), 0);
    assert_true(*kit_text(&k, "kv/l4999"));
    kit_reopen(&k);
    assert_true(*kit_text(&k, "kv/l4999"));
    store_first_map = was;
    kit_close(&k);
}

static void remount(const char *dir, const char *size)
{
    char opt[40];

    snprintf(opt, sizeof opt, "size=%s", size);
    assert_int_equal(mount("tmpfs", dir, "tmpfs", MS_REMOUNT, opt), 0);
}

static void full_disk(void **state)
{
    char path[300], full[REGISTRY_KEY_MAX];
    int last = 0, rc;
    struct kit k = { .index = 0 };

    (void)state;
    if (unshare(CLONE_NEWNS) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
        skip();
    tempdir_make(k.dir);
    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL);
    if (mount("tmpfs", k.dir, "tmpfs", 0, "size=1m") < 0) {
        tempdir_remove(k.dir);
        skip();
    }
    kit_open_boot(&k, BOOT);
    for (rc = 0; rc == 0; last++) {
        char cmd[20300]; /* large: the last write is cut short */

        snprintf(cmd, sizeof cmd,
                 "{\"v\":1,\"cmd\":\"kv.set\",\"key\":\"k%d\",\"value\":\"%020000d\"}", last, last);
        kit_queue(&k, cmd);
        rc = registry_flush(k.r, kit_applied, &k);
    }
    assert_int_equal(rc, -ENOSPC);
    assert_non_null(strstr(registry_trouble(k.r), "the disk is full"));
    assert_int_equal(k.answers, last - 1);
    assert_int_equal(registry_index(k.r), last - 1);
    /* Reading goes on; what comes meanwhile waits. */
    snprintf(full, sizeof full, "kv/k%d", last - 2);
    assert_true(*kit_text(&k, full));
    kit_queue(&k, "{\"v\":1,\"cmd\":\"kv.add\",\"key\":\"n\"}");
    for (int i = 0; i < 20; i++)
        assert_int_equal(registry_flush(k.r, kit_applied, &k), -ENOSPC);
    remount(k.dir, "8m");
    assert_int_equal(registry_flush(k.r, kit_applied, &k), 0);
    assert_int_equal(k.answers, last + 1);
    assert_null(registry_trouble(k.r));
    assert_value(&k, "kv/n", "1");
    registry_close(k.r);

    /* No room to start: said, and nothing lost. */
    kit_path(&k, "fill", path);
    rc = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_equal(posix_fallocate(rc, 0, 16 << 20), ENOSPC);
    for (char page[4096] = "x"; write(rc, page, sizeof page) > 0;)
        continue;
    close(rc);
    {
        struct oerr e;

        rc = registry_open(&k.r, k.dir, BOOT, kit_tables, &e);
        assert_int_equal(rc, -ENOSPC);
        assert_non_null(strstr(e.text, k.dir));
    }
    unlink(path);
    kit_open_boot(&k, BOOT);
    assert_value(&k, "kv/n", "1");
    registry_close(k.r);
    json_decref(k.body);
    umount2(k.dir, MNT_DETACH);
    tempdir_remove(k.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_boot), cmocka_unit_test(same_boot),
        cmocka_unit_test(no_folder),  cmocka_unit_test(twice_the_same_name),
        cmocka_unit_test(cut_short),  cmocka_unit_test(closed_and_changed),
        cmocka_unit_test(flipped),    cmocka_unit_test(marks),
        cmocka_unit_test(map_grows),  cmocka_unit_test(full_disk),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
