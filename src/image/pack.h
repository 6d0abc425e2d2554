/* SPDX-License-Identifier: Apache-2.0
 *
 * pack: the fourth step: JOB_TAR becomes JOB_LAYER, a squashfs by tar2sqfs, which needs no root.
 */
#ifndef SBX_IMAGE_PACK_H
#define SBX_IMAGE_PACK_H

#include "image/job.h"

int pack_layer(const struct job *j, struct err *err);

#endif
