/*
 * fuzz_job_cmd.c - commands about jobs, one a line, as consensus hands them in: none may stop the
 * registry, and every record stays one.
 */
#include "cluster/registry_tables.h"
#include "sched/job_cmd.h"
#include "tests/unit/tempdir.h"

#include <stdint.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct registry *registry;
static char dir[256];

static const struct registry_command *const tables[] = { registry_base_commands, member_commands,
                                                         service_commands, job_commands, NULL };

static void clean(void)
{
    registry_close(registry);
    tempdir_remove(dir);
}

static void start(void)
{
    if (access("/dev/shm", W_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 0);
    tempdir_make(dir);
    if (registry_open(&registry, dir, "fuzz", tables, NULL) < 0)
        abort();
    atexit(clean);
}

static void check(void)
{
    char key[REGISTRY_KEY_MAX] = "";
    struct registry_view *v;
    json_t *value;

    if (registry_read(registry, &v) < 0)
        abort();
    while (view_next(v, JOB_KEY, key, key, &value) == 0) {
        struct job j;

        if (job_decode(key + strlen(JOB_KEY), value, &j) < 0)
            abort();
        job_clear(&j);
        json_decref(value);
    }
    registry_view_end(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t index = 0;

    if (!registry)
        start();
    if (registry_wipe(registry) < 0)
        abort();
    while (size > 0) {
        const uint8_t *end = memchr(data, '\n', size);
        size_t n = end ? (size_t)(end - data) : size;

        if (registry_committed(registry, ++index, data, n) < 0)
            abort();
        data += end ? n + 1 : n;
        size -= end ? n + 1 : n;
    }
    if (registry_flush(registry, NULL, NULL) < 0 && !strstr(registry_trouble(registry), "schema"))
        abort();
    check();
    return 0;
}
