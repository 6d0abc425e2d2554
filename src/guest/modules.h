/* SPDX-License-Identifier: Apache-2.0
 *
 * modules: loads the kernel modules that the initramfs brings, in the order of their file names (NN-name.ko).
 */
#ifndef SBX_GUEST_MODULES_H
#define SBX_GUEST_MODULES_H

#include <stddef.h>

#include "base/err.h"

struct module_list {
	char **names; /* owned, file names without directory, ascending bytewise */
	size_t n;
};

#define MODULES_MAX 256

/* The *.ko files of a directory; a missing directory is an empty list. */
int modules_list(const char *dir, struct module_list *ret, struct err *err);
void modules_done(struct module_list *l);
/* Loads them all and deletes them (they are memory). One that does not load is a line on the console: what it was
 * needed for will say so. */
int modules_load(const char *dir, struct err *err);

#endif
