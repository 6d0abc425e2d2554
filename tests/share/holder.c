/* SPDX-License-Identifier: Apache-2.0
 *
 * holder MOUNTPOINT: the guest's own relay (guest/relay.h) with this kernel. Descriptor 3 is the file door's stream socket, 4 a
 * stream socket for commands of one byte, each answered by a byte: `h` holds the door (`h`, or `!` where it cannot), `r`
 * goes on, `g` with a descriptor goes on with that one in the place of descriptor 3. Prints "mounted" when it is. Ends with
 * the command socket.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "guest/relay.h"

#define DOOR 3
#define COMMANDS 4
#define HOLD_MS 30000

/* A byte and perhaps a descriptor; 0 at the end. */
static char command(int *ret_fd)
{
	union {
		struct cmsghdr head;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control;
	char c = 0;
	struct iovec iov = { .iov_base = &c, .iov_len = 1 };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
	struct cmsghdr *head;

	if (recvmsg(COMMANDS, &m, MSG_CMSG_CLOEXEC) <= 0)
		return 0;
	head = CMSG_FIRSTHDR(&m);
	if (head && head->cmsg_type == SCM_RIGHTS)
		memcpy(ret_fd, CMSG_DATA(head), sizeof(*ret_fd));
	return c;
}

static char obey(char c, int fd)
{
	if (c == 'h')
		return relay_quiesce(io_now_ms() + HOLD_MS) == 0 ? 'h' : '!';
	if (c == 'g' && (io_set_nonblock(fd, true) < 0 || dup2(fd, DOOR) < 0 || close(fd) < 0))
		return '!';
	relay_resume();
	return c;
}

int main(int argc, char **argv)
{
	struct err err;
	char opts[128], c, answer;
	int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC), fd = -1;

	if (argc != 2 || fuse < 0) {
		perror("holder: /dev/fuse");
		return 77;
	}
	(void)snprintf(opts, sizeof(opts), "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions", fuse);
	if (mount("sbx", argv[1], "fuse.sbx", MS_NOSUID | MS_NODEV, opts) < 0) {
		perror("holder: mount");
		return 77;
	}
	if (io_set_nonblock(DOOR, true) < 0 || relay_start(fuse, DOOR, argv[1], &err) < 0)
		return 1;
	(void)puts("mounted");
	(void)fflush(stdout);
	while ((c = command(&fd))) {
		answer = obey(c, fd);
		if (write(COMMANDS, &answer, 1) != 1)
			break;
	}
	relay_abort();
	return 0;
}
