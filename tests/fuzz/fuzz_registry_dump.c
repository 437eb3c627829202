/*
 * fuzz_registry_dump.c - a snapshot from another machine. The sum at its end is set right, so that
 * what is behind it is reached. What is taken over must come out again byte for byte; what is
 * refused must leave the state as it was.
 */
#include "cluster/registry_private.h"
#include "cluster/registry_tables.h"
#include "tests/unit/tempdir.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct registry_command *const tables[] = { registry_base_commands, NULL };
static struct registry *r;
static char dir[256];

static void clean(void)
{
    registry_close(r);
    tempdir_remove(dir);
}

static void start(void)
{
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
    tempdir_make(dir);
    /* In the form of the corpus: what was older would come out in the new form. */
    if (registry_open_as(&r, dir, "fuzz", tables, 1, registry_upgrades, NULL) < 0)
        abort();
    atexit(clean);
}

static void set_sum(uint8_t *p, size_t n)
{
    uint64_t sum = 0xcbf29ce484222325;

    if (n < 8)
        return;
    for (size_t i = 0; i < n - 8; i++)
        sum = (sum ^ p[i]) * 0x100000001b3;
    for (size_t i = 0; i < 8; i++)
        p[n - 8 + i] = (uint8_t)(sum >> (56 - 8 * i));
}

/* Everything can be read, whatever it is. */
static void walk(void)
{
    char key[REGISTRY_KEY_MAX] = "", id[40];
    struct registry_view *v;
    json_t *value;
    int rc;

    registry_id(r, id);
    if (registry_read(r, &v) < 0)
        abort();
    while ((rc = view_next(v, "", key, key, NULL)) == 0) {
        if (view_get(v, key, &value) == 0)
            json_decref(value);
    }
    if (rc != -ENOENT)
        abort();
    registry_view_end(v);
}

static void expect_dump(const void *p, size_t n)
{
    void *q;
    size_t m;

    if (registry_dump(r, &q, &m) < 0 || n != m || memcmp(p, q, n) != 0)
        abort();
    free(q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + !size);
    size_t was_len;
    void *was;
    int rc;

    if (!r)
        start();
    if (!copy || registry_wipe(r) < 0 || registry_dump(r, &was, &was_len) < 0)
        abort();
    if (size)
        memcpy(copy, data, size);
    set_sum(copy, size);
    rc = registry_restore(r, 7, copy, size);
    if (rc == 0)
        expect_dump(copy, size);
    else if (rc == -EBADMSG || rc == -EPROTONOSUPPORT)
        expect_dump(was, was_len);
    else
        abort();
    walk();
    free(was);
    free(copy);
    return 0;
}
