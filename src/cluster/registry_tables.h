/*
 * registry_tables.h - the commands that every registry has, for registry_open(), and what their
 * authors share: fields of a command, checked, with words.
 *
 *     registry.init {id, at_us}       registry.dissolve {into}        registry.absorb {id}
 *     member.put {id, node, key, address, at_us}                      member.forget {id}
 *     member.label {id, labels}       member.drain {id, on}
 *     member.accept {id, key}         member.reject {id}
 *     service.assign {name, machine, epoch, why, at_us}               service.want {name, machine}
 *
 * Keys:
 *     _meta          {schema, id, made_us, dissolved}
 *     ended/ID       {into}: that registry was dissolved
 *     member/ID      {node, key, address, joined_us, labels, draining}
 *     accepted/ID    {key}
 *     service/NAME   {machine, epoch, since_us, why, wanted}
 */
#ifndef ONEOS_CLUSTER_REGISTRY_TABLES_H
#define ONEOS_CLUSTER_REGISTRY_TABLES_H

#include "cluster/registry.h"

extern const struct registry_command registry_base_commands[];
extern const struct registry_command member_commands[];
extern const struct registry_command service_commands[];

/* What begins the keys of data: of things that must not be destroyed. NULL-ended. */
extern const char *const registry_data_prefixes[];

/* Whether there is data, as the local replica sees it; any thread. */
bool registry_has_data(struct registry *r);

/* The field as a text of 1 to max - 1 bytes; NULL with words. */
const char *arg_text(const json_t *cmd, const char *name, size_t max, struct oerr *e);
/* The field as a text of less than max bytes, "" where it is missing; NULL with words. */
const char *arg_maybe(const json_t *cmd, const char *name, size_t max, struct oerr *e);
/* ... as a machine's id or another name that may be part of a key: [A-Za-z0-9][A-Za-z0-9._-]*. */
const char *arg_name(const json_t *cmd, const char *name, size_t max, struct oerr *e);
/* ... as a number >= 0; -1 with words. */
json_int_t arg_count(const json_t *cmd, const char *name, struct oerr *e);

/* PREFIX/NAME */
void arg_key(char key[REGISTRY_KEY_MAX], const char *prefix, const char *name);

#endif
