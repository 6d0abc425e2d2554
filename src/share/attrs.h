/* SPDX-License-Identifier: Apache-2.0
 *
 * attrs: the FUSE operations on attributes. Signatures are libfuse's (struct fuse_lowlevel_ops).
 *
 * Ownership is not the guest's to give: everything is shown as TREE_UID:TREE_GID, chown to root or to these is
 * accepted and changes nothing, to anybody else is EPERM. chmod sets permission bits; set-id bits on files and what is
 * no permission are masked, set-gid and sticky on directories are the host's to allow.
 */
#ifndef SBX_SHARE_ATTRS_H
#define SBX_SHARE_ATTRS_H

#include "share/door.h"

void attrs_get(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void attrs_set(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set, struct fuse_file_info *fi);
void attrs_access(fuse_req_t req, fuse_ino_t ino, int mask);
void attrs_statfs(fuse_req_t req, fuse_ino_t ino);

#endif
