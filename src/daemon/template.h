/* SPDX-License-Identifier: Apache-2.0
 *
 * template: the template store under CACHE/templates as the daemon reads it (sbx-image writes it; wire/manifest.h). A
 * sandbox is bound to digests when it is created: a later template does not change what lies under its overlay.
 */
#ifndef SBX_DAEMON_TEMPLATE_H
#define SBX_DAEMON_TEMPLATE_H

#include <jansson.h>

#include "base/err.h"

#define TEMPLATE_BASE "base"

/* The digests of the template that a sandbox of this agent starts from now: the base template, or that and the agent's
 * layer: {"layers": [..], "kernel": "..", "modules": ".."}; a new reference. unavailable where one is missing, or the layer
 * is of another installation or base. */
int template_bind(const char *cache_dir, const json_t *profile, json_t **ret, struct err *err);
/* Keeps what template_bind gave from being tidied away as long as holder, a directory, is there: refs/ID.json (image/store.h). */
int template_hold(const char *cache_dir, const json_t *profile, const char *id, const char *holder, struct err *err);
/* The same, of what another id holds. */
int template_hold_too(const char *cache_dir, const char *other, const char *id, const char *holder, struct err *err);
void template_release(const char *cache_dir, const char *id);
/* The agent's layer: {"version", "package_version", "created", "digest", "bytes", "current"}, or null; a new reference. */
json_t *template_layer(const char *cache_dir, const json_t *profile);
/* Puts the paths that a binding stands for into a machine's spec (kernel, initrds, layers); unavailable where one of
 * them is not in the cache any more. */
int template_resolve(const char *cache_dir, const json_t *binding, json_t *spec, struct err *err);
/* Whether all that the base template's manifest names is in the cache, in its length. */
bool template_is_whole(const char *cache_dir);
/* What GET /v1/templates shows; a new reference. */
int template_list(const char *cache_dir, json_t **ret, struct err *err);

#endif
