/*
 * test_identity.c - identity.h: files made once, read back, refused when damaged; MACs; tokens.
 */
#include "net/identity.h"
#include "base/file.h"
#include "base/loop.h"
#include "tests/unit/tempdir.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char state[256];
static struct oerr err;

static int setup(void **unused)
{
    (void)unused;
    tempdir_make(state);
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    tempdir_remove(state);
    return 0;
}

static int load(const char *id, struct identity **out)
{
    struct identity_options opt = { .state = state, .id = id };

    *out = NULL;
    err.text[0] = '\0';
    return identity_load(out, &opt, &err);
}

static struct identity *must_load(const char *id)
{
    struct identity *i;

    if (load(id, &i) < 0)
        fail_msg("identity_load: %s", err.text);
    return i;
}

static const char *at(const char *name)
{
    static char path[512];

    snprintf(path, sizeof path, "%s/%s", state, name);
    return path;
}

static void spoil(const char *name, const char *text)
{
    int fd = open(at(name), O_WRONLY | O_TRUNC);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void ids_are_checked(void **unused)
{
    static const char *const good[] = { "A", "node-1", "0", "a.b_c-D" };
    static const char *const bad[] = { "",    ".",   "..",       "-a",  "_a",   ".id",        "a/b",
                                       "a b", "a\n", "\xc3\xa9", "a\"", "../x", "cluster.key" };
    char longest[ID_MAX + 1];

    (void)unused;
    for (size_t n = 0; n < sizeof good / sizeof *good; n++)
        assert_int_equal(identity_check_id(good[n], &err), 0);
    for (size_t n = 0; n < sizeof bad / sizeof *bad; n++) {
        struct identity *i;

        assert_int_equal(identity_check_id(bad[n], &err), -EINVAL);
        assert_int_equal(load(bad[n], &i), -EINVAL);
        assert_true(strlen(err.text) > 10);
    }
    memset(longest, 'a', sizeof longest);
    longest[ID_MAX] = '\0';
    assert_int_equal(identity_check_id(longest, &err), -EINVAL);
    longest[ID_MAX - 1] = '\0';
    assert_int_equal(identity_check_id(longest, &err), 0);
}

static void a_second_start_finds_the_same_keys(void **unused)
{
    struct identity *a = must_load("A"), *again;
    char public[KEY_Z85], fingerprint[FINGERPRINT], name[17];
    uint64_t incarnation = a->incarnation;
    struct stat st;

    (void)unused;
    assert_true(a->cluster_key_made);
    assert_int_equal(strlen(a->cluster_name), 16);
    assert_int_equal(strlen(a->fingerprint), 64);
    assert_int_equal(strlen(a->boot_id), 36);
    strcpy(public, a->curve_public);
    strcpy(fingerprint, a->fingerprint);
    strcpy(name, a->cluster_name);
    identity_destroy(a);
    assert_int_equal(stat(at("cluster.key"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(stat(at("A"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    assert_int_equal(stat(at("A/identity"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);

    again = must_load("A");
    assert_false(again->cluster_key_made);
    assert_string_equal(again->curve_public, public);
    assert_string_equal(again->fingerprint, fingerprint);
    assert_string_equal(again->cluster_name, name);
    assert_true(again->incarnation > incarnation);
    identity_destroy(again);
}

static void incarnations_grow_when_the_clock_goes_back(void **unused)
{
    struct identity *a = must_load("A");
    uint64_t far = wall_us() + 3600ull * 1000000;
    char text[32];

    (void)unused;
    identity_destroy(a);
    snprintf(text, sizeof text, "%llu\n", (unsigned long long)far);
    spoil("A/incarnation", text);
    a = must_load("A");
    assert_true(a->incarnation == far + 1);
    identity_destroy(a);
}

static void an_id_is_made_once(void **unused)
{
    struct identity *a = must_load(NULL);
    char id[ID_MAX];

    (void)unused;
    strcpy(id, a->id);
    assert_int_equal(strlen(id), 36);
    identity_destroy(a);
    a = must_load(NULL);
    assert_string_equal(a->id, id);
    identity_destroy(a);
    spoil(".id", "../../etc\n");
    assert_int_equal(load(NULL, &a), -EBADMSG);
    assert_non_null(strstr(err.text, ".id"));
}

static void two_machines_share_the_cluster_key(void **unused)
{
    struct identity *a = must_load("A"), *b = must_load("B");

    (void)unused;
    assert_memory_equal(a->cluster_key, b->cluster_key, CLUSTER_KEY);
    assert_string_equal(a->cluster_name, b->cluster_name);
    assert_string_not_equal(a->curve_public, b->curve_public);
    assert_string_not_equal(a->fingerprint, b->fingerprint);
    identity_destroy(a);
    identity_destroy(b);
}

static void a_second_daemon_is_refused_by_pid(void **unused)
{
    struct identity *a = must_load("A"), *second;
    char pid[24];

    (void)unused;
    assert_int_equal(load("A", &second), -EBUSY);
    snprintf(pid, sizeof pid, "process %d ", (int)getpid());
    assert_non_null(strstr(err.text, pid));
    identity_destroy(a);
    identity_destroy(must_load("A"));
}

static void secrets_that_others_can_read_are_refused(void **unused)
{
    static const char *const files[] = { "cluster.key", "A/identity" };
    struct identity *a = must_load("A");

    (void)unused;
    identity_destroy(a);
    for (size_t n = 0; n < 2; n++) {
        assert_int_equal(chmod(at(files[n]), 0640), 0);
        assert_int_equal(load("A", &a), -EPERM);
        assert_non_null(strstr(err.text, "chmod 600"));
        assert_non_null(strstr(err.text, files[n]));
        assert_int_equal(chmod(at(files[n]), 0600), 0);
    }
    identity_destroy(must_load("A"));
}

/* Every file, cut at every length, and with every byte changed: refused in words, and left alone.
 */
static void damaged_files_are_refused(void **unused)
{
    static const char *const files[] = { "cluster.key", "A/identity", "A/incarnation" };
    struct identity *a = must_load("A");

    (void)unused;
    identity_destroy(a);
    for (size_t f = 0; f < 3; f++) {
        char whole[8192], bad[8192], now[8192];
        size_t len;

        assert_int_equal(file_read(at(files[f]), false, whole, sizeof whole, &err), 0);
        len = strlen(whole);
        for (size_t cut = 0; cut < len; cut += f == 1 ? 17 : 1) {
            strcpy(bad, whole);
            bad[cut] = '\0';
            spoil(files[f], bad);
            assert_int_equal(load("A", &a), -EBADMSG);
            assert_non_null(strstr(err.text, files[f]));
            assert_int_equal(file_read(at(files[f]), false, now, sizeof now, &err), 0);
            assert_string_equal(now, bad);
        }
        strcat(strcpy(bad, whole), "x");
        spoil(files[f], bad);
        assert_int_equal(load("A", &a), -EBADMSG);
        spoil(files[f], whole);
    }
    identity_destroy(must_load("A"));
}

static void a_changed_byte_in_the_keys_is_noticed(void **unused)
{
    struct identity *a = must_load("A");
    char whole[8192], bad[8192];

    (void)unused;
    identity_destroy(a);
    assert_int_equal(file_read(at("A/identity"), false, whole, sizeof whole, &err), 0);
    for (size_t n = 0; n < strlen(whole); n += 13) {
        if (strchr("-\n ", whole[n]))
            continue;
        strcpy(bad, whole);
        bad[n] = bad[n] == 'A' ? 'B' : 'A';
        spoil("A/identity", bad);
        if (load("A", &a) != -EBADMSG)
            fail_msg("byte %zu ('%c') changed and not noticed", n, whole[n]);
    }
}

static void a_copied_folder_is_refused(void **unused)
{
    struct identity *a = must_load("A");
    char from[512];

    (void)unused;
    identity_destroy(a);
    strcpy(from, at("A"));
    assert_int_equal(rename(from, at("B")), 0);
    assert_int_equal(load("B", &a), -EBADMSG);
    assert_non_null(strstr(err.text, "belongs to the machine A"));
}

static void the_state_must_be_a_folder(void **unused)
{
    struct identity_options opt = { .id = "A" };
    struct identity *a = NULL;
    char path[512];

    (void)unused;
    snprintf(path, sizeof path, "%s/file", state);
    assert_int_equal(file_make(path, "x", 1, &err), 0);
    assert_int_equal(file_make(path, "y", 1, &err), -EEXIST);
    opt.state = path;
    assert_int_equal(identity_load(&a, &opt, &err), -ENOTDIR);
    snprintf(path, sizeof path, "%s/missing/state", state);
    assert_int_equal(identity_load(&a, &opt, &err), -ENOENT);
    assert_non_null(strstr(err.text, path));
    snprintf(path, sizeof path, "%s/fresh", state);
    assert_int_equal(identity_load(&a, &opt, &err), 0);
    identity_destroy(a);
    identity_destroy(NULL);
}

static void a_folder_of_another_user_is_refused(void **unused)
{
    struct identity *a;

    (void)unused;
    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(state, 0755), 0);
    assert_int_equal(seteuid(65534), 0);
    assert_int_equal(load("A", &a), -EACCES);
    assert_int_equal(seteuid(0), 0);
    assert_non_null(strstr(err.text, state));
}

static void a_new_cluster_key_is_kept(void **unused)
{
    struct identity *a = must_load("A");
    uint8_t key[CLUSTER_KEY];
    char before[17];

    (void)unused;
    memset(key, 0xa5, sizeof key);
    strcpy(before, a->cluster_name);
    assert_int_equal(identity_set_cluster_key(a, key, &err), 0);
    assert_false(a->cluster_key_made);
    assert_string_not_equal(a->cluster_name, before);
    strcpy(before, a->cluster_name);
    identity_destroy(a);
    a = must_load("A");
    assert_memory_equal(a->cluster_key, key, sizeof key);
    assert_string_equal(a->cluster_name, before);
    identity_destroy(a);
}

/* In a child, so that the limit or the mount ends with it. */
static int in_child(int (*run)(void))
{
    pid_t pid = fork();
    int status;

    if (pid == 0)
        _exit(run());
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static int count_files(void)
{
    char command[512], text[32] = "";
    FILE *p;

    snprintf(command, sizeof command, "find %s -type f | wc -l", state);
    p = popen(command, "r");
    if (!p || !fgets(text, sizeof text, p))
        abort();
    pclose(p);
    return atoi(text);
}

static int replace_beyond_the_limit(void)
{
    struct rlimit small = { .rlim_cur = 20, .rlim_max = 20 };
    struct identity *a = must_load("A");
    uint8_t key[CLUSTER_KEY] = { 1 };
    int rc;

    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
    rc = identity_set_cluster_key(a, key, &err);
    if (a->cluster_key[0] == 1 && a->cluster_key[1] == 0)
        rc = 0;
    identity_destroy(a);
    return -rc;
}

static void a_failed_write_leaves_the_old_file(void **unused)
{
    struct identity *a = must_load("A");
    uint8_t key[CLUSTER_KEY];
    int files;

    (void)unused;
    memcpy(key, a->cluster_key, sizeof key);
    identity_destroy(a);
    files = count_files();
    assert_int_equal(in_child(replace_beyond_the_limit), EFBIG);
    assert_int_equal(count_files(), files);
    a = must_load("A");
    assert_memory_equal(a->cluster_key, key, sizeof key);
    identity_destroy(a);
}

/* On a file system of one free page: 77 when it cannot be mounted here. */
static int replace_on_a_full_disk(void)
{
    uint8_t key[CLUSTER_KEY], bad[CLUSTER_KEY] = { 1 };
    struct identity *a;
    int fd, rc;

    if (unshare(geteuid() ? CLONE_NEWUSER | CLONE_NEWNS : CLONE_NEWNS) < 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", state, "tmpfs", 0, "size=128k,mode=700") < 0)
        return 77;
    a = must_load("A");
    memcpy(key, a->cluster_key, sizeof key);
    fd = open(at("fill"), O_WRONLY | O_CREAT, 0600);
    while (write(fd, (char[4096]){ 1 }, 4096) > 0)
        ;
    rc = identity_set_cluster_key(a, bad, &err);
    identity_destroy(a);
    if (rc != -ENOSPC || !strstr(err.text, "cluster.key"))
        return 1;
    if (load("B", &a) != -ENOSPC || load("A", &a) != -ENOSPC)
        return 2;
    close(fd);
    unlink(at("fill"));
    a = must_load("A");
    rc = memcmp(a->cluster_key, key, sizeof key) != 0 || count_files() != 5;
    identity_destroy(a);
    return rc ? 3 : 0;
}

static void a_full_disk_leaves_the_old_files(void **unused)
{
    int rc = in_child(replace_on_a_full_disk);

    (void)unused;
    if (rc == 77)
        skip();
    assert_int_equal(rc, 0);
}

static void macs_tell_labels_and_keys_apart(void **unused)
{
    struct identity *a = must_load("A");
    uint8_t mac[32], other[32], key[CLUSTER_KEY] = { 0 };

    (void)unused;
    identity_mac(a, "beacon", "data", 4, mac);
    assert_true(identity_mac_ok(a, "beacon", "data", 4, mac));
    assert_false(identity_mac_ok(a, "beaco", "ndata", 5, mac));
    assert_false(identity_mac_ok(a, "beacon", "dat", 3, mac));
    identity_mac(a, "b", "eacondata", 9, other);
    assert_memory_not_equal(mac, other, 32);
    mac[31] ^= 1;
    assert_false(identity_mac_ok(a, "beacon", "data", 4, mac));
    mac[31] ^= 1;
    assert_int_equal(identity_set_cluster_key(a, key, &err), 0);
    assert_false(identity_mac_ok(a, "beacon", "data", 4, mac));

    /* HMAC-SHA-256 with a zero key over "l\0d": pins the wire format. */
    identity_mac(a, "l", "d", 1, mac);
    assert_int_equal(mac[0], 0xfc);
    assert_int_equal(mac[31], 0xd5);
    identity_destroy(a);
}

static void tokens_hold_until_they_expire(void **unused)
{
    struct identity *a = must_load("A");
    char text[TOKEN_MAX], bad[TOKEN_MAX];
    struct token t;

    (void)unused;
    assert_int_equal(token_make(a, "[fe80::1%eth0]:7946", 3600000000ull, text, &err), 0);
    assert_int_equal(
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"),
        strlen(text));
    assert_int_equal(token_parse(text, &t, &err), 0);
    assert_string_equal(t.id, "A");
    assert_string_equal(t.address, "[fe80::1%eth0]:7946");
    assert_string_equal(t.curve_public, a->curve_public);
    assert_int_equal(token_check(a, &t, wall_us(), &err), 0);
    assert_int_equal(token_check(a, &t, t.expires_us, &err), -ETIME);

    for (size_t n = 0; n < strlen(text); n++) {
        strcpy(bad, text);
        bad[n] = bad[n] == 'A' ? 'B' : 'A';
        if (token_parse(bad, &t, &err) == 0)
            assert_int_equal(token_check(a, &t, 0, &err), -EPERM);
        strcpy(bad, text);
        bad[n] = '\0';
        assert_true(token_parse(bad, &t, &err) < 0);
    }
    strcat(strcpy(bad, text), "A");
    assert_true(token_parse(bad, &t, &err) < 0);
    identity_destroy(a);
}

static void tokens_of_another_cluster_are_refused(void **unused)
{
    struct identity *a = must_load("A");
    uint8_t key[CLUSTER_KEY] = { 7 };
    char text[TOKEN_MAX];
    struct token t;

    (void)unused;
    assert_int_equal(token_make(a, "10.0.0.1:1", 1000000, text, &err), 0);
    assert_int_equal(identity_set_cluster_key(a, key, &err), 0);
    assert_int_equal(token_parse(text, &t, &err), 0);
    assert_int_equal(token_check(a, &t, 0, &err), -EPERM);
    identity_destroy(a);
}

static void bad_tokens_are_refused(void **unused)
{
    struct identity *a = must_load("A");
    char text[TOKEN_MAX], big[2000];
    struct token t;

    (void)unused;
    memset(big, 'A', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    assert_true(token_parse(big, &t, &err) < 0);
    assert_true(token_parse("", &t, &err) < 0);
    assert_true(token_parse("A", &t, &err) < 0);
    assert_true(token_parse("not a token!", &t, &err) < 0);
    assert_int_equal(token_parse("BAAA", &t, &err), -EPROTONOSUPPORT);
    assert_int_equal(token_make(a, "", 1, text, &err), -EINVAL);
    assert_int_equal(token_make(a, "host name", 1, text, &err), -EINVAL);
    assert_int_equal(token_make(a, big, 1, text, &err), -EINVAL);
    assert_int_equal(token_make(a, "h:1", UINT64_MAX, text, &err), -EINVAL);
    identity_destroy(a);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(ids_are_checked),
        T(a_second_start_finds_the_same_keys),
        T(incarnations_grow_when_the_clock_goes_back),
        T(an_id_is_made_once),
        T(two_machines_share_the_cluster_key),
        T(a_second_daemon_is_refused_by_pid),
        T(secrets_that_others_can_read_are_refused),
        T(damaged_files_are_refused),
        T(a_changed_byte_in_the_keys_is_noticed),
        T(a_copied_folder_is_refused),
        T(the_state_must_be_a_folder),
        T(a_folder_of_another_user_is_refused),
        T(a_new_cluster_key_is_kept),
        T(a_failed_write_leaves_the_old_file),
        T(a_full_disk_leaves_the_old_files),
        T(macs_tell_labels_and_keys_apart),
        T(tokens_hold_until_they_expire),
        T(tokens_of_another_cluster_are_refused),
        T(bad_tokens_are_refused),
    };

    return cmocka_run_group_tests_name("identity", tests, NULL, NULL);
}
