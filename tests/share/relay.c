/* SPDX-License-Identifier: Apache-2.0
 *
 * relay MOUNTPOINT: stands in for the guest. Descriptor 3 is the file door's stream socket; mounts FUSE at MOUNTPOINT as
 * the guest does and carries messages both ways until the mount or the socket ends. Prints "mounted" when it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/io.h"

#define DOOR 3
#define BUFFER (2U << 20)

static int fuse_fd;

/* From the kernel to the server: each read is one whole message. */
static void *up(__attribute__((unused)) void *arg)
{
	uint8_t *buf = malloc(BUFFER);

	while (buf) {
		ssize_t n = read(fuse_fd, buf, BUFFER);

		if (n < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN))
			continue;
		if (n <= 0 || io_write_all(DOOR, buf, (size_t)n) < 0)
			break;
	}
	exit(0);
}

/* From the server to the kernel: messages are cut out of the stream. */
static int down(uint8_t *buf)
{
	uint32_t len;

	for (;;) {
		ssize_t n = io_read_full(DOOR, buf, sizeof(len));

		if (n == 0)
			return 0;
		if (n < (ssize_t)sizeof(len))
			return 1;
		memcpy(&len, buf, sizeof(len));
		if (len < 16 || len > BUFFER)
			return 1;
		n = io_read_full(DOOR, buf + sizeof(len), len - sizeof(len));
		if (n != (ssize_t)(len - sizeof(len)))
			return 1;
		/* ENOENT: the request was given up meanwhile. */
		if (write(fuse_fd, buf, len) < 0 && errno != ENOENT) {
			perror("relay: answer");
			return errno == ENODEV ? 0 : 1;
		}
	}
}

int main(int argc, char **argv)
{
	uint8_t *buf = malloc(BUFFER);
	pthread_t thread;
	char opts[128];

	fuse_fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (argc != 2 || !buf || fuse_fd < 0) {
		perror("relay: /dev/fuse");
		return 77;
	}
	(void)snprintf(opts, sizeof(opts), "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions",
		       fuse_fd);
	if (mount("sbx", argv[1], "fuse.sbx", MS_NOSUID | MS_NODEV, opts) < 0) {
		perror("relay: mount");
		return 77;
	}
	if (pthread_create(&thread, NULL, up, NULL) != 0)
		return 1;
	(void)puts("mounted");
	(void)fflush(stdout);
	return down(buf);
}
