/*
 * identity.c - loads or makes the identity of this machine, and takes its lock.
 *
 * Order: state folder, id, own folder, lock, cluster key, identity file, incarnation. The lock
 * comes before anything of this machine's is made, so two starts at once cannot mix. What is shared
 * by several daemons
 * (`.id`, `cluster.key`) is made by file_make(): one of them wins and the others read its file.
 *
 * Invariant: a file that is there is used or refused, never replaced, except `incarnation`, which
 * every start rewrites, and `cluster.key`, which identity_set_cluster_key() replaces.
 */
#include "net/identity.h"
#include "net/identity_private.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/loop.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uuid/uuid.h>

#define KEY_FILE_WORD "oneos-cluster-key-1 "

int identity_check_id(const char *id, struct oerr *e)
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t n = strlen(id);

    if (n == 0)
        return oerr_set(e, -EINVAL, "a machine id must not be empty");
    if (n >= ID_MAX)
        return oerr_set(e, -EINVAL,
                        "the machine id %.20s... has %zu characters, but at most %d may be", id, n,
                        ID_MAX - 1);
    if (!strchr(allowed, id[0]) || strchr("._-", id[0]) || id[strspn(id, allowed)] != '\0')
        return oerr_set(e, -EINVAL,
                        "the machine id %s is not well formed: letters, digits, '.', '_' and '-', "
                        "beginning with a letter or digit",
                        id);
    if (strcmp(id, "cluster.key") == 0)
        return oerr_set(e, -EINVAL, "cluster.key is the name of a file and cannot be a machine id");
    return 0;
}

static int join_path(char out[4096], const char *folder, const char *name, struct oerr *e)
{
    if (snprintf(out, 4096, "%s/%s", folder, name) >= 4096 - 32)
        return oerr_set(e, -ENAMETOOLONG, "the path of the state folder %.60s... is too long",
                        folder);
    return 0;
}

/* The id of a machine that was given none: the saved one, else a fresh one. */
static int saved_id(const char *state, char id[ID_MAX], struct oerr *e)
{
    char path[4096], text[ID_MAX + 2];
    uuid_t fresh;
    int rc = join_path(path, state, ".id", e);

    if (rc < 0)
        return rc;
    if (access(path, F_OK) < 0 && errno == ENOENT) {
        uuid_generate(fresh);
        uuid_unparse_lower(fresh, text);
        strcat(text, "\n");
        rc = file_make(path, text, strlen(text), e);
        if (rc < 0 && rc != -EEXIST)
            return rc;
    }
    rc = file_read(path, false, text, sizeof text, e);
    if (rc < 0)
        return rc;
    if (strlen(text) < 2 || text[strlen(text) - 1] != '\n')
        return oerr_set(e, -EBADMSG,
                        "%s is damaged: write the machine's id into it, or start with an id", path);
    text[strlen(text) - 1] = '\0';
    if (identity_check_id(text, NULL) < 0)
        return oerr_set(e, -EBADMSG,
                        "%s is damaged: %.80s is not a machine id; write the right one into it",
                        path, text);
    strcpy(id, text);
    return 0;
}

static int take_lock(struct identity *i, struct oerr *e)
{
    char path[4096], pid[16] = "";
    int rc = join_path(path, i->dir, "lock", e);

    if (rc < 0)
        return rc;
    i->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (i->lock_fd < 0)
        return oerr_set(e, -errno, "cannot open %s: %s", path, strerror(errno));
    if (flock(i->lock_fd, LOCK_EX | LOCK_NB) < 0) {
        rc = errno == EWOULDBLOCK ? -EBUSY : -errno;
        if (rc != -EBUSY)
            return oerr_set(e, rc, "cannot lock %s: %s", path, strerror(-rc));
        if (pread(i->lock_fd, pid, sizeof pid - 1, 0) <= 0 || pid[strspn(pid, "0123456789\n")])
            strcpy(pid, "unknown");
        pid[strcspn(pid, "\n")] = '\0';
        return oerr_set(
            e, rc,
            "the machine %s is already running here as process %s (it holds %s): stop it, "
            "or start with another id",
            i->id, pid, path);
    }
    snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    if (ftruncate(i->lock_fd, 0) < 0 || pwrite(i->lock_fd, pid, strlen(pid), 0) < 0)
        return oerr_set(e, -errno, "cannot write %s: %s", path, strerror(errno));
    return 0;
}

static void key_text(const uint8_t key[CLUSTER_KEY], char text[128])
{
    size_t n = (size_t)sprintf(text, "%s", KEY_FILE_WORD);

    for (int at = 0; at < CLUSTER_KEY; at++)
        n += (size_t)sprintf(text + n, "%02x", key[at]);
    strcpy(text + n, "\n");
}

static int key_parse(const char *path, const char *text, uint8_t key[CLUSTER_KEY], struct oerr *e)
{
    size_t word = strlen(KEY_FILE_WORD);
    const char *hex = text + word;

    if (strncmp(text, KEY_FILE_WORD, word) != 0 || strlen(hex) != 2 * CLUSTER_KEY + 1 ||
        strspn(hex, "0123456789abcdef") != 2 * CLUSTER_KEY || hex[2 * CLUSTER_KEY] != '\n')
        return oerr_set(
            e, -EBADMSG,
            "%s is damaged: put a good copy from another machine in its place, or move it away "
            "to begin a new cluster",
            path);
    for (int at = 0; at < CLUSTER_KEY; at++) {
        unsigned byte = 0;

        sscanf(hex + 2 * at, "%2x", &byte);
        key[at] = (uint8_t)byte;
    }
    return 0;
}

static void name_cluster(struct identity *i)
{
    uint8_t mac[32];

    identity_mac(i, "cluster name", "", 0, mac);
    for (int at = 0; at < 8; at++)
        sprintf(i->cluster_name + 2 * at, "%02x", mac[at]);
}

static int load_cluster_key(struct identity *i, struct oerr *e)
{
    char text[128];
    int rc = 0;

    if (access(i->key_file, F_OK) < 0 && errno == ENOENT) {
        if (RAND_priv_bytes(i->cluster_key, CLUSTER_KEY) != 1)
            return oerr_set(e, -EIO, "OpenSSL has no random bytes for a cluster key");
        key_text(i->cluster_key, text);
        rc = file_make(i->key_file, text, strlen(text), e);
        if (rc < 0 && rc != -EEXIST)
            goto out;
        i->cluster_key_made = rc == 0;
    }
    rc = file_read(i->key_file, true, text, sizeof text, e);
    if (rc == 0)
        rc = key_parse(i->key_file, text, i->cluster_key, e);
    if (rc == 0)
        name_cluster(i);
out:
    OPENSSL_cleanse(text, sizeof text);
    return rc;
}

int identity_set_cluster_key(struct identity *i, const uint8_t key[CLUSTER_KEY], struct oerr *e)
{
    char text[128];
    int rc;

    key_text(key, text);
    rc = file_replace(i->key_file, text, strlen(text), e);
    OPENSSL_cleanse(text, sizeof text);
    if (rc < 0)
        return rc;
    memcpy(i->cluster_key, key, CLUSTER_KEY);
    i->key_serial++;
    i->cluster_key_made = false;
    name_cluster(i);
    return 0;
}

/* The clock may have been set back since the last start: an incarnation only grows. */
static int next_incarnation(struct identity *i, struct oerr *e)
{
    char path[4096], text[32], *end;
    uint64_t last = 0, now = wall_us();
    int rc = join_path(path, i->dir, "incarnation", e);

    if (rc < 0)
        return rc;
    rc = file_read(path, false, text, sizeof text, e);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    if (rc == 0) {
        errno = 0;
        last = strtoumax(text, &end, 10);
        if (!isdigit((unsigned char)text[0]) || strcmp(end, "\n") != 0 || errno || last > INT64_MAX)
            return oerr_set(e, -EBADMSG,
                            "%s is damaged: remove it if this machine's clock is right", path);
    }
    i->incarnation = now > last ? now : last + 1;
    snprintf(text, sizeof text, "%" PRIu64 "\n", i->incarnation);
    return file_replace(path, text, strlen(text), e);
}

static int load_boot_id(struct identity *i, struct oerr *e)
{
    char text[64];
    static const char path[] = "/proc/sys/kernel/random/boot_id";
    int rc = file_read(path, false, text, sizeof text, e);

    if (rc < 0)
        return rc;
    text[strcspn(text, "\n")] = '\0';
    if (strlen(text) >= sizeof i->boot_id)
        return oerr_set(e, -EBADMSG, "%s is not what this kernel should say: %s", path, text);
    strcpy(i->boot_id, text);
    return 0;
}

static int load(struct identity *i, const struct identity_options *opt, struct oerr *e)
{
    int rc = opt->id ? identity_check_id(opt->id, e) : 0;

    if (rc < 0 || (rc = file_folder(opt->state, e)) < 0)
        return rc;
    if (opt->id)
        strcpy(i->id, opt->id);
    else if ((rc = saved_id(opt->state, i->id, e)) < 0)
        return rc;
    if ((rc = join_path(i->dir, opt->state, i->id, e)) < 0 || (rc = file_folder(i->dir, e)) < 0 ||
        (rc = take_lock(i, e)) < 0)
        return rc;
    if (!opt->cluster_key_file)
        rc = join_path(i->key_file, opt->state, "cluster.key", e);
    else if (snprintf(i->key_file, sizeof i->key_file, "%s", opt->cluster_key_file) >= 4096 - 32)
        rc = oerr_set(e, -ENAMETOOLONG, "the path of the cluster key %.60s... is too long",
                      opt->cluster_key_file);
    if (rc < 0 || (rc = load_cluster_key(i, e)) < 0 || (rc = identity_load_keys(i, e)) < 0 ||
        (rc = load_boot_id(i, e)) < 0)
        return rc;
    return next_incarnation(i, e);
}

int identity_load(struct identity **out, const struct identity_options *opt, struct oerr *e)
{
    struct identity *i = calloc(1, sizeof *i);
    int rc;

    if (!i)
        return oerr_set(e, -ENOMEM, "out of memory");
    i->lock_fd = -1;
    rc = load(i, opt, e);
    if (rc < 0) {
        identity_destroy(i);
        return rc;
    }
    *out = i;
    return 0;
}

void identity_destroy(struct identity *i)
{
    if (!i)
        return;
    EVP_PKEY_free(i->tls_key);
    X509_free(i->tls_cert);
    if (i->lock_fd >= 0)
        close(i->lock_fd);
    OPENSSL_cleanse(i, sizeof *i);
    free(i);
}
