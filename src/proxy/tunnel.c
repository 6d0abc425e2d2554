/* SPDX-License-Identifier: Apache-2.0
 *
 * tunnel: see tunnel.h. What follows the head of the proxy's answer belongs to the tunnel and is given back to the chan.
 */
#include "proxy/tunnel.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "wire/httphead.h"

#define REQUEST_MAX (2 * UPSTREAM_CREDENTIAL_MAX + 2 * DEST_PRINT_MAX + 128)

struct tunnel {
	struct chan *chan; /* owned */
	tunnel_done *done;
	void *user;
	struct httphead head;
	struct httpmsg msg;
};

static void tunnel_free(struct tunnel *t)
{
	chan_free(t->chan);
	httpmsg_done(&t->msg);
	free(t);
}

static void finish(struct tunnel *t, bool ok, int status)
{
	struct chan *c = ok ? TAKE_PTR(t->chan) : NULL;
	tunnel_done *done = t->done;
	void *user = t->user;

	if (c)
		chan_pause(c);
	tunnel_free(t);
	done(user, c, status);
}

static size_t on_bytes(void *owner, struct chan *c, const uint8_t *bytes, size_t n)
{
	struct tunnel *t = owner;
	struct httpmsg_refusal why;
	size_t taken = 0;
	long r;

	do {
		r = httphead_feed(&t->head, bytes + taken, n - taken, &why);
		taken += r > 0 ? (size_t)r : 0;
		/* An interim answer: the real one follows. */
		if (r >= 0 && t->head.done && t->msg.status < 200)
			httphead_init(&t->head, &t->msg, DEST_HTTP);
		else
			break;
	} while (taken < n);
	if (r < 0)
		finish(t, false, 0);
	else if (t->head.done)
		finish(t, t->msg.status / 100 == 2, t->msg.status);
	return taken;
}

static void on_eof(void *owner, struct chan *c)
{
	finish(owner, false, 0);
}

static void on_closed(void *owner, struct chan *c, int error)
{
	finish(owner, false, 0);
}

static const struct chan_ops ops = { .bytes = on_bytes, .eof = on_eof, .closed = on_closed };

struct tunnel *tunnel_start(struct chan *chan, const struct upstream_proxy *proxy, const struct dest *target,
			    tunnel_done *done, void *user)
{
	char request[REQUEST_MAX], to[DEST_PRINT_MAX];
	struct tunnel *t = calloc(1, sizeof(*t));
	int r;

	if (!t) {
		chan_free(chan);
		return NULL;
	}
	*t = (struct tunnel){ .chan = chan, .done = done, .user = user };
	httpmsg_init(&t->msg, HTTPMSG_RESPONSE);
	httphead_init(&t->head, &t->msg, DEST_HTTP);
	t->msg.to_connect = true;
	dest_print(target, to);
	r = str_format(request, sizeof(request), "CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s%s%s\r\n", to, to,
		       proxy->credential[0] ? "Proxy-Authorization: Basic " : "", proxy->credential,
		       proxy->credential[0] ? "\r\n" : "");
	chan_own(chan, &ops, t);
	/* A new chan has room for it. */
	if (r < 0 || chan_write(chan, request, strlen(request)) < strlen(request)) {
		tunnel_free(t);
		return NULL;
	}
	chan_resume(chan);
	return t;
}

void tunnel_cancel(struct tunnel *t)
{
	if (t)
		tunnel_free(t);
}
