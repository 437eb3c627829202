/*
 * services_cmd.c - the commands about core services: which machine runs which, in which epoch.
 *
 * service/NAME has an epoch that grows with every assignment. Who assigns names the epoch that it
 * replaces (0: there was none), so that of two that decide at once only one comes through.
 */
#include "cluster/registry_tables.h"
#include "cluster/placement.h"

#include <errno.h>
#include <string.h>

struct service {
    char key[REGISTRY_KEY_MAX];
    const char *name;
    json_t *value; /* NULL: nowhere yet */
    json_int_t epoch;
};

static int find(struct registry_txn *t, const json_t *cmd, struct service *s, struct oerr *e)
{
    int rc;

    *s = (struct service){ .name = arg_name(cmd, "name", SERVICE_MAX, e) };
    if (!s->name)
        return -EINVAL;
    arg_key(s->key, "service", s->name);
    rc = txn_get(t, s->key, &s->value);
    if (rc == 0)
        s->epoch = json_integer_value(json_object_get(s->value, "epoch"));
    return rc == -ENOENT ? 0 : rc;
}

static int check_machine(struct registry_txn *t, const char *id, struct oerr *e)
{
    char key[REGISTRY_KEY_MAX];
    json_t *member = NULL;
    int rc;

    arg_key(key, "member", id);
    rc = txn_get(t, key, &member);
    json_decref(member);
    return rc == -ENOENT ? oerr_set(e, rc, "there is no machine %s in the registry", id) : rc;
}

static int run_assign(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    const char *machine = arg_name(cmd, "machine", ID_MAX, e);
    const char *why = arg_maybe(cmd, "why", 256, e);
    json_int_t epoch = arg_count(cmd, "epoch", e), at = arg_count(cmd, "at_us", e);
    struct service s;
    int rc = find(t, cmd, &s, e);

    json_decref(s.value);
    if (rc == 0 && (!machine || epoch < 0 || at < 0 || !why))
        rc = oerr_set(e, -EINVAL,
                      "an assignment needs `machine`, `epoch` and `at_us`, and `why` in a few "
                      "words");
    if (rc == 0 && epoch != s.epoch)
        rc = oerr_set(e, -ESTALE, "service %s is in epoch %lld by now, not %lld", s.name,
                      (long long)s.epoch, (long long)epoch);
    if (rc == 0)
        rc = check_machine(t, machine, e);
    if (rc < 0)
        return rc;
    *result = json_pack("{s:I}", "epoch", s.epoch + 1);
    return txn_put(t, s.key,
                   json_pack("{s:s, s:I, s:I, s:s, s:s}", "machine", machine, "epoch", s.epoch + 1,
                             "since_us", at, "why", why, "wanted", ""));
}

/* machine "": nobody wants it anywhere any more. */
static int run_want(struct registry_txn *t, const json_t *cmd, json_t **result, struct oerr *e)
{
    const char *machine = arg_maybe(cmd, "machine", ID_MAX, e);
    struct service s;
    int rc = find(t, cmd, &s, e);

    (void)result;
    if (rc == 0 && (!machine || (*machine && !arg_name(cmd, "machine", ID_MAX, e))))
        rc = -EINVAL;
    if (rc == 0 && *machine)
        rc = check_machine(t, machine, e);
    if (rc == 0 && !s.value)
        s.value =
            json_pack("{s:s, s:i, s:i, s:s}", "machine", "", "epoch", 0, "since_us", 0, "why", "");
    if (rc == 0 && json_object_set_new(s.value, "wanted", json_string(machine)) < 0)
        rc = -ENOMEM;
    if (rc == 0)
        rc = txn_put(t, s.key, json_incref(s.value));
    json_decref(s.value);
    return rc;
}

/* clang-format off */
const struct registry_command service_commands[] = {
    { "service.assign", 1, run_assign },
    { "service.want",   1, run_want },
    { 0 },
};
/* clang-format on */
