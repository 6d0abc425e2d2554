/* SPDX-License-Identifier: Apache-2.0
 *
 * files: the FUSE operations on content. Signatures are libfuse's (struct fuse_lowlevel_ops).
 *
 * Host files are opened without O_APPEND: the guest's page cache writes back through any open file. A write that the
 * guest means to append is appended on the host (RWF_APPEND), so that host and guest can both append to one log.
 */
#ifndef SBX_SHARE_FILES_H
#define SBX_SHARE_FILES_H

#include "share/door.h"

void files_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi);
void files_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void files_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void files_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t off, struct fuse_file_info *fi);
void files_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void files_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void files_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void files_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t off, off_t len, struct fuse_file_info *fi);
void files_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi);
void files_copy(fuse_req_t req, fuse_ino_t ino_in, off_t off_in, struct fuse_file_info *fi_in, fuse_ino_t ino_out,
		off_t off_out, struct fuse_file_info *fi_out, size_t len, int flags);

#endif
