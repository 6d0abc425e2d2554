/* SPDX-License-Identifier: Apache-2.0
 *
 * packages: the first step. Every package of the template, and the kernel's, is found and downloaded by apt with a
 * configuration of its own in the job's directory (no root, nothing of the machine's changes): signatures and digests
 * are checked by apt, a download that was cut off goes on.
 */
#ifndef SBX_IMAGE_PACKAGES_H
#define SBX_IMAGE_PACKAGES_H

#include "image/job.h"
#include "image/source.h"

/* Below the job's directory. */
#define PACKAGES_ARCHIVES "apt/archives"
#define PACKAGES_KERNEL "apt/kernel"
#define PACKAGES_ACQUIRE "apt/acquire.conf" /* how the machine's apt reaches the network: proxies and the like */

struct packages {
	char kernel[256]; /* the file in PACKAGES_KERNEL */
	size_t count;	  /* files in PACKAGES_ARCHIVES */
};

int packages_fetch(const struct job *j, const struct source *source, struct packages *ret, struct err *err);

/* For packages_fetch and its tests. The package that the kernel's meta-package depends on, out of what
 * `apt-cache show` says: 0 or -ENOENT. */
int packages_parse_kernel(const char *text, char *ret, size_t size);
/* The file name out of what `apt-get --print-uris download` says: 0 or -ENOENT. */
int packages_parse_uri(const char *text, char *ret, size_t size);

#endif
