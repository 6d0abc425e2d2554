/* SPDX-License-Identifier: Apache-2.0
 *
 * paths: the PATH arguments of run and create as the API's list of workspaces. Relative to the current folder,
 * symlinks resolved, because the guest sees the folder at the path where it really is.
 */
#ifndef SBX_CLI_PATHS_H
#define SBX_CLI_PATHS_H

#include "cli/cmd.h"

#define PATHS_MAX 16

/* [{"path": "/abs", "readonly": bool}], owned; n = 0 means the current folder. "PATH:ro" is read-only. Negative with c->err
 * filled. */
int paths_resolve(struct cli *c, const char *const *args, size_t n, json_t **ret);

#endif
