/* SPDX-License-Identifier: Apache-2.0
 *
 * fdpass: see fdpass.h.
 */
#include "vm/fdpass.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "base/own.h"

union control {
	char bytes[CMSG_SPACE(FDPASS_MAX * sizeof(int))];
	struct cmsghdr align;
};

int fdpass_send(int sock, const void *text, size_t n, const int *fds, size_t nfds)
{
	union control control = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)text, .iov_len = n };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t sent;

	if (nfds > FDPASS_MAX)
		return -E2BIG;
	if (nfds > 0) {
		struct cmsghdr *head;

		msg.msg_control = control.bytes;
		msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
		head = CMSG_FIRSTHDR(&msg);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(nfds * sizeof(int));
		memcpy(CMSG_DATA(head), fds, nfds * sizeof(int));
	}
	do
		sent = sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return -errno;
	return (size_t)sent == n ? 0 : -EAGAIN;
}

ssize_t fdpass_recv(int sock, void *text, size_t size, int *ret_fds, size_t nfds)
{
	union control control;
	struct iovec iov = { .iov_base = text, .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes) };
	struct cmsghdr *head;
	size_t got = 0;
	ssize_t n;

	for (size_t i = 0; i < nfds; i++)
		ret_fds[i] = -1;
	do
		n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	for (head = CMSG_FIRSTHDR(&msg); head; head = CMSG_NXTHDR(&msg, head)) {
		size_t count;

		if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
			continue;
		count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(head) + i * sizeof(int), sizeof(fd));
			if (got < nfds)
				ret_fds[got++] = fd;
			else
				own_close_p(&fd);
		}
	}
	for (size_t i = 0; got < nfds && i < nfds; i++)
		own_close_p(&ret_fds[i]);
	return msg.msg_flags & MSG_TRUNC ? -EMSGSIZE : n;
}
