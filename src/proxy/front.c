/* SPDX-License-Identifier: Apache-2.0
 *
 * front: see front.h. The carrier of door streams' chans: bytes that a stream's owner does not take stay in its chan, not consumed, so
 * that the guest's window for this stream shuts, and no other one's.
 */
#include "proxy/front.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/own.h"
#include "base/pump.h"
#include "base/str.h"
#include "proxy/chan.h"
#include "proxy/entry.h"
#include "proxy/proxy.h"
#include "wire/h2.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define PREFACE_BYTES (sizeof(PREFACE) - 1)
#define PREFACE_AGAIN 10 /* bytes of it whose last one is a 'P' again */

struct front {
	struct pump pump;
	struct h2 *h2; /* owned; NULL: over */
	struct proxy *proxy;
	size_t nstreams;
	bool freed, pump_closed;
	size_t preface; /* bytes of the client's preface that have come; PREFACE_BYTES: the session has begun */
	bool busy; /* inside the session: freeing it waits until we are out */
};

struct door {
	struct chan chan;
	struct front *front;
	struct h2_stream *h2; /* NULL: the stream is over */
	bool released;
};

static struct door *of(const struct chan *c)
{
	return container_of((struct chan *)(uintptr_t)c, struct door, chan);
}

/* --- the chan's side --- */

static void door_free(struct door *d)
{
	chan_done(&d->chan);
	free(d);
}

static size_t door_writev(struct chan *c, const struct iovec *iov, int n)
{
	struct door *d = of(c);
	size_t took = 0;

	for (int i = 0; d->h2 && i < n; i++) {
		size_t one = h2_write(d->h2, iov[i].iov_base, iov[i].iov_len);

		took += one;
		if (one < iov[i].iov_len)
			break;
	}
	if (took > 0)
		pump_kick(&d->front->pump);
	return took;
}

static size_t door_room(const struct chan *c)
{
	return of(c)->h2 ? h2_room(of(c)->h2) : 0;
}

static void door_want_room(struct chan *c)
{
	if (!of(c)->h2)
		return;
	if (h2_room(of(c)->h2) >= H2_STREAM_OUT)
		chan_deliver_writable(c);
	else
		h2_want_room(of(c)->h2);
}

static void door_shutdown(struct chan *c)
{
	struct door *d = of(c);

	if (!d->h2)
		return;
	h2_shutdown(d->h2);
	pump_kick(&d->front->pump);
}

static void door_set_reading(struct chan *c, bool on)
{
}

static void door_consumed(struct chan *c, size_t n)
{
	struct door *d = of(c);

	if (!d->h2)
		return;
	h2_consume(d->h2, n);
	pump_kick(&d->front->pump);
}

static void door_release(struct chan *c, bool reset)
{
	struct door *d = of(c);

	d->released = true;
	if (d->h2) {
		pump_kick(&d->front->pump);
		h2_reset(d->h2, H2_CANCEL);
		return;
	}
	door_free(d);
}

static const struct chan_class door_class = {
	.name = "door",
	.writev = door_writev,
	.room = door_room,
	.want_room = door_want_room,
	.shutdown = door_shutdown,
	.set_reading = door_set_reading,
	.consumed = door_consumed,
	.release = door_release,
};

/* --- the session's side --- */

static int on_request(void *user, struct h2_stream *s, const struct h2_head *head)
{
	struct front *f = user;
	struct dest dest;
	struct door *d;
	bool forward;

	if (!str_eq(head->method, "CONNECT") || f->nstreams >= FRONT_STREAMS_MAX ||
	    dest_parse_authority(head->authority, strlen(head->authority), 0, DEST_TCP, &dest) != DEST_OK)
		return -EINVAL;
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	chan_init(&d->chan, &door_class, &f->proxy->turn);
	d->front = f;
	if (h2_respond(s, 200) < 0) {
		door_free(d);
		return -ENOMEM;
	}
	d->h2 = s;
	f->nstreams++;
	h2_set_user(s, d);
	forward = str_eq(dest.host, FRONT_GATEWAY) && dest.port == FRONT_GATEWAY_PORT;
	entry_begin(f->proxy, &d->chan, forward ? NULL : &dest);
	return 0;
}

static void on_data(void *user, struct h2_stream *s, const uint8_t *bytes, size_t n)
{
	struct door *d = h2_user(s);
	int r = chan_deliver(&d->chan, bytes, n);

	if (r < 0 && r != -ECANCELED)
		h2_reset(s, H2_INTERNAL_ERROR);
}

static void on_eof(void *user, struct h2_stream *s)
{
	struct door *d = h2_user(s);

	chan_deliver_eof(&d->chan);
}

static void on_writable(void *user, struct h2_stream *s)
{
	struct door *d = h2_user(s);

	chan_deliver_writable(&d->chan);
}

static void on_closed(void *user, struct h2_stream *s, uint32_t error)
{
	struct front *f = user;
	struct door *d = h2_user(s);

	f->nstreams--;
	d->h2 = NULL;
	if (d->released)
		door_free(d);
	else
		chan_deliver_closed(&d->chan, error == 0 ? 0 : -ECONNRESET);
}

static const struct h2_ops h2_ops = {
	.request = on_request, .data = on_data, .eof = on_eof, .writable = on_writable, .closed = on_closed,
};

/* --- the door --- */

static void leave(struct front *f)
{
	f->busy = false;
	if (!f->freed)
		return;
	h2_free(TAKE_PTR(f->h2));
	pump_stop(&f->pump);
}

/* Skips what an earlier session left in the pipe, up to the client's preface (RFC 9113 section 3.4); the bytes after the
 * skipped ones. A 'P' in its middle is the only place where a wrong byte may begin it anew. */
static size_t skip(struct front *f, const uint8_t *bytes, size_t n)
{
	size_t i = 0;

	while (i < n && f->preface < PREFACE_BYTES) {
		while (f->preface > 0 && bytes[i] != (uint8_t)PREFACE[f->preface])
			f->preface = f->preface == PREFACE_AGAIN ? 1 : 0;
		f->preface += bytes[i] == (uint8_t)PREFACE[f->preface];
		i++;
	}
	return i;
}

static int feed(struct front *f, const uint8_t *bytes, size_t n)
{
	bool met = f->preface == PREFACE_BYTES;
	size_t skipped = met ? 0 : skip(f, bytes, n);
	int r = 0;

	if (!met && f->preface == PREFACE_BYTES)
		r = h2_feed(f->h2, (const uint8_t *)PREFACE, PREFACE_BYTES);
	return r < 0 || skipped == n ? r : h2_feed(f->h2, bytes + skipped, n - skipped);
}

static int on_bytes(struct pump *p, const uint8_t *bytes, size_t n)
{
	struct front *f = p->user;
	int r;

	f->busy = true;
	r = feed(f, bytes, n);
	if (!f->freed && r == 0)
		pump_kick(p);
	leave(f);
	return r;
}

static long on_pull(struct pump *p, const uint8_t **ret)
{
	struct front *f = p->user;
	long n;

	/* Nobody may be there yet: what is said now could be lost with what the port holds when the guest opens it. */
	if (f->preface < PREFACE_BYTES)
		return 0;
	f->busy = true;
	n = h2_pull(f->h2, ret);
	leave(f);
	return n;
}

static void on_end(struct pump *p, int error)
{
	struct front *f = p->user;

	h2_free(TAKE_PTR(f->h2));
	if (error)
		log_warn("event=door error=\"%s\"", strerror(-error));
	if (!f->freed)
		proxy_end(f->proxy, error == 0 ? "the door ended" : "the door failed");
}

static void on_pump_closed(struct pump *p)
{
	struct front *f = p->user;

	f->pump_closed = true;
	if (f->freed)
		free(f);
}

static const struct pump_ops pump_ops = {
	.bytes = on_bytes, .pull = on_pull, .end = on_end, .closed = on_pump_closed,
};

struct front *front_new(struct proxy *p, int fd)
{
	struct front *f = calloc(1, sizeof(*f));

	if (!f) {
		(void)close(fd);
		return NULL;
	}
	f->proxy = p;
	f->h2 = h2_new(H2_SERVER, &h2_ops, f);
	if (pump_start(&f->pump, p->loop, fd, &pump_ops, f) < 0 || !f->h2) {
		/* The pump's memory belongs to the loop until it has run; this happens at the start only, and the process ends. */
		h2_free(f->h2);
		return NULL;
	}
	return f;
}

void front_free(struct front *f)
{
	if (!f || f->freed)
		return;
	f->freed = true;
	if (f->busy)
		return;
	h2_free(TAKE_PTR(f->h2));
	if (f->pump_closed)
		free(f);
	else
		pump_stop(&f->pump);
}
