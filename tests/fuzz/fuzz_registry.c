/*
 * fuzz_registry.c - commands, one a line, as consensus hands them in: whatever was agreed on.
 *
 * Two registries get the same, one all at once, one by one: none may be stuck but before a command
 * of a newer schema, and both states must be equal.
 */
#include "cluster/registry_tables.h"
#include "tests/unit/tempdir.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct registry *one, *two;
static char dirs[2][256];

static int set(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    const char *key = arg_text(cmd, "key", 100, e);
    json_t *value = json_object_get(cmd, "value");
    char full[REGISTRY_KEY_MAX];

    if (!key || !value)
        return -EINVAL;
    arg_key(full, "kv", key);
    *result = json_incref(value);
    return txn_put(t, full, json_incref(value));
}

static int del(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    const char *key = arg_text(cmd, "key", 100, e);
    char full[REGISTRY_KEY_MAX];

    (void)result;
    if (!key)
        return -EINVAL;
    arg_key(full, "kv", key);
    return txn_del(t, full);
}

static const struct registry_command commands[] = { { "kv.set", 1, set },
                                                    { "kv.del", 1, del },
                                                    { 0 } };
static const struct registry_command *const tables[] = { registry_base_commands, member_commands,
                                                         service_commands, commands, NULL };

static void clean(void)
{
    registry_close(one);
    registry_close(two);
    tempdir_remove(dirs[0]);
    tempdir_remove(dirs[1]);
}

static void start(void)
{
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
    tempdir_make(dirs[0]);
    tempdir_make(dirs[1]);
    if (registry_open(&one, dirs[0], "fuzz", tables, NULL) < 0 ||
        registry_open(&two, dirs[1], "fuzz", tables, NULL) < 0)
        abort();
    atexit(clean);
}

static void applied(void *arg, uint64_t index, const json_t *cmd,
                    const struct registry_result *result)
{
    (void)index;
    ++*(size_t *)arg;
    if (!json_is_object(cmd) || result->rc > 0 || (result->rc < 0) != (*result->words.text != 0) ||
        (result->rc < 0 && result->body))
        abort();
}

static int flush(struct registry *r, size_t *answers)
{
    int rc = registry_flush(r, applied, answers);

    if (rc != 0 && rc != -EPROTONOSUPPORT)
        abort();
    if ((rc != 0) != (registry_trouble(r) != NULL))
        abort();
    return rc;
}

static void compare(void)
{
    void *p = NULL, *q = NULL;
    size_t n = 0, m = 0;
    int rc = registry_dump(one, &p, &n);

    if (registry_dump(two, &q, &m) != rc || n != m || (n && memcmp(p, q, n) != 0))
        abort();
    free(p);
    free(q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t answers[2] = { 0 };
    uint64_t index = 0;

    if (!one)
        start();
    if (registry_wipe(one) < 0 || registry_wipe(two) < 0)
        abort();
    while (size) {
        const uint8_t *nl = memchr(data, '\n', size);
        size_t n = nl ? (size_t)(nl - data) : size;

        index++;
        registry_committed(one, index, data, n);
        registry_committed(two, index, data, n);
        flush(two, &answers[1]);
        n += nl != NULL;
        data += n;
        size -= n;
    }
    flush(one, &answers[0]);
    if (answers[0] != answers[1] || registry_index(one) != registry_index(two))
        abort();
    compare();
    return 0;
}
