/* SPDX-License-Identifier: Apache-2.0
 *
 * protect: which files of the host are read-only wherever they are met. A read-only root is protected by identity
 * (device, inode) and, where it lies inside another root, also by its place: parent and name, and its path below that
 * root, so that the protection stays when the host replaces the file or a directory above it. The directories between
 * it and the root around it may not be moved or removed either: that would put something else at the protected path.
 */
#ifndef SBX_SHARE_PROTECT_H
#define SBX_SHARE_PROTECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "share/config.h"
#include "share/node.h"

/* Directories on the way to protected paths. */
#define PROTECT_MAX_ABOVE 1024

struct protect_id {
	uint64_t dev, ino;
};

struct protect {
	struct protect_id ids[CONFIG_MAX_ROOTS];
	size_t nids;
	struct {
		struct protect_id parent;
		char *name; /* owned */
	} places[CONFIG_MAX_ROOTS];
	size_t nplaces;
	struct {
		uint16_t root;    /* the one around it */
		const char *path; /* borrowed from the configuration: below that root, no slash at either end */
	} paths[CONFIG_MAX_ROOTS];
	size_t npaths;
	struct protect_id above[PROTECT_MAX_ABOVE];
	size_t nabove;
};

/* Takes note of the read-only roots; reads their parents' identities. c must outlive it. */
int protect_init(struct protect *p, const struct config *c, struct err *err);
void protect_done(struct protect *p);

/* The file itself is protected. */
bool protect_has(const struct protect *p, struct protect_id id);
/* Whatever is or will be there is protected. */
bool protect_has_place(const struct protect *p, const struct node *parent, const char *name);
/* A directory that must stay where it is, by identity and by place. */
bool protect_above(const struct protect *p, struct protect_id id);
bool protect_above_place(const struct protect *p, const struct node *parent, const char *name);

#endif
