/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_proxy_h2f: what a guest sends on a connection of HTTP/2. The exchange behind it is played at random, in the order that its
 * contract allows. Input: a seed of four bytes, then bytes that follow the client's preface and SETTINGS. Memory and asserts are
 * what is looked at, and that each exchange is told of its end exactly once.
 */
#include "h2play.h"
#include "proxy/h2f.h"
#include "proxy/intercept.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static struct intercept_conn *guest;

/* --- the exchange --- */

struct exchange {
	const struct exchange_ops *ops;
	void *side;
	bool asked, complete, answered, over;
	bool waits; /* for room */
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
	assert(x->answered && x->waits);
	x->waits = false;
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
	size_t n = 1 + some(sizeof(block));

	switch (some(8)) {
	case 0:
		if (!x->answered)
			respond(x, some(4) ? 200 : 103, !some(4));
		break;
	case 1:
	case 2:
		if (x->answered && !x->over && !x->waits)
			x->waits = x->ops->data(x->side, block, n) < n;
		break;
	case 3:
		if (x->answered && !x->over && !x->waits) {
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

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static const uint8_t hello[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
	struct exchange_env env = { .dest = { .host = "ok.test", .kind = DEST_NAME, .scheme = DEST_HTTPS, .port = 443 } };
	struct chan *c = n < 4 ? NULL : play_begin(bytes);

	/* No member of intercept is used but by what is played here. */
	if (!c || h2f_start((struct intercept *)&env, c, &env) < 0)
		return 0;
	feed(c, hello, sizeof(hello) - 1);
	feed(c, bytes + 4, n - 4);
	if (guest)
		guest->cut(guest);
	assert(!guest);
	for (size_t i = 0; i < EXCHANGES_MAX; i++)
		assert(!xs[i]);
	play_end(c);
	return 0;
}
