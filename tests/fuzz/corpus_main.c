/*
 * corpus_main.c - main() for a fuzz target without libFuzzer: runs it over files.
 *
 * With arguments over those files; without, as a test, over all of tests/fuzz/corpus/NAME in the
 * source tree for the program fuzz_NAME. An empty or missing corpus is a failure.
 */
#include "base/cleanup.h"

#include <errno.h>
#include <glob.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path)
{
    cleanup_fclose FILE *f = fopen(path, "re");
    cleanup_free uint8_t *data = NULL;
    long size;

    if (!f || fseek(f, 0, SEEK_END) < 0 || (size = ftell(f)) < 0 || fseek(f, 0, SEEK_SET) < 0) {
        fprintf(stderr, "%s cannot be read: %s\n", path, strerror(errno));
        return -1;
    }
    /* Exactly as long as the input, so that a sanitizer sees a read behind its end. */
    data = malloc((size_t)size + !size);
    if (!data || fread(data, 1, (size_t)size, f) != (size_t)size) {
        fprintf(stderr, "%s cannot be read\n", path);
        return -1;
    }
    LLVMFuzzerTestOneInput(data, (size_t)size);
    return 0;
}

static int run_corpus(const char *program)
{
    const char *srcdir = getenv("srcdir"), *name = strstr(program, "fuzz_");
    char pattern[4096];
    glob_t found;
    int rc = 0;

    for (const char *next; name && (next = strstr(name + 1, "fuzz_"));)
        name = next;
    if (!name)
        return fprintf(stderr, "%s is not called fuzz_NAME\n", program), 1;
    snprintf(pattern, sizeof pattern, "%s/tests/fuzz/corpus/%s/*", srcdir ? srcdir : ".",
             name + strlen("fuzz_"));
    if (glob(pattern, 0, NULL, &found) != 0)
        return fprintf(stderr, "there is no corpus: %s\n", pattern), 1;
    for (size_t i = 0; i < found.gl_pathc; i++)
        rc |= run_file(found.gl_pathv[i]);
    printf("%zu inputs\n", found.gl_pathc);
    globfree(&found);
    return rc ? 1 : 0;
}

int main(int argc, char **argv)
{
    int rc = 0;

    if (argc < 2)
        return run_corpus(argv[0]);
    for (int i = 1; i < argc; i++)
        rc |= run_file(argv[i]);
    return rc ? 1 : 0;
}
