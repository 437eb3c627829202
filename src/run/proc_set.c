/*
 * proc_set.c - what may be set of a process before it starts: cwd, environment, terminal.
 */
#include "run/procs_private.h"

#include <errno.h>
#include <string.h>

int proc_only_new(const struct proc *proc, struct oerr *e)
{
    if (proc->rec.state != PROC_NEW || proc->starting)
        return oerr_set(e, -EBUSY, "%s has been started already", proc->rec.name);
    return 0;
}

int proc_set_cwd(struct proc *proc, const char *dir, struct oerr *e)
{
    char *copy;
    int rc = proc_only_new(proc, e);

    if (rc == 0 && dir[0] != '/')
        rc = oerr_set(e, -EINVAL, "cwd must be an absolute path, not '%.100s'", dir);
    if (rc < 0)
        return rc;
    copy = strdup(dir);
    if (!copy)
        return -ENOMEM;
    free(proc->cwd);
    proc->cwd = copy;
    return 0;
}

/* What the daemon keeps for its users has bounds; small ones are not added up. */
static int env_fits(const struct proc *proc, size_t more, struct oerr *e)
{
    if (proc->env_bytes + more > PROCS_ENV_MAX)
        return oerr_set(e, -E2BIG, "the environment of %s would have more than %d bytes",
                        proc->rec.name, PROCS_ENV_MAX);
    if (proc->env_bytes + more > 4096 && strcmp(proc->rec.user, "root") != 0 &&
        procs_env_bytes_of(proc->procs, proc->rec.user) + more > PROCS_USER_ENV_MAX)
        return oerr_set(e, -EAGAIN,
                        "the environments of all processes of %s would have more than %d bytes",
                        proc->rec.user, PROCS_USER_ENV_MAX);
    return 0;
}

int proc_env_add(struct proc *proc, const char *assignment, struct oerr *e)
{
    const char *eq = strchr(assignment, '=');
    size_t key = eq ? (size_t)(eq - assignment) + 1 : 0,
           bytes = strlen(assignment) + 1 + sizeof(char *);
    char **grown, *copy;
    int rc = 0;

    if (key < 2)
        rc = oerr_set(e, -EINVAL, "env takes NAME=VALUE, not '%.100s'", assignment);
    if (rc == 0)
        rc = env_fits(proc, bytes, e);
    if (rc < 0)
        return rc;
    copy = strdup(assignment);
    if (!copy)
        return -ENOMEM;
    for (size_t i = 0; i < proc->n_env; i++)
        if (strncmp(proc->env[i], assignment, key) == 0) {
            proc->env_bytes += bytes - (strlen(proc->env[i]) + 1 + sizeof(char *));
            free(proc->env[i]);
            proc->env[i] = copy;
            return 0;
        }
    grown = realloc(proc->env, (proc->n_env + 2) * sizeof *grown);
    if (!grown) {
        free(copy);
        return -ENOMEM;
    }
    proc->env = grown;
    proc->env[proc->n_env++] = copy;
    proc->env[proc->n_env] = NULL;
    proc->env_bytes += bytes;
    return 0;
}

int proc_set_env(struct proc *proc, const char *assignment, struct oerr *e)
{
    int rc = proc_only_new(proc, e);

    return rc < 0 ? rc : proc_env_add(proc, assignment, e);
}

int proc_set_tty(struct proc *proc, unsigned rows, unsigned cols, struct oerr *e)
{
    int rc = proc_only_new(proc, e);

    if (rc < 0)
        return rc;
    if (rows > 10000 || cols > 10000)
        return oerr_set(e, -EINVAL, "no terminal has %u rows and %u columns", rows, cols);
    proc->pty = true;
    proc->rows = (unsigned short)rows;
    proc->cols = (unsigned short)cols;
    return 0;
}
