/* SPDX-License-Identifier: Apache-2.0
 *
 * bootstrap: the second step. mmdebstrap installs the packages into a root file system of its own and hands it over
 * as a tar archive (JOB_TAR) and the kernel's boot image (JOB_VMLINUZ).
 *
 * It runs as root of mount and process namespaces of its own, for an ordinary user of a user namespace too (the
 * user's subordinate ids, newuidmap): so the same steps serve both, no directory has to be open to others, and the
 * end of the first process ends all and unmounts all, however this program ended.
 */
#ifndef SBX_IMAGE_BOOTSTRAP_H
#define SBX_IMAGE_BOOTSTRAP_H

#include "image/packages.h"

int bootstrap_run(const struct job *j, const struct source *source, const struct packages *p, struct err *err);
/* Whether this machine and user can do it, with a remedy where not. */
int bootstrap_check(const struct job *j, struct err *err);
/* Removes what a bootstrap that was killed left behind. */
int bootstrap_clean(const struct job *j, struct err *err);

#endif
