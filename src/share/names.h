/* SPDX-License-Identifier: Apache-2.0
 *
 * names: the FUSE operations on names: lookup, creation, removal, rename, links. Signatures are libfuse's
 * (struct fuse_lowlevel_ops). Names are single components that fuse_guard has seen.
 *
 * Set-id bits never reach a file that the guest makes, because the file would be set-id for the host's user. Devices are refused.
 */
#ifndef SBX_SHARE_NAMES_H
#define SBX_SHARE_NAMES_H

#include "share/door.h"

void names_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void names_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup);
void names_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void names_readlink(fuse_req_t req, fuse_ino_t ino);
void names_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev);
void names_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void names_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void names_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name);
void names_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void names_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void names_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent, const char *new_name,
		  unsigned int flags);

#endif
