/*
 * fuzz_lmdb_check.c - whatever lmdb_check() accepts, LMDB reads and writes without harm.
 *
 * The input changes a sound file: each four bytes are an offset (24 bits, big-endian) and what the
 * byte there is xored with; with the highest bit of the offset it is a page (15 bits) and one of
 * its first 256 bytes, where the structure is; offset 0xffffff cuts the file at that many pages. So
 * the inputs stay small and almost all of the file stays plausible.
 */
#include "cluster/lmdb_check.h"

#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENV_FLAGS (MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static MDB_env *open_fd(int fd, unsigned flags)
{
    MDB_env *env;
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (mdb_env_create(&env) != 0)
        abort();
    mdb_env_set_mapsize(env, 256 << 20);
    if (mdb_env_open(env, path, ENV_FLAGS | flags, 0600) == 0)
        return env;
    mdb_env_close(env);
    return NULL;
}

static int put(MDB_txn *txn, unsigned key, size_t len)
{
    static uint8_t value[20000];
    uint8_t k[4] = { (uint8_t)(key >> 24), (uint8_t)(key >> 16), (uint8_t)(key >> 8),
                     (uint8_t)key };

    return mdb_put(txn, 1, &(MDB_val){ sizeof k, k }, &(MDB_val){ len, value }, 0);
}

static int drop(MDB_txn *txn, unsigned key)
{
    uint8_t k[4] = { (uint8_t)(key >> 24), (uint8_t)(key >> 16), (uint8_t)(key >> 8),
                     (uint8_t)key };

    return mdb_del(txn, 1, &(MDB_val){ sizeof k, k }, NULL);
}

/* Short and long values, three levels, several lists of free pages. */
static uint8_t *make_sound(size_t *size)
{
    int fd = memfd_create("sound", MFD_CLOEXEC);
    MDB_env *env = open_fd(fd, 0);
    struct stat st;
    uint8_t *all;
    MDB_txn *txn;
    MDB_dbi dbi;

    for (unsigned round = 0; round < 6; round++) {
        if (mdb_txn_begin(env, NULL, 0, &txn) != 0 || mdb_dbi_open(txn, NULL, 0, &dbi) != 0)
            abort();
        for (unsigned i = 0; i < 60; i++)
            put(txn, round * 60 + i, i % 20 ? 60 : 6000);
        for (unsigned i = 0; round > 1 && i < 50; i++)
            drop(txn, (round - 2) * 60 + i);
        if (mdb_txn_commit(txn) != 0)
            abort();
    }
    mdb_env_close(env);
    fstat(fd, &st);
    *size = (size_t)st.st_size;
    all = malloc(*size);
    if (!all || pread(fd, all, *size, 0) != st.st_size)
        abort();
    close(fd);
    return all;
}

static void read_tree(MDB_env *env, MDB_dbi dbi)
{
    volatile uint8_t sum = 0;
    MDB_txn *txn;
    MDB_cursor *c;
    MDB_val k, v;
    MDB_dbi main;
    int rc;

    if (mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) != 0)
        abort();
    if (mdb_dbi_open(txn, NULL, 0, &main) != 0 || mdb_cursor_open(txn, dbi, &c) != 0)
        abort();
    while ((rc = mdb_cursor_get(c, &k, &v, MDB_NEXT)) == 0) {
        for (size_t i = 0; i < v.mv_size; i++)
            sum = (uint8_t)(sum + ((uint8_t *)v.mv_data)[i]);
        if (dbi == main && mdb_get(txn, dbi, &k, &v) != 0)
            abort(); /* what is there is found */
    }
    if (rc != MDB_NOTFOUND)
        abort();
    mdb_cursor_close(c);
    mdb_txn_abort(txn);
}

static void write_tree(MDB_env *env)
{
    for (unsigned round = 0; round < 4; round++) {
        MDB_txn *txn;
        MDB_dbi dbi;

        if (mdb_txn_begin(env, NULL, 0, &txn) != 0 || mdb_dbi_open(txn, NULL, 0, &dbi) != 0)
            abort();
        for (unsigned i = 0; i < 40; i++) {
            put(txn, 180 + 13 * (i + round), i % 9 ? 100 : 9000);
            drop(txn, 120 + 9 * i + round);
        }
        if (round == 2)
            mdb_drop(txn, dbi, 0);
        if (mdb_txn_commit(txn) != 0)
            abort();
    }
}

static int take_any(void *arg, uint64_t txn, bool newest, const void *key, size_t key_len,
                    const void *value, size_t len, struct oerr *e)
{
    uint8_t *copy = malloc(key_len + len + 1);

    (void)arg;
    (void)txn;
    (void)e;
    memcpy(copy, key, key_len);
    memcpy(copy + key_len, value, len);
    free(copy);
    return newest ? 0 : 1;
}

static void try_file(int fd)
{
    struct oerr e = { "" };
    MDB_env *env;

    if (lmdb_check(fd, take_any, NULL, &e) < 0) {
        if (!e.text[0])
            abort();
        return;
    }
    env = open_fd(fd, 0);
    if (!env)
        return;
    read_tree(env, 0);
    read_tree(env, 1);
    write_tree(env);
    mdb_env_close(env);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static uint8_t *sound;
    static size_t size;
    int fd = memfd_create("changed", MFD_CLOEXEC);

    if (!sound)
        sound = make_sound(&size);
    if (fd < 0 || pwrite(fd, sound, size, 0) != (ssize_t)size)
        abort();
    for (; n >= 4; n -= 4, data += 4) {
        size_t at = (size_t)data[0] << 16 | (size_t)data[1] << 8 | data[2];
        uint8_t byte;

        if (at == 0xffffff) {
            if (ftruncate(fd, data[3] * 4096L) < 0)
                abort();
            continue;
        }
        at = at & 0x800000 ? (at >> 8 & 0x7fff) * 4096 + (at & 0xff) : at;
        at %= size;
        byte = sound[at] ^ data[3];
        if (pwrite(fd, &byte, 1, (off_t)at) != 1)
            abort();
    }
    try_file(fd);
    close(fd);
    return 0;
}
