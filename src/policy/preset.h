/* SPDX-License-Identifier: Apache-2.0
 *
 * preset: the policies that one begins with. They are data (presets/NAME.json), put into the program when it is built: there
 * is no file whose absence could open or close a network. presets/README.md describes the format.
 */
#ifndef SBX_POLICY_PRESET_H
#define SBX_POLICY_PRESET_H

#include <stddef.h>

#include "base/err.h"
#include "policy/policy.h"

/* Known presets, in the order of a menu; NULL past the last one. Static. */
const char *preset_name(size_t i);
/* The name that an alias ("allow-all", "deny-all") or a name stands for; NULL for an unknown one. Static. */
const char *preset_resolve(const char *name);
/* What a menu shows: "Balanced", and one line about it. -ENOENT, -ENOMEM; both are owned. */
int preset_describe(const char *name, char **ret_label, char **ret_summary, struct err *err);
/* Sets the default, the TLS mode and the name of p, and adds the preset's rules; p has none of this preset yet. Ids are
 * "GROUP:" and eight hexadecimal digits that depend on the rule alone. On failure p is not to be used. */
int preset_apply(struct policy *p, const char *name, struct err *err);
/* As preset_apply, from text in place of a built-in preset; find gives the text of one that it extends (NULL: unknown). */
typedef const char *preset_find(void *user, const char *name);
int preset_apply_text(struct policy *p, const char *json, preset_find *find, void *user, struct err *err);

#endif
