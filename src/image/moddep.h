/* SPDX-License-Identifier: Apache-2.0
 *
 * moddep: which modules to load, in which order, so that each comes after what it depends on. Enters: the texts that
 * depmod wrote (modules.dep, modules.softdep, modules.builtin; depmod(8)), and names. Leaves: paths as modules.dep
 * has them. Modules that the kernel has built in are left out; a name that exists nowhere is an error. No I/O.
 */
#ifndef SBX_IMAGE_MODDEP_H
#define SBX_IMAGE_MODDEP_H

#include <stddef.h>

#include "base/err.h"

#define MODDEP_MAX 99 /* modules in an order: their file names begin with two digits */

struct moddep {
	const char *dep;     /* "PATH: PATH PATH ...", what is needed last comes first */
	const char *softdep; /* "softdep NAME pre: NAME ... post: NAME ..." */
	const char *builtin; /* PATH per line */
};

struct moddep_order {
	char *path[MODDEP_MAX]; /* owned */
	size_t n;
};

/* wanted: a list (lines.h). *ret is to be let go of with moddep_done; untouched on failure. */
int moddep_sort(const struct moddep *in, const char *wanted, struct moddep_order *ret, struct err *err);
void moddep_done(struct moddep_order *o);
/* "kernel/fs/foo-bar.ko.xz" becomes "foo_bar" (the kernel takes - and _ for the same): 0 or -ENAMETOOLONG. */
int moddep_name(const char *path, size_t n, char *ret, size_t size);

#endif
