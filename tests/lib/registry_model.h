/*
 * registry_model.h - the transactions of the registry over a JSON object: what commands see of it,
 * for their tests and simulations.
 *
 * A command that writes and then fails, or fails without words, ends the program.
 */
#ifndef ONEOS_TESTS_REGISTRY_MODEL_H
#define ONEOS_TESTS_REGISTRY_MODEL_H

#include "cluster/registry.h"

/* Carries out a command on state, an object of keys and values. */
int model_apply(json_t *state, uint64_t index, const struct registry_command *table,
                const char *cmd, const json_t *fields, json_t **result, struct oerr *e);

#endif
