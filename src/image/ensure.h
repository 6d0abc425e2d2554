/* SPDX-License-Identifier: Apache-2.0
 *
 * ensure: a template's whole way from its inputs to its manifest.
 */
#ifndef SBX_IMAGE_ENSURE_H
#define SBX_IMAGE_ENSURE_H

#include "image/job.h"
#include "image/store.h"

#define ENSURE_STEPS 5

/* 0 and its manifest where the template is current, -ENOENT where it must be built, else an error. Writes nothing. */
int ensure_check(const char *cache_dir, const struct template *t, struct manifest *ret, struct err *err);
/* Builds it where ensure_check says so, or in any case where refresh is set: then also from Debian's newest packages. */
int ensure_template(const char *cache_dir, const struct template *t, bool refresh, struct progress *p, bool *ret_built,
		    struct err *err);

#endif
