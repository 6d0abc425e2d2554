/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_proxy_h2f: what a guest sends on a connection of HTTP/2. The exchange behind it is played at random, in the order that its
 * contract allows. Input: a seed of four bytes, then bytes that follow the client's preface and SETTINGS. Memory and asserts are
 * what is looked at, and that each exchange is told of its end exactly once.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "proxy/h2conn.h"
#include "proxy/h2f.h"
#include "proxy/intercept.h"

#define EXCHANGES_MAX 256

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static uint32_t seed;
static struct dues dues;
static struct turn turn;
static uv_loop_t loop;
static struct intercept_conn *guest;

/* 0..n-1 */
static unsigned int some(unsigned int n)
{
	seed = seed * 1664525U + 1013904223U;
	return (seed >> 8) % n;
}

/* --- the exchange --- */

struct exchange {
	const struct exchange_ops *ops;
	void *side;
	bool asked, complete, answered, over;
};

static struct exchange *xs[EXCHANGES_MAX];

static void drop(struct exchange *x)
{
	for (size_t i = 0; i < EXCHANGES_MAX; i++)
		if (xs[i] == x)
			xs[i] = NULL;
	free(x);
}

struct exchange *exchange_new(struct exchange_env *env, const struct exchange_ops *ops, void *side)
{
	for (size_t i = 0; i < EXCHANGES_MAX; i++) {
		if (xs[i])
			continue;
		xs[i] = calloc(1, sizeof(*xs[i]));
		if (xs[i])
			*xs[i] = (struct exchange){ .ops = ops, .side = side };
		return xs[i];
	}
	return NULL;
}

void exchange_head(struct exchange *x, enum exchange_side from, struct httpmsg *m, bool end)
{
	assert(!x->asked && m->method.n > 0 && m->dest.host[0]);
	x->asked = true;
	x->complete = end;
	httpmsg_done(m);
}

size_t exchange_data(struct exchange *x, enum exchange_side from, const uint8_t *bytes, size_t n)
{
	volatile uint8_t sum = 0;

	assert(x->asked && !x->complete && n > 0);
	for (size_t i = 0; i < n; i++)
		sum = (uint8_t)(sum + bytes[i]);
	return some(3) ? n : some((unsigned int)n + 1);
}

void exchange_end(struct exchange *x, enum exchange_side from, struct httpmsg *trailers)
{
	assert(x->asked && !x->complete);
	x->complete = true;
	if (trailers)
		httpmsg_done(trailers);
}

void exchange_writable(struct exchange *x, enum exchange_side from)
{
	assert(x->answered);
}

const struct httpmsg *exchange_request(const struct exchange *x)
{
	return NULL;
}

void exchange_abort(struct exchange *x, enum exchange_side from, enum exchange_fault fault)
{
	drop(x);
}

static void respond(struct exchange *x, int status, bool end)
{
	struct httpmsg m;

	httpmsg_init(&m, HTTPMSG_RESPONSE);
	m.status = (uint16_t)status;
	m.body = HTTPMSG_BODY_CHUNKED;
	x->ops->head(x->side, &m, end);
	httpmsg_done(&m);
	if (status < 200)
		return;
	x->answered = true;
	x->over = end;
}

void exchange_reject(struct exchange *x, int status, const char *why)
{
	assert(status >= 400 && why);
	x->asked = x->complete = true;
	respond(x, status, false);
	x->ops->end(x->side, NULL);
	x->over = true;
}

/* Some of what an exchange may do now. */
static void act(struct exchange *x)
{
	static const uint8_t block[70000];

	switch (some(8)) {
	case 0:
		if (!x->answered)
			respond(x, some(4) ? 200 : 103, !some(4));
		break;
	case 1:
	case 2:
		if (x->answered && !x->over)
			(void)x->ops->data(x->side, block, 1 + some(sizeof(block)));
		break;
	case 3:
		if (x->answered && !x->over) {
			x->ops->end(x->side, NULL);
			x->over = true;
		}
		break;
	case 4:
		x->ops->closed(x->side, !x->over ? EXCHANGE_CUT : x->complete ? EXCHANGE_DONE : EXCHANGE_UNREAD);
		drop(x);
		break;
	default:
		x->ops->resume(x->side);
	}
}

static void act_all(void)
{
	for (size_t i = 0; i < EXCHANGES_MAX; i++)
		if (xs[i])
			act(xs[i]);
}

/* --- intercept --- */

struct dues *intercept_dues(struct intercept *i)
{
	return &dues;
}

void intercept_conn_add(struct intercept *i, struct intercept_conn *c, bool refused, void (*cut)(struct intercept_conn *c))
{
	*c = (struct intercept_conn){ .intercept = i, .cut = cut };
	guest = c;
}

void intercept_conn_remove(struct intercept_conn *c)
{
	guest = NULL;
}

/* --- the chan --- */

static bool released;

static size_t fake_writev(struct chan *c, const struct iovec *iov, int n)
{
	size_t all = 0;

	for (int i = 0; i < n; i++)
		all += iov[i].iov_len;
	return some(4) ? all : some((unsigned int)all + 1);
}

static size_t fake_room(const struct chan *c)
{
	return some(2) ? 65536 : 0;
}

static void fake_shutdown(struct chan *c)
{
}

static void fake_set_reading(struct chan *c, bool on)
{
}

static void fake_release(struct chan *c, bool reset)
{
	chan_done(c);
	free(c);
	released = true;
}

static const struct chan_class fake_class = {
	.name = "fake",
	.writev = fake_writev,
	.room = fake_room,
	.shutdown = fake_shutdown,
	.set_reading = fake_set_reading,
	.release = fake_release,
};

static void settle(struct chan *c)
{
	for (int i = 0; i < 3; i++) {
		(void)uv_run(&loop, UV_RUN_NOWAIT);
		if (!released)
			chan_deliver_writable(c);
	}
}

static void feed(struct chan *c, const uint8_t *bytes, size_t n)
{
	while (n > 0 && !released) {
		size_t part = some(3) ? n : 1 + some((unsigned int)n);

		if (chan_deliver(c, bytes, part) < 0)
			return;
		bytes += part;
		n -= part;
		act_all();
		settle(c);
		act_all();
		settle(c);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static const uint8_t hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
	struct exchange_env env = { .dest = { .host = "ok.test", .kind = DEST_NAME, .scheme = DEST_HTTPS, .port = 443 } };
	static bool started;
	struct chan *c;

	if (n < 4)
		return 0;
	if (!started)
		started = uv_loop_init(&loop) == 0 && turn_init(&turn, &loop) == 0 && dues_init(&dues, &loop) == 0;
	memcpy(&seed, bytes, 4);
	c = calloc(1, sizeof(*c));
	if (!c)
		return 0;
	released = false;
	chan_init(c, &fake_class, &turn);
	/* No member of it is used but by what is played here. */
	if (h2f_start((struct intercept *)&env, c, &env) < 0)
		return 0;
	feed(c, hello, sizeof(hello) - 1);
	feed(c, bytes + 4, n - 4);
	if (guest)
		guest->cut(guest);
	/* One that was closed in order still waits for the peer's end. */
	if (!released)
		chan_deliver_closed(c, -ECONNRESET);
	settle(c);
	assert(!guest && released);
	for (size_t i = 0; i < EXCHANGES_MAX; i++)
		assert(!xs[i]);
	(void)uv_run(&loop, UV_RUN_NOWAIT);
	return 0;
}
