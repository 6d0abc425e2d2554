/* SPDX-License-Identifier: Apache-2.0
 *
 * io: descriptors and small files. Everything here is CLOEXEC at birth and retries EINTR. Whole-file helpers
 * have a maximum.
 */
#ifndef SBX_BASE_IO_H
#define SBX_BASE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"

/* Writes all n bytes to a blocking descriptor; 0 or -errno. */
int io_write_all(int fd, const void *bytes, size_t n);
/* Reads until n bytes or the end; bytes read or -errno. */
ssize_t io_read_full(int fd, void *bytes, size_t n);
/* Appends everything up to the end of fd to out (bounded by out's maximum: -EMSGSIZE). */
int io_read_to_end(int fd, struct buf *out);
/* The content of a file; *ret is owned and NUL-terminated. dirfd may be AT_FDCWD. */
int io_read_file(int dirfd, const char *path, size_t max_bytes, char **ret, size_t *ret_n);
/* Replaces dirfd/name atomically: temporary file, fsync, rename, fsync of the directory. */
int io_write_file_atomic(int dirfd, const char *name, const void *bytes, size_t n, mode_t mode);
/* The same without waiting for the disk: readers see the old or the new one, a crash may leave an empty one. */
int io_write_file_whole(int dirfd, const char *name, const void *bytes, size_t n, mode_t mode);
/* Has the directory that holds path reach the disk, so that a loss of power does not undo a rename there; 0 or -errno. */
int io_sync_parent(const char *path);
int io_set_nonblock(int fd, bool on);
/* A pair of connected CLOEXEC stream sockets. */
int io_socketpair(int fds[2]);
/* Removes dirfd/name and everything below, never following a symlink; a missing one is no error. */
int io_remove_tree(int dirfd, const char *name);
/* mkdir -p with mode for the directories that it makes; 0 or -errno. */
int io_mkdirs(const char *path, mode_t mode);

/* Unix sockets at DIR/NAME where the whole path may be longer than sun_path: goes through /proc/self/fd. */
int io_unix_listen(int dirfd, const char *name, int backlog);
int io_unix_connect(int dirfd, const char *name);
/* The same with SOCK_SEQPACKET: whole messages. */
int io_packet_listen(int dirfd, const char *name, int backlog);
int io_packet_connect(int dirfd, const char *name);
/* Of either type (SOCK_STREAM, SOCK_SEQPACKET), and without waiting: -EAGAIN where too many wait to be accepted. The descriptor blocks. */
int io_connect_now(int type, int dirfd, const char *name);
/* The uid on the other end of a connected Unix socket. */
int io_peer_uid(int fd, uid_t *ret);

/* Milliseconds of CLOCK_MONOTONIC. */
uint64_t io_now_ms(void);

#endif
