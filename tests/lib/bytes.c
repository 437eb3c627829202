/*
 * bytes.c - a stream whose every byte is known, to prove that none was lost, doubled or changed.
 *
 *   bytes make SIZE [SEED]    writes it to standard output
 *   bytes check SIZE [SEED]   reads standard input to its end; says where it first differs
 *
 * SIZE takes K, M and G (powers of 1024). Each 8 bytes are a mix of their position and the seed,
 * so that what comes twice or in the wrong place differs at once. Exit: 0, or 1 with a sentence.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORDS 8192 /* 64 KiB at a time */

/* The finalizer of splitmix64: every bit of the position changes half of the result. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

static void fill(uint64_t *words, uint64_t position, uint64_t seed)
{
    for (size_t i = 0; i < WORDS; i++)
        words[i] = mix(seed ^ (position / 8 + i));
}

static int fail(const char *what, uint64_t at)
{
    fprintf(stderr, "bytes: %s at byte %llu\n", what, (unsigned long long)at);
    return 1;
}

static int make(uint64_t size, uint64_t seed)
{
    static uint64_t words[WORDS];

    for (uint64_t at = 0; at < size; at += sizeof words) {
        size_t n = size - at < sizeof words ? size - at : sizeof words;

        fill(words, at, seed);
        for (size_t done = 0; done < n;) {
            ssize_t k = write(STDOUT_FILENO, (char *)words + done, n - done);

            if (k < 0 && errno == EINTR)
                continue;
            if (k < 0)
                return fail(strerrorname_np(errno), at + done);
            done += k;
        }
    }
    return 0;
}

/* Fills buf; less than n only at the end. Negative: an error. */
static ssize_t read_full(char *buf, size_t n, uint64_t *at)
{
    size_t have = 0;

    while (have < n) {
        ssize_t k = read(STDIN_FILENO, buf + have, n - have);

        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return -1;
        if (k == 0)
            break;
        have += k;
        *at += k;
    }
    return have;
}

static int check(uint64_t size, uint64_t seed)
{
    static uint64_t want[WORDS], have[WORDS];
    uint64_t at = 0;

    for (uint64_t begin = 0;; begin = at) {
        ssize_t n = read_full((char *)have, sizeof have, &at);

        if (n < 0)
            return fail(strerrorname_np(errno), at);
        fill(want, begin, seed);
        for (ssize_t i = 0; i < n; i++) {
            if (begin + i >= size)
                return fail("more than expected", begin + i);
            if (((char *)have)[i] != ((char *)want)[i])
                return fail("the first wrong byte is", begin + i);
        }
        if (n < (ssize_t)sizeof have)
            break;
    }
    if (at < size)
        return fail("end of file, too early,", at);
    printf("%llu bytes, all as they should be\n", (unsigned long long)at);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 || argc == 4) {
        char *unit;
        uint64_t size = strtoull(argv[2], &unit, 10);
        uint64_t seed = argc == 4 ? strtoull(argv[3], NULL, 10) : 0;

        if (*unit && strchr("KMG", *unit))
            size <<= *unit == 'K' ? 10 : *unit == 'M' ? 20 : 30;
        if (!strcmp(argv[1], "make"))
            return make(size, seed);
        if (!strcmp(argv[1], "check"))
            return check(size, seed);
    }
    fprintf(stderr, "usage: bytes make|check SIZE [SEED]\n");
    return 64;
}
