/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_proxy_h2b: what an origin sends on a connection of HTTP/2. Exchanges are opened and played at random, in the order that their
 * contract allows. Input: a seed of four bytes, then bytes that follow the server's SETTINGS. Memory and asserts are what is
 * looked at, and that each exchange is told of its end exactly once.
 */
#include "h2play.h"
#include "proxy/h2b.h"
#include "proxy/pool.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static struct origin *origin;

/* --- the exchange --- */

struct exchange {
	const struct exchange_ops *ops;
	void *side;
	struct httpmsg req;
	bool final, complete, asked; /* of the answer; of the request */
	bool waits;                  /* for room */
};

static struct exchange *xs[EXCHANGES_MAX];

static void drop(struct exchange *x)
{
	for (size_t i = 0; i < EXCHANGES_MAX; i++)
		if (xs[i] == x)
			xs[i] = NULL;
	httpmsg_done(&x->req);
	free(x);
}

struct exchange *exchange_new(struct exchange_env *env, const struct exchange_ops *ops, void *side)
{
	return NULL;
}

void exchange_head(struct exchange *x, enum exchange_side from, struct httpmsg *m, bool end)
{
	assert(!x->final && !x->complete && m->status >= 100 && m->status <= 599);
	assert(m->status >= 200 || !end);
	x->final = m->status >= 200;
	x->complete = end;
	httpmsg_done(m);
}

size_t exchange_data(struct exchange *x, enum exchange_side from, const uint8_t *bytes, size_t n)
{
	volatile uint8_t sum = 0;

	assert(x->final && !x->complete && n > 0);
	for (size_t i = 0; i < n; i++)
		sum = (uint8_t)(sum + bytes[i]);
	return some(3) ? n : some((unsigned int)n + 1);
}

void exchange_end(struct exchange *x, enum exchange_side from, struct httpmsg *trailers)
{
	assert(x->final && !x->complete);
	x->complete = true;
	if (trailers)
		httpmsg_done(trailers);
}

void exchange_writable(struct exchange *x, enum exchange_side from)
{
	assert(x->waits);
	x->waits = false;
}

const struct httpmsg *exchange_request(const struct exchange *x)
{
	return &x->req;
}

void exchange_abort(struct exchange *x, enum exchange_side from, enum exchange_fault fault)
{
	drop(x);
}

void exchange_reject(struct exchange *x, int status, const char *why)
{
	assert(false);
}

static void make_request(struct exchange *x)
{
	static const char *const methods[] = { "GET", "HEAD", "POST" };
	const char *method = methods[some(3)];
	struct httpmsg_refusal why;

	httpmsg_init(&x->req, HTTPMSG_REQUEST);
	httpmsg_reset(&x->req, DEST_HTTPS);
	x->req.version = HTTPMSG_2;
	if (httpmsg_set_method(&x->req, method, strlen(method), &why) < 0 || httpmsg_set_path(&x->req, "/x", 2, &why) < 0 ||
	    httpmsg_set_authority(&x->req, "ok.test", 7, &why) < 0 || httpmsg_complete(&x->req, method[0] != 'P', &why) < 0)
		abort();
	x->asked = method[0] != 'P';
}

static void open_one(void)
{
	struct exchange *x = calloc(1, sizeof(*x));
	size_t i = 0;

	while (i < EXCHANGES_MAX && xs[i])
		i++;
	if (!x || !origin || !origin->idle || i == EXCHANGES_MAX ||
	    origin->class->open(origin, x, &x->ops, &x->side) < 0) {
		free(x);
		return;
	}
	xs[i] = x;
	make_request(x);
	x->ops->head(x->side, &x->req, x->asked);
}

static void act(struct exchange *x)
{
	static const uint8_t block[70000];
	size_t n = 1 + some(sizeof(block));

	switch (some(8)) {
	case 0:
	case 1:
		if (!x->asked && !x->waits)
			x->waits = x->ops->data(x->side, block, n) < n;
		break;
	case 2:
		if (!x->asked && !x->waits) {
			x->ops->end(x->side, NULL);
			x->asked = true;
		}
		break;
	case 3:
		x->ops->closed(x->side, !x->complete ? EXCHANGE_CUT : x->asked ? EXCHANGE_DONE : EXCHANGE_UNREAD);
		drop(x);
		break;
	default:
		x->ops->resume(x->side);
	}
}

static void act_all(void)
{
	if (!some(3))
		open_one();
	for (size_t i = 0; i < EXCHANGES_MAX; i++)
		if (xs[i])
			act(xs[i]);
}

/* --- the pool --- */

void origin_init(struct origin *o, const struct origin_class *class, struct pool *p)
{
	o->class = class;
	o->idle = false;
	origin = o;
}

bool origin_idle(struct origin *o)
{
	o->idle = some(16) != 0;
	return o->idle;
}

void origin_busy(struct origin *o)
{
	o->idle = false;
}

void origin_settled(struct origin *o)
{
	o->coming = false;
}

void origin_done(struct origin *o)
{
	origin = NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static const uint8_t hello[] = "\0\0\0\4\0\0\0\0\0";
	struct chan *c = n < 4 ? NULL : play_begin(bytes);

	if (!c || !h2b_new(NULL, c, &dues))
		return 0;
	origin->idle = true;
	open_one();
	feed(c, hello, sizeof(hello) - 1);
	feed(c, bytes + 4, n - 4);
	if (origin)
		origin->class->close(origin);
	assert(!origin);
	/* What came completely is still given, by streams without a connection. */
	for (size_t i = 0; i < EXCHANGES_MAX; i++)
		for (int round = 0; xs[i]; round++) {
			assert(round < 1000);
			act(xs[i]);
		}
	play_end(c);
	return 0;
}
