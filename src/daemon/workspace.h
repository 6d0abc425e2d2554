/* SPDX-License-Identifier: Apache-2.0
 *
 * workspace: which folders and files of the host may be given to a sandbox. A path is resolved once, here; what
 * is stored has no symlink in it.
 *
 * Refused: what is missing, system folders, anything inside our own directories (registry, disks, templates,
 * sockets), and anything that contains one of them, because the guest could then read and change the other sandboxes.
 */
#ifndef SBX_DAEMON_WORKSPACE_H
#define SBX_DAEMON_WORKSPACE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/env.h"
#include "base/err.h"

#define WORKSPACE_MAX 16

struct workspace {
	char *path; /* owned; absolute, resolved */
	bool readonly;
	bool is_file;
};

/* Resolves and judges one path. must_be_dir for the primary one. On failure *ret is untouched. */
int workspace_resolve(const char *path, bool must_be_dir, const struct env_dirs *dirs, struct workspace *ret,
		      struct err *err);
/* Judges the whole list: nothing twice, nothing read-only inside something writable. */
int workspace_check_list(const struct workspace *list, size_t n, struct err *err);
/* Whether what was resolved earlier is still there, and still of the same kind. */
bool workspace_is_there(const struct workspace *w);
void workspace_done(struct workspace *w);

#endif
