/* SPDX-License-Identifier: Apache-2.0
 *
 * dirs: the FUSE operations on listings. Offsets are the host file system's own (d_off), so a listing that goes on
 * after changes misses and repeats nothing that did not change. Signatures are libfuse's (struct fuse_lowlevel_ops).
 */
#ifndef SBX_SHARE_DIRS_H
#define SBX_SHARE_DIRS_H

#include "share/door.h"

void dirs_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void dirs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void dirs_read_plus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void dirs_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void dirs_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);

#endif
