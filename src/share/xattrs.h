/* SPDX-License-Identifier: Apache-2.0
 *
 * xattrs: the FUSE operations on extended attributes. Only user.* goes through to the host, on regular files and
 * directories; all other name spaces answer EOPNOTSUPP. Signatures are libfuse's (struct fuse_lowlevel_ops).
 */
#ifndef SBX_SHARE_XATTRS_H
#define SBX_SHARE_XATTRS_H

#include "share/door.h"

void xattrs_set(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags);
void xattrs_get(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void xattrs_list(fuse_req_t req, fuse_ino_t ino, size_t size);
void xattrs_remove(fuse_req_t req, fuse_ino_t ino, const char *name);

#endif
