/*
 * fuzz_job.c - records of jobs: what is read is written so that it reads the same again.
 */
#include "sched/job.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *value = json_loadb((const char *)data, size, 0, NULL), *once, *twice;
    char line[128];
    struct job j;

    if (value && job_decode("x", value, &j) == 0) {
        job_verdict(&j, line);
        once = job_encode(&j);
        job_clear(&j);
        if (!once || job_decode("x", once, &j) < 0)
            abort();
        twice = job_encode(&j);
        if (!json_equal(once, twice))
            abort();
        json_decref(once);
        json_decref(twice);
        job_clear(&j);
    }
    json_decref(value);
    return 0;
}
