/* SPDX-License-Identifier: Apache-2.0
 *
 * tls: see tls.h. OpenSSL reads from the bytes that the chan below delivers just now, and writes straight into that chan: there is no
 * buffer between them. What OpenSSL has not taken of a delivery stays below.
 */
#include "proxy/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORD 16384  /* most bytes in a record */
#define OVERHEAD 128  /* more than a record needs besides */
#define ROOM_MIN 1024 /* no records of a few bytes because little room is left */

enum state { HANDSHAKE, OPEN, FAILED };

struct tls {
	struct chan chan;
	struct chan *below; /* owned */
	SSL *ssl;           /* owned */
	enum state state;
	const uint8_t *in;  /* being delivered; NULL outside of that */
	size_t in_n;
	bool peer_closed;   /* close_notify came */
	bool notify_due;    /* ours is to be sent, there was no room */
	bool released;      /* the owner is gone; freed when nothing of ours runs */
	unsigned int busy;
	struct due due;         /* of the handshake */
	struct turn_item first; /* a client speaks first, but not within tls_start */
	tls_done *done;
	void *user;
};

static void drive(struct tls *t);

/* --- the BIO --- */

static int bio_read(BIO *b, char *to, int n)
{
	struct tls *t = BIO_get_data(b);
	size_t len = (size_t)n < t->in_n ? (size_t)n : t->in_n;

	BIO_clear_retry_flags(b);
	if (len == 0) {
		BIO_set_retry_read(b);
		return -1;
	}
	memcpy(to, t->in, len);
	t->in += len;
	t->in_n -= len;
	return (int)len;
}

static int bio_write(BIO *b, const char *bytes, int n)
{
	struct tls *t = BIO_get_data(b);
	size_t took = chan_write(t->below, bytes, (size_t)n);

	BIO_clear_retry_flags(b);
	if (took == 0) {
		BIO_set_retry_write(b);
		return -1;
	}
	return (int)took;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	return cmd == BIO_CTRL_FLUSH;
}

static BIO_METHOD *bio_method(void)
{
	static BIO_METHOD *method; /* for the life of the process */

	if (method)
		return method;
	method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "chan");
	if (!method)
		return NULL;
	(void)BIO_meth_set_read(method, bio_read);
	(void)BIO_meth_set_write(method, bio_write);
	(void)BIO_meth_set_ctrl(method, bio_ctrl);
	return method;
}

/* --- the end --- */

static void destroy(struct tls *t)
{
	due_drop(&t->due);
	turn_drop(&t->first);
	/* Without this OpenSSL thinks badly of a session whose connection was not shut down, and does not resume it. */
	if (t->state == OPEN)
		SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(t->ssl);
	chan_free(t->below);
	chan_done(&t->chan);
	free(t);
}

static void enter(struct tls *t)
{
	t->busy++;
}

/* false: t is gone. */
static bool leave(struct tls *t)
{
	if (--t->busy > 0 || !t->released)
		return !t->released;
	destroy(t);
	return false;
}

/* One line about what OpenSSL says last; empties its queue. */
static void explain(struct tls *t, char *dst, size_t size)
{
	unsigned long e = ERR_peek_last_error();
	long verify = SSL_get_verify_result(t->ssl);
	const char *reason = e ? ERR_reason_error_string(e) : NULL;

	if (verify != X509_V_OK)
		reason = X509_verify_cert_error_string(verify);
	(void)snprintf(dst, size, "%s", reason ? reason : "the handshake failed");
	ERR_clear_error();
}

/* The handshake's end, good or bad. */
static void finish(struct tls *t, const char *why)
{
	tls_done *done = t->done;
	void *user = t->user;

	due_drop(&t->due);
	t->done = NULL;
	if (!why) {
		t->state = OPEN;
		chan_pause(t->below);
		done(user, &t->chan, NULL, 0);
		return;
	}
	t->state = FAILED;
	/* In order, so that the alert gets out. */
	chan_close(TAKE_PTR(t->below));
	t->released = true;
	done(user, NULL, why, SSL_get_verify_result(t->ssl));
}

static void fail(struct tls *t, int error)
{
	if (t->state == HANDSHAKE) {
		finish(t, error == -ETIMEDOUT ? TLS_TOO_LONG : "the connection ended in the TLS handshake");
		return;
	}
	if (t->state == OPEN)
		chan_deliver_closed(&t->chan, error);
	t->state = FAILED;
}

/* --- bytes --- */

static void drive_handshake(struct tls *t)
{
	char why[160];
	int r, error;

	ERR_clear_error();
	r = SSL_do_handshake(t->ssl);
	if (r == 1) {
		finish(t, NULL);
		return;
	}
	error = SSL_get_error(t->ssl, r);
	if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
		return;
	explain(t, why, sizeof(why));
	finish(t, why);
}

/* As many whole records as there are and as fit. 0: nothing (more must come, or it is over). */
static size_t read_records(struct tls *t, uint8_t *to, size_t size)
{
	size_t n = 0;
	int r = 1, error;

	ERR_clear_error();
	while (size - n >= RECORD && (r = SSL_read(t->ssl, to + n, RECORD)) > 0)
		n += (size_t)r;
	if (r > 0)
		return n;
	error = SSL_get_error(t->ssl, r);
	if (error == SSL_ERROR_ZERO_RETURN)
		t->peer_closed = true;
	else if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
		t->state = FAILED;
	return n;
}

static void drive_read(struct tls *t)
{
	static uint8_t plain[2 * RECORD]; /* one loop, one thread: shared, never held across calls */

	while (t->chan.reading && t->state == OPEN && !t->peer_closed && !t->released) {
		size_t n = read_records(t, plain, sizeof(plain));
		int r = n > 0 ? chan_deliver(&t->chan, plain, n) : 0;

		if (t->released)
			return;
		if (r < 0 || t->state == FAILED) {
			ERR_clear_error();
			t->state = OPEN;
			fail(t, r < 0 ? r : -EPROTO);
			return;
		}
		if (t->peer_closed)
			chan_deliver_eof(&t->chan);
		if (n == 0)
			return;
	}
}

static void drive(struct tls *t)
{
	if (t->state == HANDSHAKE)
		drive_handshake(t);
	if (t->state == OPEN && !t->released)
		drive_read(t);
}

static size_t below_bytes(void *owner, struct chan *c, const uint8_t *bytes, size_t n)
{
	struct tls *t = owner;
	size_t left;

	enter(t);
	t->in = bytes;
	t->in_n = n;
	drive(t);
	/* After close_notify and after a failure nothing counts. */
	left = t->peer_closed || t->state == FAILED ? 0 : t->in_n;
	if (left > 0 && t->state == OPEN && !t->chan.reading && !t->released)
		chan_pause(c);
	t->in = NULL;
	t->in_n = 0;
	(void)leave(t);
	return n - left;
}

static void below_eof(void *owner, struct chan *c)
{
	struct tls *t = owner;

	enter(t);
	if (!t->peer_closed)
		fail(t, -ECONNRESET);
	(void)leave(t);
}

static void send_notify(struct tls *t)
{
	ERR_clear_error();
	t->notify_due = SSL_shutdown(t->ssl) < 0 && SSL_get_error(t->ssl, -1) == SSL_ERROR_WANT_WRITE;
	if (!t->notify_due)
		chan_shutdown(t->below);
}

static void below_writable(void *owner, struct chan *c)
{
	struct tls *t = owner;

	enter(t);
	if (t->state == HANDSHAKE)
		drive_handshake(t);
	else if (t->state == OPEN && t->notify_due)
		send_notify(t);
	else if (t->state == OPEN)
		chan_deliver_writable(&t->chan);
	(void)leave(t);
}

static void below_closed(void *owner, struct chan *c, int error)
{
	struct tls *t = owner;

	enter(t);
	if (t->state == OPEN && error == 0 && t->peer_closed && t->chan.shut)
		chan_deliver_closed(&t->chan, 0);
	else
		fail(t, error ? error : -ECONNRESET);
	(void)leave(t);
}

static const struct chan_ops below_ops = {
	.bytes = below_bytes,
	.eof = below_eof,
	.writable = below_writable,
	.closed = below_closed,
};

/* --- the chan --- */

static struct tls *of(struct chan *c)
{
	return container_of(c, struct tls, chan);
}

static size_t tls_room(const struct chan *c)
{
	size_t room = chan_room(container_of((struct chan *)(uintptr_t)c, struct tls, chan)->below);

	return room < ROOM_MIN ? 0 : room - (room / RECORD + 1) * OVERHEAD;
}

/* Up to max bytes of the iovecs from byte `from` of the first on: a piece as it lies, or several small ones gathered into scratch. */
static const uint8_t *next_piece(const struct iovec *iov, int n, size_t from, size_t max, uint8_t *scratch, size_t *ret_len)
{
	size_t len = iov->iov_len - from, total = 0;

	if (len >= max || n == 1) {
		*ret_len = len < max ? len : max;
		return (const uint8_t *)iov->iov_base + from;
	}
	for (; n > 0 && total < max; iov++, n--, from = 0) {
		len = iov->iov_len - from;
		if (len > max - total)
			len = max - total;
		memcpy(scratch + total, (const uint8_t *)iov->iov_base + from, len);
		total += len;
	}
	*ret_len = total;
	return scratch;
}

static size_t tls_writev(struct chan *c, const struct iovec *iov, int n)
{
	static uint8_t scratch[RECORD];
	struct tls *t = of(c);
	size_t took = 0, from = 0;

	if (t->state != OPEN)
		return 0;
	ERR_clear_error();
	while (n > 0) {
		size_t room = chan_room(t->below), len;
		const uint8_t *piece;

		if (from == iov->iov_len) {
			iov++, n--, from = 0;
			continue;
		}
		if (room < ROOM_MIN) {
			chan_want_room(t->below);
			break;
		}
		room -= OVERHEAD;
		piece = next_piece(iov, n, from, room < RECORD ? room : RECORD, scratch, &len);
		if (SSL_write(t->ssl, piece, (int)len) != (int)len) {
			ERR_clear_error();
			fail(t, -EPROTO);
			break;
		}
		took += len;
		for (from += len; n > 1 && from >= iov->iov_len; iov++, n--)
			from -= iov->iov_len;
	}
	return took;
}

static void tls_want_room(struct chan *c)
{
	chan_want_room(of(c)->below);
}

static void tls_shutdown(struct chan *c)
{
	if (of(c)->state == OPEN)
		send_notify(of(c));
}

static void tls_set_reading(struct chan *c, bool on)
{
	struct tls *t = of(c);

	/* While bytes are being delivered, drive_read sees it by itself; what it leaves makes the chan below pause. */
	if (t->state != OPEN)
		return;
	if (on)
		chan_resume(t->below);
	else if (!t->in)
		chan_pause(t->below);
}

static void tls_release(struct chan *c, bool reset)
{
	struct tls *t = of(c);

	t->released = true;
	if (t->busy == 0)
		destroy(t);
}

static const struct chan_class tls_class = {
	.name = "tls",
	.writev = tls_writev,
	.room = tls_room,
	.want_room = tls_want_room,
	.shutdown = tls_shutdown,
	.set_reading = tls_set_reading,
	.release = tls_release,
};

/* --- the beginning --- */

static void on_due(struct due *d)
{
	struct tls *t = container_of(d, struct tls, due);

	enter(t);
	fail(t, -ETIMEDOUT);
	(void)leave(t);
}

static int attach(struct tls *t)
{
	BIO *b = bio_method() ? BIO_new(bio_method()) : NULL;

	if (!b)
		return -ENOMEM;
	BIO_set_data(b, t);
	BIO_set_init(b, 1);
	SSL_set_bio(t->ssl, b, b);
	return 0;
}

static void begin(struct turn_item *i)
{
	struct tls *t = container_of(i, struct tls, first);

	enter(t);
	drive_handshake(t);
	(void)leave(t);
}

struct tls *tls_start(struct dues *dues, SSL *ssl, struct chan *below, uint64_t deadline_ms, tls_done *done, void *user)
{
	struct tls *t = calloc(1, sizeof(*t));

	if (t)
		t->ssl = ssl;
	if (!t || attach(t) < 0) {
		SSL_free(ssl);
		chan_free(below);
		free(t);
		return NULL;
	}
	chan_init(&t->chan, &tls_class, below->turn);
	t->below = below;
	t->done = done;
	t->user = user;
	t->due.over = on_due;
	due_set(dues, &t->due, deadline_ms);
	t->first.run = begin;
	chan_own(below, &below_ops, t);
	chan_resume(below);
	if (!SSL_is_server(ssl))
		turn_post(below->turn, &t->first);
	return t;
}

void tls_cancel(struct tls *t)
{
	if (!t)
		return;
	t->released = true;
	t->done = NULL;
	if (t->busy == 0)
		destroy(t);
}

SSL *tls_ssl(struct chan *c)
{
	return of(c)->ssl;
}

void tls_context(SSL_CTX *ctx)
{
	(void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	(void)SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
	(void)SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_security_level(ctx, 2);
	SSL_CTX_set_read_ahead(ctx, 0);
}
