/*
 * job_verbs.c - the subcommands about single jobs: submit, why, cancel.
 */
#include "shell/commands.h"

#include "base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define SPEC_BYTES (1024 * 1024) /* what the tree takes as one text */

/* ---- submit */

static int read_spec(const char *file, struct obuf *spec)
{
    cleanup_close int fd = -1;
    int rc;

    if (strcmp(file, "-") == 0)
        rc = read_most(STDIN_FILENO, SPEC_BYTES, spec);
    else if ((fd = open(file, O_RDONLY | O_CLOEXEC)) < 0)
        rc = -errno;
    else
        rc = read_most(fd, SPEC_BYTES, spec);
    if (rc == -EFBIG)
        return say(EXIT_ONEOS, "%s is no spec: it is larger than 1 MiB", file);
    return rc < 0 ? say(EXIT_ONEOS, "%s cannot be read: %s", file, strerror(-rc)) : 0;
}

/* A fresh job: its ctl, and its name. */
static int make_job(const struct shell *sh, int *ctl, char name[static NAME_BYTES])
{
    ssize_t n;

    *ctl = tree_open(sh, O_RDWR, "jobs/clone");
    if (*ctl < 0)
        return say_ctl(sh, "jobs/clone", *ctl);
    n = read(*ctl, name, NAME_BYTES - 1);
    if (n <= 0)
        return say_errno(sh, "jobs/clone", n < 0 ? -errno : -EIO);
    name[n] = '\0';
    name[strcspn(name, "\n")] = '\0';
    return 0;
}

/* The spec in one write, ended by a newline: then it is taken at once. */
static int write_spec(const struct shell *sh, const char *path, struct obuf *spec)
{
    cleanup_close int fd = tree_open(sh, O_WRONLY | O_TRUNC, "%s", path);
    int rc = fd;

    if (fd >= 0) {
        if (spec->len == 0 || spec->p[spec->len - 1] != '\n')
            obuf_puts(spec, "\n");
        rc = obuf_check(spec);
        if (rc == 0)
            rc = write_all(fd, spec->p, spec->len);
    }
    return rc < 0 ? say_ctl(sh, path, rc) : 0;
}

static int submit(struct shell *sh, int argc, char **argv)
{
    static const char line[] = "run\n";
    char name[NAME_BYTES], path[NAME_BYTES * 2];
    struct obuf spec = { 0 };
    cleanup_close int ctl = -1;
    int rc = read_spec(argv[0], &spec);

    (void)argc;
    if (rc == 0)
        rc = make_job(sh, &ctl, name);
    if (rc == 0) {
        snprintf(path, sizeof path, "jobs/%s/spec", name);
        rc = write_spec(sh, path, &spec);
    }
    obuf_free(&spec);
    if (rc)
        return rc;
    snprintf(path, sizeof path, "jobs/%s/ctl", name);
    rc = write_all(ctl, line, sizeof line - 1);
    if (rc < 0)
        return say_ctl(sh, path, rc);
    puts(name);
    return finish(0);
}

const struct command cmd_submit = {
    .name = "submit",
    .usage = "FILE.json",
    .help = "make a job of a spec (- is standard input); print its name",
    .min = 1,
    .max = 1,
    .run = submit,
};

/* ---- why, cancel */

static int why(struct shell *sh, int argc, char **argv)
{
    char path[NAME_BYTES * 2 + 8];
    struct obuf text = { 0 };
    int rc = job_path(sh, argv[0], path);

    (void)argc;
    if (rc)
        return rc;
    strcat(path, "/why");
    rc = tree_read(sh, &text, path);
    if (rc == 0)
        fwrite(text.p ? text.p : "", 1, text.len, stdout);
    obuf_free(&text);
    return rc < 0 ? say_errno(sh, path, rc) : finish(0);
}

const struct command cmd_why = {
    .name = "why",
    .usage = "JOB",
    .help = "say why a job is where it is, or what it waits for",
    .min = 1,
    .max = 1,
    .run = why,
};

static int cancel(struct shell *sh, int argc, char **argv)
{
    char path[NAME_BYTES * 2 + 8];
    int status = 0, rc;

    for (int i = 0; i < argc; i++) {
        rc = job_path(sh, argv[i], path);
        if (rc)
            return rc;
        strcat(path, "/ctl");
        rc = ctl_write(sh, path, "cancel\n");
        status = rc ? rc : status;
    }
    return status;
}

const struct command cmd_cancel = {
    .name = "cancel",
    .usage = "JOB...",
    .help = "end jobs, or take them off the queue",
    .min = 1,
    .max = -1,
    .run = cancel,
};
