/* SPDX-License-Identifier: Apache-2.0
 *
 * template: the built-in templates, whose lists and scripts (templates/NAME/) are part of the program, and the
 * digest of everything that decides what comes out of a build. What Debian publishes is no input: a template is not
 * rebuilt because a mirror changed, only when this program's recipe did or the user asks (--refresh).
 */
#ifndef SBX_IMAGE_TEMPLATE_H
#define SBX_IMAGE_TEMPLATE_H

#include "wire/manifest.h"

struct template {
	const char *name;
	const char *suite;     /* Debian's codename */
	const char *arch;      /* Debian's */
	const char *kernel;    /* the package that depends on the newest kernel of its kind */
	const char *packages;  /* a list (lines.h) */
	const char *dpkg;      /* a list: lines of dpkg's configuration */
	const char *modules;   /* a list: what the guest loads before its root disk is there */
	const char *customize; /* a shell script */
};

/* NULL where no template has that name. Static memory. */
const struct template *template_find(const char *name);
/* 0 or -errno. */
int template_inputs(const struct template *t, char ret[static MANIFEST_DIGEST]);

#endif
