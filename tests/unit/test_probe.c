/*
 * test_probe.c - whether a command can run here: made-up programs, scripts and PATHs. What the
 * kernel can be asked, it is asked too: a no must be one of its noes.
 */
#include "base/cleanup.h"
#include "sched/probe_private.h"
#include "tempdir.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cmocka.h>

static char dir[256];
static struct probe_here here;

static const char *at(const char *name)
{
    static char path[4][512];
    static unsigned i;
    char *p = path[i++ % 4];

    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static void put(const char *name, const void *data, size_t n, mode_t mode)
{
    cleanup_close int fd = open(at(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, n), n);
    assert_int_equal(fchmod(fd, mode), 0);
}

/* A script; every %s is the test's folder. */
static void put_text(const char *name, mode_t mode, const char *text)
{
    char out[2048];
    int n = snprintf(out, sizeof out, text, dir, dir); /* NOLINT: the tests' own formats */

    put(name, out, (size_t)n, mode);
}

struct program {
    uint16_t machine;
    uint8_t class, order;
    uint16_t type;
    const char *linker;
    uint32_t phdrs, name; /* where they are; 0: behind the header, and behind these */
};

static void field(uint8_t *p, size_t size, uint64_t v, uint8_t order)
{
    for (size_t i = 0; i < size; i++)
        p[order == ELFDATA2LSB ? i : size - 1 - i] = (uint8_t)(v >> (8 * i));
}

#define FIELD(p, type, name, v)                                                                    \
    field((p) + offsetof(type, name), sizeof(((type *)NULL)->name), v, g->order)

static void fill64(const struct program *g, uint8_t *p, uint32_t phdrs, uint32_t name)
{
    FIELD(p, Elf64_Ehdr, e_phoff, phdrs);
    FIELD(p, Elf64_Ehdr, e_phentsize, sizeof(Elf64_Phdr));
    FIELD(p, Elf64_Ehdr, e_phnum, g->linker ? 2 : 1);
    FIELD(p + phdrs, Elf64_Phdr, p_type, PT_LOAD);
    if (!g->linker)
        return;
    p += phdrs + sizeof(Elf64_Phdr);
    FIELD(p, Elf64_Phdr, p_type, PT_INTERP);
    FIELD(p, Elf64_Phdr, p_offset, name);
    FIELD(p, Elf64_Phdr, p_filesz, strlen(g->linker) + 1);
}

static void fill32(const struct program *g, uint8_t *p, uint32_t phdrs, uint32_t name)
{
    FIELD(p, Elf32_Ehdr, e_phoff, phdrs);
    FIELD(p, Elf32_Ehdr, e_phentsize, sizeof(Elf32_Phdr));
    FIELD(p, Elf32_Ehdr, e_phnum, g->linker ? 2 : 1);
    FIELD(p + phdrs, Elf32_Phdr, p_type, PT_LOAD);
    if (!g->linker)
        return;
    p += phdrs + sizeof(Elf32_Phdr);
    FIELD(p, Elf32_Phdr, p_type, PT_INTERP);
    FIELD(p, Elf32_Phdr, p_offset, name);
    FIELD(p, Elf32_Phdr, p_filesz, strlen(g->linker) + 1);
}

static void put_program(const char *file, const struct program *g)
{
    static uint8_t p[32768];
    uint32_t phdrs = g->phdrs ? g->phdrs : sizeof(Elf64_Ehdr);
    uint32_t name = g->name ? g->name : phdrs + 256;

    memset(p, 0, sizeof p);
    memcpy(p, ELFMAG, SELFMAG);
    p[EI_CLASS] = g->class;
    p[EI_DATA] = g->order;
    p[EI_VERSION] = EV_CURRENT;
    FIELD(p, Elf64_Ehdr, e_type, g->type ? g->type : ET_DYN);
    FIELD(p, Elf64_Ehdr, e_machine, g->machine);
    (g->class == ELFCLASS64 ? fill64 : fill32)(g, p, phdrs, name);
    if (g->linker)
        memcpy(p + name, g->linker, strlen(g->linker) + 1);
    put(file, p, name + 512, 0755);
}

static int probe(const char *command, const char *path, const char *cwd, struct oerr *e)
{
    struct sched_need need = { "me", command, path, cwd };

    e->text[0] = '\0';
    return probe_command(&here, &need, e);
}

static void check(const char *command, const char *path, int exit, const char *words)
{
    struct oerr e;
    int rc = probe(command, path, NULL, &e);

    if (rc != exit || !strstr(e.text, words) || (rc == 0 && e.text[0]))
        fail_msg("%s: %d, '%s', not %d, '%s'", command, rc, e.text, exit, words);
}

/* The errno of the kernel's refusal; 0: it ran. */
static int execute(const char *path)
{
    int status, err;
    pid_t pid;
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    pid = fork();
    if (pid == 0) {
        char *argv[] = { (char *)path, NULL };
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        dup2(null, 0);
        dup2(null, 1);
        dup2(null, 2);
        execv(path, argv);
        err = errno;
        _exit(write(fds[1], &err, sizeof err) != sizeof err);
    }
    close(fds[1]);
    if (read(fds[0], &err, sizeof err) != sizeof err)
        err = 0;
    close(fds[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return err;
}

static void check_real(const char *name, int exit, const char *words, int err)
{
    check(at(name), NULL, exit, words);
    if (execute(at(name)) != err)
        fail_msg("%s: the kernel says %s, not %s", name, strerror(execute(at(name))),
                 strerror(err));
}

static int setup(void **state)
{
    (void)state;
    tempdir_make(dir);
    mkdir(at("bin"), 0755);
    mkdir(at("sbin"), 0755);
    mkdir(at("formats"), 0755);
    probe_here_init(&here, "B", "");
    here.binfmt = strdup(at("formats"));
    here.mount = strdup(at("mount"));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free((void *)here.binfmt);
    free((void *)here.mount);
    tempdir_remove(dir);
    return 0;
}

/* ---- finding */

static void path_is_searched(void **state)
{
    char path[1024];

    (void)state;
    snprintf(path, sizeof path, "%s/none:%s:%s", dir, at("sbin"), at("bin"));
    check("true", NULL, 0, "");
    check("no-such-command", NULL, 127, "B has no command 'no-such-command'");
    check("true", path, 127, "B has no command 'true'");
    put_text("bin/both", 0755, "#!/bin/sh\n");
    check("both", path, 0, "");
    put_text("sbin/both", 0644, "#!/bin/sh\n");
    check("both", path, 0, "");
    put_text("bin/both", 0644, "#!/bin/sh\n");
    check("both", path, 126, "/sbin/both is not executable on B");
    put_text("sbin/both", 0755, "#!/no/such\n");
    put_text("bin/both", 0755, "#!/bin/sh\n");
    check("both", path, 127, "/sbin/both cannot run: its interpreter /no/such is missing on B");
}

static void the_start_tells_what_lies_in_the_mount(void **state)
{
    char path[1024];

    (void)state;
    check("/oneos/files/x", NULL, 0, "");
    check("/oneos", NULL, 0, "");
    check("/oneosx", NULL, 127, "/oneosx is missing on B");
    check(at("mount/x"), NULL, 0, "");
    check(at("bin/../mount/x"), NULL, 0, "");
    assert_int_equal(symlink("../mount/x", at("bin/into")), 0);
    check(at("bin/into"), NULL, 0, "");
    assert_int_equal(symlink(at("mount"), at("folder")), 0);
    check(at("folder/y"), NULL, 0, "");
    snprintf(path, sizeof path, "%s:%s", at("bin"), at("folder"));
    check("nothing", path, 0, "");
    put_text("bin/by-mount", 0755, "#!/oneos/bin/interpreter\n");
    check(at("bin/by-mount"), NULL, 0, "");
}

static void links_are_followed(void **state)
{
    (void)state;
    put_text("target", 0755, "#!/bin/sh\n");
    assert_int_equal(symlink("../target", at("bin/link")), 0);
    check_real("bin/link", 0, "", 0);
    assert_int_equal(symlink(at("bin"), at("folder")), 0);
    check_real("folder/../target", 0, "", 0);
    check_real("./bin//./link", 0, "", 0);
    assert_int_equal(symlink("round", at("round")), 0);
    check_real("round", 127, "is missing on B", ELOOP);
    assert_int_equal(symlink("nowhere", at("dangling")), 0);
    check_real("dangling", 127, "is missing on B", ENOENT);
    check_real("target/x", 127, "is missing on B", ENOTDIR);
}

static void relative_needs_cwd(void **state)
{
    struct oerr e;

    (void)state;
    put_text("bin/it", 0755, "#!/bin/sh\n");
    assert_int_equal(probe("./it", NULL, at("bin"), &e), 0);
    assert_int_equal(probe("bin/it", NULL, dir, &e), 0);
    assert_int_equal(probe("./it", NULL, dir, &e), 127);
    assert_int_equal(probe("./it", NULL, NULL, &e), 0);
    assert_int_equal(probe("./it", NULL, "/oneos/x", &e), 0);
    assert_int_equal(probe("it", "bin", dir, &e), 0);
    assert_int_equal(probe("it", "", at("bin"), &e), 0);
    assert_int_equal(probe("it", "", dir, &e), 127);
}

static void odd_files_do_not_run(void **state)
{
    (void)state;
    check("/etc/passwd", NULL, 126, "/etc/passwd is not executable on B");
    check_real("bin", 126, "is a folder on B", EACCES);
    assert_int_equal(mkfifo(at("fifo"), 0777), 0);
    check_real("fifo", 126, "is not a regular file on B", EACCES);
    put("empty", "", 0, 0755);
    check(at("empty"), NULL, 0, "");
    put_text("plain", 0755, "echo of a shell\n");
    check(at("plain"), NULL, 0, "");
    put("data", "ab\0cd", 5, 0755);
    check_real("data", 126, "is not a program that B can run", ENOEXEC);
    check("", NULL, 127, "empty");
}

/* ---- scripts */

static void scripts_need_interpreters(void **state)
{
    (void)state;
    put_text("good", 0755, "#! /bin/sh -e\nexit 0\n");
    check_real("good", 0, "", 0);
    put_text("bad", 0755, "#!/no/such/thing -x\n");
    check_real("bad", 127, "/bad cannot run: its interpreter /no/such/thing is missing on B",
               ENOENT);
    put_text("dos", 0755, "#!/bin/sh\r\nexit 0\r\n");
    check_real("dos", 127, "(its first line ends in a carriage return)", ENOENT);
    put_text("mode", 0755, "#!%s/plain\n");
    put_text("plain", 0644, "text\n");
    check_real("mode", 126, "/plain is not executable on B", EACCES);
    put_text("none", 0755, "#!\n");
    check_real("none", 0, "", ENOEXEC); /* a shell's */
}

static void interpreters_may_be_scripts(void **state)
{
    (void)state;
    put_text("0", 0755, "#!/bin/sh\n");
    put_text("1", 0755, "#!%s/0\n");
    put_text("2", 0755, "#!%s/1\n");
    put_text("3", 0755, "#!%s/2\n");
    put_text("4", 0755, "#!%s/3\n");
    put_text("5", 0755, "#!%s/4\n");
    check_real("4", 0, "", 0);
    check_real("5", 126, "its interpreter on B is a script", ELOOP);
    put_text("self", 0755, "#!%s/self\n");
    check_real("self", 126, "its interpreter on B is a script", ELOOP);
}

static void env_finds_a_command(void **state)
{
    (void)state;
    put_text("e1", 0755, "#!/usr/bin/env sh\n");
    check(at("e1"), NULL, 0, "");
    put_text("e2", 0755, "#!/usr/bin/env no-such-python\n");
    check(at("e2"), NULL, 127, "/e2 cannot run: it asks for no-such-python, and B has no such");
    put_text("e3", 0755, "#!/usr/bin/env -S A=b no-such-python -u\n");
    check(at("e3"), NULL, 127, "asks for no-such-python,");
    put_text("e4", 0755, "#!/usr/bin/env -S sh -e\n");
    check(at("e4"), NULL, 0, "");
    put_text("e5", 0755, "#!/usr/bin/env sh -e\n"); /* one word, as the kernel gives it */
    check(at("e5"), NULL, 127, "asks for sh -e,");
    put_text("e6", 0755, "#!/usr/bin/env -i sh\n");
    check(at("e6"), NULL, 0, "");
    put_text("e7", 0755, "#!/usr/bin/env -S \"no such\"\n");
    check(at("e7"), NULL, 0, "");
    put_text("bin/again", 0755, "#!/usr/bin/env again\n");
    check("again", at("bin"), 126, "leads to itself");
}

/* ---- programs */

static const struct elf_kind x86_64 = { EM_X86_64, ELFCLASS64, ELFDATA2LSB };

static void as_x86_64(void)
{
    here.kind = x86_64;
    strcpy(here.arch, "x86_64");
}

static void programs_are_for_a_machine(void **state)
{
    static const struct {
        struct program program;
        int exit;
        const char *words;
    } cases[] = {
        { { EM_X86_64, ELFCLASS64, ELFDATA2LSB, 0, NULL, 0, 0 }, 0, "" },
        { { EM_386, ELFCLASS32, ELFDATA2LSB, ET_EXEC, NULL, 0, 0 }, 0, "" },
        { { EM_386, ELFCLASS32, ELFDATA2LSB, 0, "/no/ld", 0, 0 }, 127, "/no/ld is missing on B" },
        { { EM_AARCH64, ELFCLASS64, ELFDATA2LSB, 0, NULL, 0, 0 },
          126,
          "cannot run on B: it is for aarch64, B is x86_64" },
        { { EM_S390, ELFCLASS64, ELFDATA2MSB, 0, NULL, 0, 0 }, 126, "it is for s390x, B is" },
        { { EM_PPC64, ELFCLASS64, ELFDATA2LSB, 0, NULL, 0, 0 }, 126, "it is for ppc64le, B" },
        { { EM_PPC64, ELFCLASS64, ELFDATA2MSB, 0, NULL, 0, 0 }, 126, "it is for ppc64, B" },
        { { EM_ARM, ELFCLASS32, ELFDATA2LSB, 0, NULL, 0, 0 }, 126, "it is for arm, B is" },
        { { 4711, ELFCLASS32, ELFDATA2LSB, 0, NULL, 0, 0 }, 126, "for a machine of another kind" },
        { { EM_X86_64, ELFCLASS64, ELFDATA2LSB, ET_REL, NULL, 0, 0 }, 126, "is not a program" },
        { { EM_X86_64, ELFCLASS64, ELFDATA2LSB, ET_CORE, NULL, 0, 0 }, 126, "is not a program" },
        { { EM_X86_64, 7, ELFDATA2LSB, 0, NULL, 0, 0 }, 126, "is not a program" },
    };

    (void)state;
    as_x86_64();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        put_program("program", &cases[i].program);
        check(at("program"), NULL, cases[i].exit, cases[i].words);
    }
}

static void linkers_must_be_there(void **state)
{
    struct program g = { EM_X86_64, ELFCLASS64, ELFDATA2LSB, 0, "/lib/ld-none.so.1", 0, 0 };

    (void)state;
    as_x86_64();
    put_program("program", &g);
    check(at("program"), NULL, 127,
          "/program cannot run: its interpreter /lib/ld-none.so.1 is missing on B");
    g.name = 9000;
    put_program("program", &g);
    check(at("program"), NULL, 127, "/lib/ld-none.so.1 is missing");
    g.phdrs = 12000;
    g.name = 20000;
    put_program("program", &g);
    check(at("program"), NULL, 127, "/lib/ld-none.so.1 is missing");
    g.linker = "/etc/passwd";
    put_program("program", &g);
    check(at("program"), NULL, 126, "/etc/passwd is not executable on B");
    g = (struct program){ EM_S390, ELFCLASS64, ELFDATA2MSB, 0, "/lib/ld64.so.1", 0, 0 };
    here.kind = (struct elf_kind){ EM_S390, ELFCLASS64, ELFDATA2MSB };
    put_program("program", &g);
    check(at("program"), NULL, 127, "/lib/ld64.so.1 is missing on B");
}

static void other_formats_may_run_it(void **state)
{
    static const char arm[] = "enabled\ninterpreter %s/emulator\nflags: OC\noffset 0\n"
                              "magic 7f454c460201010000000000000000000200b700\n"
                              "mask ffffffffffffff00fffffffffffffffffeffffff\n";
    const struct program g = { EM_AARCH64, ELFCLASS64, ELFDATA2LSB, 0, "/no/ld", 0, 0 };

    (void)state;
    as_x86_64();
    put_program("program", &g);
    put_text("formats/status", 0644, "enabled\n");
    put_text("emulator", 0755, "#!/bin/sh\n");
    put_text("formats/qemu-aarch64", 0644, arm);
    check(at("program"), NULL, 0, "");
    unlink(at("emulator"));
    check(at("program"), NULL, 127, "/emulator is missing on B");
    put_text("formats/qemu-aarch64", 0644,
             "enabled\ninterpreter /none\nflags: F\noffset 18\nmagic b700\n");
    check(at("program"), NULL, 0, "");
    put_text("formats/qemu-aarch64", 0644,
             "disabled\ninterpreter /none\nflags: F\noffset 18\nmagic b700\n");
    check(at("program"), NULL, 126, "it is for aarch64");
    put("game.exe", "MZ\0", 3, 0755);
    check(at("game.exe"), NULL, 126, "not a program");
    put_text("formats/wine", 0644, "enabled\ninterpreter /bin/sh\nflags: \nextension .exe\n");
    check(at("game.exe"), NULL, 0, "");
    check(at("program"), NULL, 126, "it is for aarch64");
}

static void own_programs_run(void **state)
{
    (void)state;
    check("/proc/self/exe", NULL, 0, "");
    assert_int_equal(execute("/bin/true"), 0);
    check("/bin/true", NULL, 0, "");
    assert_true(here.kind.machine);
}

/* ---- users */

static int probe_as(const char *user, const char *command, struct oerr *e)
{
    char home[PATH_MAX];
    int rc, status;
    pid_t pid;

    e->text[0] = '\0';
    pid = fork(); /* the thread that becomes somebody stays it */
    if (pid == 0) {
        rc = probe_become(&here, user, home, e);
        if (rc == 0)
            rc = probe(command, NULL, home, e);
        _exit(rc & 0xff);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void users_have_rights(void **state)
{
    struct passwd *me = getpwuid(geteuid());
    struct oerr e;

    (void)state;
    put_text("mine", 0700, "#!/bin/sh\n");
    if (me)
        assert_int_equal(probe_as(me->pw_name, at("mine"), &e), 0);
    assert_int_equal(probe_as("no-such-user-here", "/bin/sh", &e), 126);
    if (geteuid() != 0 || !getpwnam("nobody"))
        return;
    assert_int_equal(chmod(dir, 0755), 0);
    assert_int_equal(probe_as("nobody", "/bin/sh", &e), 0);
    assert_int_equal(probe_as("nobody", at("mine"), &e), 126);
    put_text("all", 0711, "#!/no/such\n");
    assert_int_equal(probe_as("nobody", at("all"), &e), 0); /* it cannot be read */
    put_text("bin/theirs", 0755, "#!/bin/sh\n");
    assert_int_equal(probe_as("nobody", at("bin/theirs"), &e), 0);
    assert_int_equal(chmod(at("bin"), 0700), 0);
    assert_int_equal(probe_as("nobody", at("bin/theirs"), &e), 126);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(path_is_searched),
        TEST(the_start_tells_what_lies_in_the_mount),
        TEST(links_are_followed),
        TEST(relative_needs_cwd),
        TEST(odd_files_do_not_run),
        TEST(scripts_need_interpreters),
        TEST(interpreters_may_be_scripts),
        TEST(env_finds_a_command),
        TEST(programs_are_for_a_machine),
        TEST(linkers_must_be_there),
        TEST(other_formats_may_run_it),
        TEST(own_programs_run),
        TEST(users_have_rights),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
