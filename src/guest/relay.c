/* SPDX-License-Identifier: Apache-2.0
 *
 * relay: see relay.h. The kernel hands out and takes exactly one message per read and write; the port is a byte
 * stream. Each direction holds one buffer, larger than the largest message; a length past it is the end.
 *
 * Holding the door: run_out reads no further request and sends FUSE_GUARD_HOLD in their place. The host serves in order,
 * so that its answer comes behind all others that there will be. run_out waits until it is told to go on, and sends
 * FUSE_GUARD_GO to whoever is the host by then.
 *
 * What the host says on its own (that a file's content is old) goes to the kernel from a thread of its own: the kernel may
 * wait there for a page that is being read, whose answer stands behind it in the stream.
 */
#include "guest/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fuse.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <time.h>

#include "base/io.h"
#include "base/own.h"
#include "guest/console.h"
#include "guest/ports.h"
#include "wire/fuse_guard.h"

/* max_write and max_read are at most 1 MiB (256 pages); the headers fit into one page more. */
#define MESSAGE_MAX ((1U << 20) + 65536U)
#define STACK_BYTES (128 * 1024)
/* How long another host end may take to come once the door is to go on. */
#define RETURN_MS 20000
/* The kernel's own numbers count up from 0 and never get here. */
#define OWN_UNIQUE (1ULL << 63)
/* What the host says on its own: a header and at most two names. */
#define NOTE_MAX 1024
/* Room for them: some thousand. What does not fit is dropped. */
#define NOTES_BYTES (2 << 20)

static int fuse_fd = -1, port_fd = -1, wake_fd = -1;
static int notes[2] = { -1, -1 }; /* packets, from run_in to run_notes */
static atomic_uint refused; /* messages, by the kernel; the first few are told */
static const char *mounted_at;
static atomic_long unanswered; /* requests that the host has */

/* What run_out is to do and how far it is. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool running;           /* neither side has failed */
	bool stop;              /* no further request is to be read */
	bool loose;             /* the host's end may go and another one come */
	uint64_t asked, sent, answered; /* the number of the last FUSE_GUARD_HOLD in each stage */
} door = { .lock = PTHREAD_MUTEX_INITIALIZER };

void relay_abort(void)
{
	/* MNT_FORCE reaches fuse's umount_begin, which aborts the connection whatever else is mounted of it. */
	if (mounted_at)
		(void)umount2(mounted_at, MNT_FORCE | MNT_DETACH);
}

/* Who waits for the door to be held need not wait any more. */
static void *ended(void)
{
	(void)pthread_mutex_lock(&door.lock);
	door.running = false;
	(void)pthread_cond_broadcast(&door.changed);
	(void)pthread_mutex_unlock(&door.lock);
	return NULL;
}

static void *give_up(const char *what, int e)
{
	console_line("file door: %s: %s", what, e ? strerror(e) : "the host closed it");
	relay_abort();
	return ended();
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

static int send_own(uint32_t opcode, uint64_t round)
{
	struct fuse_in_header head = { .len = sizeof(head), .opcode = opcode, .unique = OWN_UNIQUE | round };

	return write_port((const uint8_t *)&head, sizeof(head));
}

/* Holds the door for as long as that is wanted. */
static int hold(void)
{
	bool held = false;
	uint64_t n;
	int r = 0;

	(void)!read(wake_fd, &n, sizeof(n));
	(void)pthread_mutex_lock(&door.lock);
	while (r == 0 && door.stop && door.running) {
		if (door.sent == door.asked) {
			(void)pthread_cond_wait(&door.changed, &door.lock);
			continue;
		}
		n = door.sent = door.asked;
		(void)pthread_mutex_unlock(&door.lock);
		r = send_own(FUSE_GUARD_HOLD, n);
		held = true;
		(void)pthread_mutex_lock(&door.lock);
	}
	(void)pthread_mutex_unlock(&door.lock);
	if (r == 0 && held)
		r = ports_wait_host(port_fd, io_now_ms() + RETURN_MS);
	if (r == 0 && held)
		r = send_own(FUSE_GUARD_GO, 0);
	(void)pthread_mutex_lock(&door.lock);
	door.loose = door.stop;
	(void)pthread_mutex_unlock(&door.lock);
	return r;
}

/* Waits for a request, and holds the door where that is wanted. */
static int next_request(void)
{
	struct pollfd p[] = { { .fd = fuse_fd, .events = POLLIN }, { .fd = wake_fd, .events = POLLIN } };

	while (poll(p, ARRAY_LEN(p), -1) < 0)
		if (errno != EINTR)
			return -errno;
	return p[1].revents ? hold() : 0;
}

static bool is_answered(const uint8_t *message)
{
	struct fuse_in_header head;

	memcpy(&head, message, sizeof(head));
	return head.opcode != FUSE_FORGET && head.opcode != FUSE_BATCH_FORGET && head.opcode != FUSE_INTERRUPT;
}

/* Guest to host: ends when the file system is gone (ENODEV) or was aborted (ECONNABORTED). */
static void *run_out(void *arg)
{
	uint8_t *message = arg;

	for (;;) {
		int r = next_request();
		ssize_t n = r < 0 ? -1 : read(fuse_fd, message, MESSAGE_MAX);

		if (r < 0)
			return give_up("wait", -r);
		/* ENOENT: the request was interrupted before it was read. */
		if (n < 0 && (errno == EINTR || errno == ENOENT || errno == EAGAIN))
			continue;
		if (n < 0 && (errno == ENODEV || errno == ECONNABORTED))
			return ended();
		if (n < (ssize_t)sizeof(struct fuse_in_header))
			return give_up("read of a request", n < 0 ? errno : EIO);
		if (is_answered(message))
			atomic_fetch_add(&unanswered, 1);
		r = write_port(message, (size_t)n);
		if (r < 0)
			return give_up("write", -r);
	}
}

/* The answer to the last FUSE_GUARD_HOLD; an older one came too late. */
static void note_held(uint64_t unique)
{
	(void)pthread_mutex_lock(&door.lock);
	door.answered = unique & ~OWN_UNIQUE;
	(void)pthread_cond_broadcast(&door.changed);
	(void)pthread_mutex_unlock(&door.lock);
}

/* One whole message for the kernel. */
static int give(const uint8_t *message, size_t len)
{
	/* ENOENT: nobody waits for this answer any more, or the notified inode is not cached. */
	while (write(fuse_fd, message, len) < 0) {
		if (errno == EINTR)
			continue;
		if (errno == ENODEV || errno == EPERM)
			return -errno;
		if (errno != ENOENT && refused++ < 5)
			console_line("file door: the kernel refused a message: %s", strerror(errno));
		break;
	}
	return 0;
}

/* One whole message of the host. */
static int take(const uint8_t *message, size_t len)
{
	struct fuse_out_header head;

	memcpy(&head, message, sizeof(head));
	if (head.unique & OWN_UNIQUE) {
		note_held(head.unique);
		return 0;
	}
	if (head.unique == 0) {
		if ((len > NOTE_MAX || send(notes[0], message, len, MSG_DONTWAIT) < 0) && refused++ < 5)
			console_line("file door: a notice of the host is dropped");
		return 0;
	}
	atomic_fetch_sub(&unanswered, 1);
	return give(message, len);
}

/* Hands the whole messages at the head of n bytes to the kernel; bytes used, or -errno. */
static ssize_t deliver(const uint8_t *bytes, size_t n)
{
	size_t at = 0;
	int r;

	while (n - at >= sizeof(uint32_t)) {
		uint32_t len;

		memcpy(&len, bytes + at, sizeof(len));
		if (len < sizeof(struct fuse_out_header) || len > MESSAGE_MAX)
			return -EPROTO;
		if (n - at < len)
			break;
		r = take(bytes + at, len);
		if (r < 0)
			return r;
		at += len;
	}
	return (ssize_t)at;
}

/* Whether another host end may come, for which it waits a while. */
static bool host_returns(void)
{
	bool loose;

	(void)pthread_mutex_lock(&door.lock);
	loose = door.loose && door.running;
	(void)pthread_mutex_unlock(&door.lock);
	if (loose)
		(void)ports_wait_host(port_fd, io_now_ms() + 1000);
	return loose;
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
		if (n == 0 && host_returns()) {
			have = 0; /* another host begins with a whole message */
			continue;
		}
		if (n <= 0)
			return give_up("read", n < 0 ? errno : 0);
		have += (size_t)n;
		used = deliver(bytes, have);
		if (used == -ENODEV || used == -EPERM)
			return ended();
		if (used < 0)
			return give_up("message", (int)-used);
		have -= (size_t)used;
		if (used > 0 && have > 0)
			memmove(bytes, bytes + used, have);
	}
}

static void *run_notes(void *arg)
{
	uint8_t *note = arg;

	for (;;) {
		ssize_t n = recv(notes[1], note, NOTE_MAX, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || give(note, (size_t)n) < 0)
			return NULL;
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

static int prepare(void)
{
	const int room = NOTES_BYTES;
	pthread_condattr_t attr;
	int r, flags = fcntl(fuse_fd, F_GETFL);

	if (flags < 0 || fcntl(fuse_fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return errno;
	wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (wake_fd < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, notes) < 0)
		return errno;
	(void)setsockopt(notes[0], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	r = pthread_condattr_init(&attr);
	if (r == 0)
		r = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	if (r == 0)
		r = pthread_cond_init(&door.changed, &attr);
	(void)pthread_condattr_destroy(&attr);
	return r;
}

int relay_start(int fuse, int port, const char *mount_point, struct err *err)
{
	sigset_t all, old;
	int r;

	fuse_fd = fuse;
	port_fd = port;
	mounted_at = mount_point;
	r = prepare();
	if (r)
		return err_errno(err, r, "cannot prepare the file door");
	door.running = true;
	/* Signals are the loop's business. */
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	r = start_thread(run_out);
	if (r == 0)
		r = start_thread(run_in);
	if (r == 0)
		r = start_thread(run_notes);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r ? err_errno(err, r, "cannot start the file door") : 0;
}

int relay_quiesce(uint64_t deadline_ms)
{
	const struct timespec until = { .tv_sec = (time_t)(deadline_ms / 1000),
					.tv_nsec = (long)(deadline_ms % 1000) * 1000000 };
	const uint64_t one = 1;
	int r = 0;

	if (wake_fd < 0)
		return 0;
	(void)pthread_mutex_lock(&door.lock);
	door.stop = door.loose = true;
	door.asked++;
	(void)!write(wake_fd, &one, sizeof(one));
	(void)pthread_cond_broadcast(&door.changed);
	while (door.running && door.answered != door.asked && r == 0)
		r = -pthread_cond_timedwait(&door.changed, &door.lock, &until);
	if (!door.running)
		r = -EPIPE;
	else if (door.answered == door.asked)
		r = 0;
	(void)pthread_mutex_unlock(&door.lock);
	if (r == 0)
		return 0;
	console_line("file door: cannot be held: %s; %ld requests wait for the host", strerror(-r),
		     atomic_load(&unanswered));
	relay_resume();
	return r;
}

void relay_resume(void)
{
	(void)pthread_mutex_lock(&door.lock);
	door.stop = false;
	(void)pthread_cond_broadcast(&door.changed);
	(void)pthread_mutex_unlock(&door.lock);
}
