/* SPDX-License-Identifier: Apache-2.0
 *
 * save: what the guest's kernel holds of this session, written down as wire/fsstate so that another sbx-fs can go on
 * with it (restore.h).
 */
#ifndef SBX_SHARE_SAVE_H
#define SBX_SHARE_SAVE_H

#include "base/buf.h"
#include "base/err.h"
#include "share/fs.h"

/* out is empty, with a maximum of FSSTATE_MAX_BYTES. The content of open files without a name is written, too, up to
 * FSSTATE_MAX_KEPT. *ret_lost: open files that have no name any more and whose content is not written. ERR_CONFLICT where the guest's relay has not asked for silence: something might be under way. */
int save_state(struct fs *f, struct buf *out, size_t *ret_lost, struct err *err);

#endif
