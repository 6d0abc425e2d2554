/* SPDX-License-Identifier: Apache-2.0
 *
 * door: see door.h.
 */
#include "share/door.h"

#include <errno.h>
#include <linux/fuse.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "base/str.h"

/* One answer is a header and at most a few pieces. */
#define MAX_PIECES 8

void *door_user(fuse_req_t req)
{
	return ((struct door *)fuse_req_userdata(req))->user;
}

uint64_t door_unique(fuse_req_t req)
{
	return ((struct door *)fuse_req_userdata(req))->unique;
}

const void *door_args(fuse_req_t req)
{
	return ((struct door *)fuse_req_userdata(req))->in + sizeof(struct fuse_in_header);
}

/* Writes everything; the socket may have been made non-blocking by whoever made it. */
static int write_pieces(int fd, struct iovec *iov, int count)
{
	while (count > 0) {
		ssize_t w = writev(fd, iov, count);

		if (w < 0 && errno == EAGAIN) {
			struct pollfd p = { .fd = fd, .events = POLLOUT };

			/* No deadline: only the guest waits for a guest that does not read. */
			(void)poll(&p, 1, -1);
			continue;
		}
		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return -errno;
		while (count > 0 && (size_t)w >= iov->iov_len) {
			w -= (ssize_t)iov->iov_len;
			iov++;
			count--;
		}
		if (count > 0) {
			iov->iov_base = (char *)iov->iov_base + w;
			iov->iov_len -= (size_t)w;
		}
	}
	return 0;
}

/* libfuse 3.14 cannot agree on two features. The extended layout of FUSE_SETXATTR, which its builds differ about (see
 * xattrs.c); and that the server takes set-id bits off (the host does, for a process without CAP_FSETID), which saves a
 * GETXATTR for each write. The guard lets only kernels in that offer the first. */
static void amend_init(struct fuse_init_out *out, uint32_t offered)
{
	out->flags |= offered & (uint32_t)(FUSE_SETXATTR_EXT | FUSE_HANDLE_KILLPRIV_V2);
}

_Static_assert(sizeof(struct fuse_init_in) == FSSTATE_INIT_BYTES && sizeof(struct fuse_init_out) == FSSTATE_INIT_BYTES,
	       "the messages of linux/fuse.h that are written down");

static uint32_t offered_flags(const struct door *d)
{
	struct fuse_init_in in;

	memcpy(&in, d->offer, sizeof(in));
	return in.flags;
}

static ssize_t on_writev(int fd, struct iovec *iov, int count, void *userdata)
{
	struct door *d = userdata;
	struct iovec pieces[MAX_PIECES];
	struct fuse_init_out init;
	size_t total = 0;
	int r;

	/* libfuse says nothing about ENOENT, which for a kernel means an answer that came too late. */
	if (d->broken || count > MAX_PIECES) {
		d->broken = true;
		errno = ENOENT;
		return -1;
	}
	for (int i = 0; i < count; i++) {
		pieces[i] = iov[i];
		total += iov[i].iov_len;
	}
	if (d->init_answer && count == 2 && iov[1].iov_len == sizeof(init)) {
		memcpy(&init, iov[1].iov_base, sizeof(init));
		amend_init(&init, offered_flags(d));
		pieces[1].iov_base = &init;
		memcpy(d->agreed, &init, sizeof(init));
	}
	d->init_answer = false;
	if (d->mute)
		return (ssize_t)total;
	r = write_pieces(fd, pieces, count);
	if (r < 0) {
		d->broken = true;
		errno = ENOENT;
		return -1;
	}
	return (ssize_t)total;
}

static ssize_t on_read(int fd, void *bytes, size_t n, void *userdata)
{
	errno = EINVAL;
	return -1; /* messages are read by door_run */
}

__attribute__((format(printf, 2, 0))) static void on_log(enum fuse_log_level level, const char *fmt, va_list ap)
{
	char text[256], plain[512];
	int n = vsnprintf(text, sizeof(text), fmt, ap);

	if (n <= 0)
		return;
	if ((size_t)n >= sizeof(text))
		n = sizeof(text) - 1;
	while (n > 0 && text[n - 1] == '\n')
		n--;
	str_escape(plain, sizeof(plain), text, (size_t)n);
	log_debug("event=libfuse text=\"%s\"", plain);
}

int door_init(struct door *d, int fd, const struct fuse_lowlevel_ops *fuse_ops, const struct door_ops *ops, void *user,
	      struct err *err)
{
	static const struct fuse_custom_io io = { .writev = on_writev, .read = on_read };
	char name[] = "sbx-fs";
	char *argv[] = { name, NULL };
	struct fuse_args args = FUSE_ARGS_INIT(1, argv);

	*d = (struct door){ .fd = fd, .control_fd = -1, .ops = ops, .user = user };
	fuse_set_log_func(on_log);
	d->in = aligned_alloc(64, FUSE_GUARD_MAX_FRAME);
	d->se = d->in ? fuse_session_new(&args, fuse_ops, sizeof(*fuse_ops), d) : NULL;
	fuse_opt_free_args(&args);
	if (!d->se || fuse_session_custom_io(d->se, &io, fd) != 0) {
		d->fd = -1;
		door_done(d);
		return err_errno(err, ENOMEM, "cannot start a FUSE session");
	}
	return 0;
}

void door_done(struct door *d)
{
	if (d->se)
		fuse_session_destroy(d->se); /* closes fd */
	free(d->in);
	*d = (struct door){ .fd = -1, .control_fd = -1 };
}

static int answer_error(struct door *d, uint64_t unique, int error)
{
	struct fuse_out_header out = { .len = sizeof(out), .error = error, .unique = unique };
	struct iovec iov = { .iov_base = &out, .iov_len = sizeof(out) };

	return write_pieces(d->fd, &iov, 1);
}

static void serve_own(struct door *d, const struct fuse_in_header *head)
{
	d->held = head->opcode == FUSE_GUARD_HOLD;
	if (d->held)
		d->broken = answer_error(d, head->unique, 0) < 0;
	else if (d->ops->go)
		d->ops->go(d->user);
}

static int serve(struct door *d, size_t len, struct err *err)
{
	struct fuse_buf buf = { .mem = d->in, .size = len };
	struct fuse_in_header head;
	struct fuse_interrupt_in intr;
	int r = fuse_guard_check(&d->guard, d->in, len);

	memcpy(&head, d->in, sizeof(head));
	if (r != 0 && r != FUSE_GUARD_OWN)
		d->refused++;
	if (r == -EPROTO)
		return err_set(err, ERR_INVALID, EPROTO, "the guest broke the FUSE protocol (opcode %u, %zu bytes)",
			       head.opcode, len);
	if (r == FUSE_GUARD_OWN)
		serve_own(d, &head);
	if (r == FUSE_GUARD_DROP || r == FUSE_GUARD_OWN)
		return 0;
	if (r < 0) {
		log_debug("event=refused opcode=%u bytes=%zu errno=%d", head.opcode, len, -r);
		d->broken = answer_error(d, head.unique, r) < 0;
		return 0;
	}
	if (head.opcode == FUSE_INTERRUPT) {
		memcpy(&intr, d->in + sizeof(head), sizeof(intr));
		d->ops->interrupt(d->user, intr.unique);
		return 0;
	}
	d->unique = head.unique;
	d->init_answer = head.opcode == FUSE_INIT;
	if (d->init_answer)
		memcpy(d->offer, d->in + sizeof(head), sizeof(d->offer));
	fuse_session_process_buf(d->se, &buf);
	return 0;
}

/* Serves the messages that have arrived in whole. */
static int serve_all(struct door *d, struct err *err)
{
	for (;;) {
		long len = fuse_guard_length(d->in, d->have);
		int r;

		if (len < 0)
			return err_set(err, ERR_INVALID, EPROTO, "the guest sent a FUSE message of impossible length");
		if (len == 0 || (size_t)len > d->have)
			return 0;
		r = serve(d, (size_t)len, err);
		if (r < 0)
			return r;
		if (d->broken || fuse_session_exited(d->se))
			return err_set(err, ERR_UNAVAILABLE, EPIPE, "the FUSE session ended");
		/* To the front again, because libfuse reads structures in place. */
		d->have -= (size_t)len;
		memmove(d->in, d->in + len, d->have);
	}
}

/* Bytes read, 0 at the end, -EAGAIN where the time has passed or something else was served. */
static ssize_t receive(struct door *d, int timeout_ms)
{
	struct pollfd p[] = { { .fd = d->fd, .events = POLLIN }, { .fd = d->control_fd, .events = POLLIN } };
	ssize_t n = poll(p, ARRAY_LEN(p), timeout_ms);

	if (n > 0 && p[1].revents && d->ops->control(d->user) < 0)
		d->control_fd = -1;
	if (n > 0 && p[0].revents)
		n = read(d->fd, d->in + d->have, FUSE_GUARD_MAX_FRAME - d->have);
	else if (n >= 0)
		return -EAGAIN;
	if (n < 0)
		return errno == EINTR ? -EAGAIN : -errno;
	return n;
}

int door_run(struct door *d, struct err *err)
{
	int timeout_ms = -1;

	for (;;) {
		ssize_t n = receive(d, timeout_ms);
		int r;

		if (n == 0 || n == -ECONNRESET)
			return 0;
		if (n < 0 && n != -EAGAIN)
			return err_errno(err, (int)-n, "cannot read the file door");
		if (n > 0)
			d->have += (size_t)n;
		r = serve_all(d, err);
		if (r < 0)
			return r;
		timeout_ms = d->held ? -1 : d->ops->tick(d->user);
		if (d->broken)
			return err_set(err, ERR_UNAVAILABLE, EPIPE, "the FUSE session ended");
	}
}

bool door_is_still(const struct door *d)
{
	return d->guard.init && d->held && d->have == 0 && !d->broken;
}

void door_tell_old(struct door *d, uint64_t node_id)
{
	/* Whatever comes of it: it is a help, and a door that is broken is noticed. */
	(void)fuse_lowlevel_notify_inval_inode(d->se, node_id, 0, 0);
}

int door_replay(struct door *d, const void *frame, size_t len, struct err *err)
{
	int r;

	if (d->have > 0 || len > FUSE_GUARD_MAX_FRAME)
		return err_set(err, ERR_INTERNAL, EBUSY, "a message is under way");
	memcpy(d->in, frame, len);
	r = serve(d, len, err);
	if (r == 0 && (d->broken || fuse_session_exited(d->se)))
		return err_set(err, ERR_UNAVAILABLE, EPIPE, "the FUSE session ended");
	return r;
}

int door_agree(struct door *d, const uint8_t offer[FSSTATE_INIT_BYTES], const uint8_t agreed[FSSTATE_INIT_BYTES],
	       struct err *err)
{
	struct {
		struct fuse_in_header head;
		uint8_t offer[FSSTATE_INIT_BYTES];
	} frame = { .head = { .len = sizeof(frame), .opcode = FUSE_INIT, .unique = 1 } };
	int r;

	memcpy(frame.offer, offer, sizeof(frame.offer));
	d->mute = true;
	r = door_replay(d, &frame, sizeof(frame), err);
	d->mute = false;
	if (r < 0)
		return r;
	if (memcmp(d->agreed, agreed, FSSTATE_INIT_BYTES) != 0)
		return err_set(err, ERR_CONFLICT, 0, "libfuse does not agree upon what it did with this guest before");
	return 0;
}
