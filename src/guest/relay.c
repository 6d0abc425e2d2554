/* SPDX-License-Identifier: Apache-2.0
 *
 * relay: see relay.h. The kernel hands out and takes exactly one message per read and write; the port is a byte
 * stream. Each direction holds one buffer, larger than the largest message; a length past it is the end.
 */
#include "guest/relay.h"

#include <errno.h>
#include <limits.h>
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>

#include "base/own.h"
#include "guest/console.h"

/* max_write and max_read are at most 1 MiB (256 pages); the headers fit into one page more. */
#define MESSAGE_MAX ((1U << 20) + 65536U)
#define STACK_BYTES (128 * 1024)

static int fuse_fd = -1, port_fd = -1;
static unsigned refused; /* messages, by the kernel; the first few are told */
static const char *mounted_at;

void relay_abort(void)
{
	/* MNT_FORCE reaches fuse's umount_begin, which aborts the connection whatever else is mounted of it. */
	if (mounted_at)
		(void)umount2(mounted_at, MNT_FORCE | MNT_DETACH);
}

static void give_up(const char *what, int e)
{
	console_line("file door: %s: %s", what, e ? strerror(e) : "the host closed it");
	relay_abort();
}

static int wait_port(short events)
{
	struct pollfd p = { .fd = port_fd, .events = events };

	while (poll(&p, 1, -1) < 0)
		if (errno != EINTR)
			return -errno;
	/* Hung up and nothing to read: the host's end is gone for good. */
	if ((p.revents & POLLHUP) && !(p.revents & POLLIN))
		return -EPIPE;
	return 0;
}

static int write_port(const uint8_t *bytes, size_t n)
{
	while (n > 0) {
		ssize_t w = write(port_fd, bytes, n);
		int r;

		if (w > 0) {
			bytes += w;
			n -= (size_t)w;
			continue;
		}
		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0 && errno != EAGAIN)
			return -errno;
		r = wait_port(POLLOUT);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Guest to host: ends when the file system is gone (ENODEV) or was aborted (ECONNABORTED). */
static void *run_out(void *arg)
{
	uint8_t *message = arg;
	int r;

	for (;;) {
		ssize_t n = read(fuse_fd, message, MESSAGE_MAX);

		/* ENOENT: the request was interrupted before it was read. */
		if (n < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN))
			continue;
		if (n < 0 && (errno == ENODEV || errno == ECONNABORTED))
			return NULL;
		if (n <= 0) {
			give_up("read of a request", n < 0 ? errno : EIO);
			return NULL;
		}
		r = write_port(message, (size_t)n);
		if (r < 0) {
			give_up("write", -r);
			return NULL;
		}
	}
}

/* Hands the whole messages at the head of n bytes to the kernel; bytes used, or -errno. */
static ssize_t deliver(const uint8_t *bytes, size_t n)
{
	size_t at = 0;

	while (n - at >= sizeof(uint32_t)) {
		uint32_t len;

		memcpy(&len, bytes + at, sizeof(len));
		if (len < sizeof(struct fuse_out_header) || len > MESSAGE_MAX)
			return -EPROTO;
		if (n - at < len)
			break;
		/* ENOENT: nobody waits for this answer any more, or the notified inode is not cached. */
		while (write(fuse_fd, bytes + at, len) < 0) {
			if (errno == EINTR)
				continue;
			if (errno == ENODEV || errno == EPERM)
				return -errno;
			if (errno != ENOENT && refused++ < 5)
				console_line("file door: the kernel refused a message: %s", strerror(errno));
			break;
		}
		at += len;
	}
	return (ssize_t)at;
}

/* Host to guest. */
static void *run_in(void *arg)
{
	uint8_t *bytes = arg;
	size_t have = 0;

	for (;;) {
		ssize_t n = read(port_fd, bytes + have, MESSAGE_MAX - have), used;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			(void)wait_port(POLLIN);
			continue;
		}
		if (n <= 0) {
			give_up("read", n < 0 ? errno : 0);
			return NULL;
		}
		have += (size_t)n;
		used = deliver(bytes, have);
		if (used < 0) {
			if (used != -ENODEV && used != -EPERM)
				give_up("message", (int)-used);
			return NULL;
		}
		have -= (size_t)used;
		if (used > 0 && have > 0)
			memmove(bytes, bytes + used, have);
	}
}

static int start_thread(void *(*run)(void *))
{
	void *memory = mmap(NULL, MESSAGE_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_attr_t attr;
	pthread_t t;
	int r;

	if (memory == MAP_FAILED)
		return errno;
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	(void)pthread_attr_setstacksize(&attr, STACK_BYTES);
	r = pthread_create(&t, &attr, run, memory);
	(void)pthread_attr_destroy(&attr);
	return r;
}

int relay_start(int fuse, int port, const char *mount_point, struct err *err)
{
	sigset_t all, old;
	int r;

	fuse_fd = fuse;
	port_fd = port;
	mounted_at = mount_point;
	/* Signals are the loop's business. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	r = start_thread(run_out);
	if (r == 0)
		r = start_thread(run_in);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r ? err_errno(err, r, "cannot start the file door") : 0;
}
