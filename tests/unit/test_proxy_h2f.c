/* SPDX-License-Identifier: Apache-2.0
 *
 * HTTP/2 towards the guest, between an nghttp2 client and an exchange that this test plays: what is taken opens windows and nothing
 * else does, what is held is bounded, each way of ending has its reset, and no allocation that fails does harm.
 */
#include "proxy/h2f.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/own.h"
#include "oom.h"
#include "proxy/h2conn.h"
#include "proxy/intercept.h"
#include "proxy/sock.h"
#include "unit.h"

/* --- the exchange and intercept, played --- */

struct exchange {
	const struct exchange_ops *ops;
	void *side; /* NULL: aborted or closed */
	char path[64], reject[64];
	size_t takes; /* bytes that it will still take */
	size_t got;
	bool head, head_end, ended;
	int status, resumes, trailers;
	int aborted; /* 1 + fault */
};

static struct exchange xs[256];
static size_t nxs;
static struct dues dues;
static struct intercept_conn *guest;
static bool no_exchange;

struct exchange *exchange_new(struct exchange_env *env, const struct exchange_ops *ops, void *side)
{
	if (no_exchange)
		return NULL;
	assert_true(nxs < ARRAY_LEN(xs));
	xs[nxs] = (struct exchange){ .ops = ops, .side = side, .takes = SIZE_MAX };
	return &xs[nxs++];
}

void exchange_head(struct exchange *x, enum exchange_side from, struct httpmsg *m, bool end)
{
	assert_int_equal(from, EXCHANGE_FRONT);
	assert_false(x->head);
	x->head = true;
	x->head_end = end;
	(void)snprintf(x->path, sizeof(x->path), "%.60s", httpmsg_str(m, m->path));
	httpmsg_done(m);
}

size_t exchange_data(struct exchange *x, enum exchange_side from, const uint8_t *bytes, size_t n)
{
	size_t took = n < x->takes ? n : x->takes;

	assert_true((x->head || x->status) && !x->ended && x->side && n > 0);
	if (x->status)
		return 0; /* it was rejected */
	x->takes -= took;
	x->got += took;
	return took;
}

void exchange_end(struct exchange *x, enum exchange_side from, struct httpmsg *trailers)
{
	assert_true((x->head || x->status) && !x->ended && !x->head_end && x->side);
	x->ended = true;
	x->trailers = trailers ? (int)trailers->nentries : -1;
	if (trailers)
		httpmsg_done(trailers);
}

void exchange_writable(struct exchange *x, enum exchange_side from)
{
	x->resumes++;
}

const struct httpmsg *exchange_request(const struct exchange *x)
{
	return NULL;
}

void exchange_abort(struct exchange *x, enum exchange_side from, enum exchange_fault fault)
{
	assert_non_null(x->side);
	x->side = NULL;
	x->aborted = 1 + (int)fault;
}

void exchange_reject(struct exchange *x, int status, const char *why)
{
	x->status = status;
	(void)snprintf(x->reject, sizeof(x->reject), "%s", why);
}

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
	if (guest == c)
		guest = NULL;
}

/* --- the client --- */

struct client {
	uv_loop_t loop;
	struct turn turn;
	nghttp2_session *session;
	int fd;
	bool gone;
	size_t body; /* bytes of DATA that came */
	int status[64];
	int64_t reset[64], ended[64]; /* by stream; reset -1: none */
	int64_t goaway;
};

static int on_frame(nghttp2_session *session, const nghttp2_frame *f, void *user)
{
	struct client *c = user;
	int32_t id = f->hd.stream_id;

	if (f->hd.type == NGHTTP2_RST_STREAM)
		c->reset[id % 64] = f->rst_stream.error_code;
	if (f->hd.type == NGHTTP2_GOAWAY)
		c->goaway = f->goaway.error_code;
	if (id > 0 && (f->hd.flags & NGHTTP2_FLAG_END_STREAM) &&
	    (f->hd.type == NGHTTP2_DATA || f->hd.type == NGHTTP2_HEADERS))
		c->ended[id % 64] = 1;
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *f, const uint8_t *name, size_t name_n, const uint8_t *value,
		     size_t value_n, uint8_t flags, void *user)
{
	struct client *c = user;

	if (name_n == 7 && memcmp(name, ":status", 7) == 0)
		c->status[f->hd.stream_id % 64] = (value[0] - '0') * 100 + (value[1] - '0') * 10 + value[2] - '0';
	return 0;
}

static int on_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t n, void *user)
{
	((struct client *)user)->body += n;
	return 0;
}

static void client_start(struct client *c, int fd)
{
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_option *opt = NULL;

	assert_int_equal(nghttp2_session_callbacks_new(&cb), 0);
	assert_int_equal(nghttp2_option_new(&opt), 0);
	nghttp2_option_set_no_auto_window_update(opt, 1);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_chunk);
	assert_int_equal(nghttp2_session_client_new2(&c->session, cb, c, opt), 0);
	assert_int_equal(nghttp2_submit_settings(c->session, 0, NULL, 0), 0);
	nghttp2_option_del(opt);
	nghttp2_session_callbacks_del(cb);
	c->fd = fd;
	c->goaway = -1;
	for (size_t i = 0; i < ARRAY_LEN(c->reset); i++)
		c->reset[i] = -1;
}

/* Until nothing moves any more. */
static void run(struct client *c)
{
	static uint8_t in[1 << 16];

	for (int quiet = 0; quiet < 3;) {
		const uint8_t *out;
		ssize_t n;
		bool moved = false;

		while (!c->gone && (n = nghttp2_session_mem_send(c->session, &out)) > 0) {
			if (send(c->fd, out, (size_t)n, MSG_NOSIGNAL) != n)
				c->gone = true;
			moved = true;
		}
		for (int i = 0; i < 4; i++)
			(void)uv_run(&c->loop, UV_RUN_NOWAIT);
		while (!c->gone && (n = recv(c->fd, in, sizeof(in), MSG_DONTWAIT)) != -1) {
			if (n == 0 || nghttp2_session_mem_recv(c->session, in, (size_t)n) != n)
				c->gone = true;
			moved = true;
		}
		quiet = moved ? 0 : quiet + 1;
	}
}

static int begin(struct client *c)
{
	struct exchange_env env = { .dest = { .host = "ok.test", .kind = DEST_NAME, .scheme = DEST_HTTPS, .port = 443 } };
	int fds[2], big = 1 << 20, r;
	struct chan *chan;

	memset(c, 0, sizeof(*c));
	nxs = 0;
	no_exchange = false;
	guest = NULL;
	assert_int_equal(uv_loop_init(&c->loop), 0);
	assert_int_equal(turn_init(&c->turn, &c->loop), 0);
	assert_int_equal(dues_init(&dues, &c->loop), 0);
	assert_int_equal(io_socketpair(fds), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &big, sizeof(big)), 0);
	client_start(c, fds[1]);
	chan = sock_new(&c->loop, &c->turn, fds[0]);
	r = chan ? h2f_start((struct intercept *)c, chan, &env) : -ENOMEM;
	if (r == 0)
		run(c);
	return r;
}

static void on_dues_closed(uv_handle_t *h)
{
}

static void finish(struct client *c)
{
	if (guest)
		guest->cut(guest);
	assert_null(guest);
	for (size_t i = 0; i < nxs; i++)
		assert_null(xs[i].side); /* each side was told of its end */
	turn_stop(&c->turn);
	dues_stop(&dues, on_dues_closed);
	(void)uv_run(&c->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&c->loop), 0);
	nghttp2_session_del(c->session);
	(void)close(c->fd);
}

struct upload {
	size_t left;
	bool hold; /* no end */
};

static ssize_t read_upload(nghttp2_session *session, int32_t id, uint8_t *dst, size_t size, uint32_t *flags,
			   nghttp2_data_source *source, void *user)
{
	struct upload *u = source->ptr;
	size_t n = u->left < size ? u->left : size;

	memset(dst, 'x', n);
	u->left -= n;
	if (u->left == 0 && !u->hold)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return n > 0 || !u->hold ? (ssize_t)n : NGHTTP2_ERR_DEFERRED;
}

#define NV(n, v) { (uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), sizeof(n) - 1, sizeof(v) - 1, 0 }

static int32_t request(struct client *c, struct upload *u)
{
	const nghttp2_nv nv[] = { NV(":method", "POST"), NV(":scheme", "https"), NV(":authority", "ok.test"), NV(":path", "/p") };
	nghttp2_data_provider source = { .source.ptr = u, .read_callback = read_upload };
	int32_t id = nghttp2_submit_request(c->session, NULL, nv, ARRAY_LEN(nv), u ? &source : NULL, NULL);

	assert_true(id > 0);
	run(c);
	return id;
}

static void respond(struct exchange *x, int status, bool end)
{
	struct httpmsg m;

	httpmsg_init(&m, HTTPMSG_RESPONSE);
	m.status = (uint16_t)status;
	m.body = end ? HTTPMSG_BODY_NONE : HTTPMSG_BODY_CHUNKED;
	x->ops->head(x->side, &m, end);
	httpmsg_done(&m);
}

static void closed(struct exchange *x, enum exchange_how how)
{
	void *side = TAKE_PTR(x->side);

	x->ops->closed(side, how);
}

/* --- tests --- */

static void in_order(void **state)
{
	struct upload u = { .left = 10 };
	struct client c;
	int32_t id;

	assert_int_equal(begin(&c), 0);
	id = request(&c, &u);
	assert_int_equal(nxs, 1);
	assert_string_equal(xs[0].path, "/p");
	assert_true(!xs[0].head_end && xs[0].ended && xs[0].got == 10 && xs[0].trailers == -1);
	respond(&xs[0], 103, false);
	run(&c);
	assert_int_equal(c.status[id], 103);
	respond(&xs[0], 200, false);
	assert_int_equal(xs[0].ops->data(xs[0].side, (const uint8_t *)"hello", 5), 5);
	xs[0].ops->end(xs[0].side, NULL);
	closed(&xs[0], EXCHANGE_DONE);
	run(&c);
	assert_true(c.status[id] == 200 && c.body == 5 && c.ended[id] && c.reset[id] == -1);
	id = request(&c, NULL);
	assert_true(xs[1].head_end && !xs[1].ended);
	respond(&xs[1], 204, true);
	closed(&xs[1], EXCHANGE_DONE);
	run(&c);
	assert_true(c.status[id] == 204 && c.ended[id] && c.reset[id] == -1);
	finish(&c);
}

static void what_is_not_taken_shuts_the_window(void **state)
{
	struct upload u = { .left = 1 << 20 }, other = { .left = 5 };
	struct client c;

	assert_int_equal(begin(&c), 0);
	nxs = 0;
	(void)request(&c, NULL); /* xs[0]: the next one's limit is set before its body comes */
	u.hold = true;
	u.left = 0;
	(void)request(&c, &u);
	xs[1].takes = 1000;
	u.left = 1 << 20;
	u.hold = false;
	assert_int_equal(nghttp2_session_resume_data(c.session, 3), 0);
	run(&c);
	assert_int_equal(xs[1].got, 1000);
	/* A window's worth came, and no more. */
	assert_int_equal((1 << 20) - u.left, H2CONN_WINDOW_FIRST);
	(void)request(&c, &other);
	assert_true(xs[2].ended && xs[2].got == 5);
	/* All of it, window after window. */
	xs[1].takes = SIZE_MAX;
	xs[1].ops->resume(xs[1].side);
	run(&c);
	assert_true(xs[1].ended && xs[1].got == 1 << 20);
	finish(&c);
}

static void a_window_grows_for_who_reads(void **state)
{
	struct upload u = { .left = 0, .hold = true };
	struct client c;
	int32_t id;

	assert_int_equal(begin(&c), 0);
	id = request(&c, &u);
	for (int i = 0; i < 64; i++) {
		u.left = 64 << 10;
		assert_int_equal(nghttp2_session_resume_data(c.session, id), 0);
		run(&c);
	}
	assert_int_equal(xs[0].got, 64 * (64 << 10));
	xs[0].takes = 0;
	u.left = 8 << 20;
	assert_int_equal(nghttp2_session_resume_data(c.session, id), 0);
	run(&c);
	assert_true((8 << 20) - u.left <= H2CONN_WINDOW_MAX);
	assert_true((8 << 20) - u.left > H2CONN_WINDOW_MAX / 4);
	finish(&c);
}

static void what_the_client_does_not_read_is_bounded(void **state)
{
	static uint8_t block[1 << 20];
	struct client c;
	size_t took, more;
	int32_t id;

	assert_int_equal(begin(&c), 0);
	id = request(&c, NULL);
	respond(&xs[0], 200, false);
	took = xs[0].ops->data(xs[0].side, block, sizeof(block));
	assert_int_equal(took, H2CONN_OUT);
	run(&c);
	/* The client's window, 65,535 bytes, is used up; then the stream's own. */
	assert_int_equal(xs[0].resumes, 1);
	took += xs[0].ops->data(xs[0].side, block, sizeof(block));
	run(&c);
	took += xs[0].ops->data(xs[0].side, block, sizeof(block));
	run(&c);
	more = xs[0].ops->data(xs[0].side, block, sizeof(block));
	assert_true(more == 0 && took == 65535 + H2CONN_OUT && c.body == 65535);
	assert_int_equal(nghttp2_session_consume(c.session, id, 65535), 0);
	run(&c);
	assert_true(xs[0].resumes >= 2);
	xs[0].ops->end(xs[0].side, NULL);
	closed(&xs[0], EXCHANGE_DONE);
	for (int i = 0; i < 4; i++) {
		(void)nghttp2_session_consume(c.session, id, 40000);
		run(&c);
	}
	assert_true(c.ended[id] && c.body == took);
	finish(&c);
}

static void each_end_has_its_reset(void **state)
{
	static const struct {
		enum exchange_how how;
		bool answered;
		int64_t reset;
	} cases[] = {
		{ EXCHANGE_UNREAD, true, NGHTTP2_NO_ERROR },
		{ EXCHANGE_CUT, false, NGHTTP2_INTERNAL_ERROR },
		{ EXCHANGE_MISUSED, false, NGHTTP2_PROTOCOL_ERROR },
	};
	struct client c;

	assert_int_equal(begin(&c), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct upload u = { .left = 10, .hold = true };
		int32_t id = request(&c, &u);

		respond(&xs[i], 200, false);
		(void)xs[i].ops->data(xs[i].side, (const uint8_t *)"abc", 3);
		if (cases[i].answered)
			xs[i].ops->end(xs[i].side, NULL);
		closed(&xs[i], cases[i].how);
		run(&c);
		assert_int_equal(c.reset[id], cases[i].reset);
		assert_int_equal(c.ended[id], cases[i].answered);
	}
	assert_false(c.gone);
	finish(&c);
}

static void the_client_goes(void **state)
{
	struct upload u = { .left = 10, .hold = true };
	struct client c;
	int32_t id;

	assert_int_equal(begin(&c), 0);
	id = request(&c, &u);
	assert_int_equal(nghttp2_submit_rst_stream(c.session, 0, id, NGHTTP2_CANCEL), 0);
	run(&c);
	assert_int_equal(xs[0].aborted, 1 + EXCHANGE_GONE);
	(void)request(&c, &u);
	(void)shutdown(c.fd, SHUT_RDWR);
	run(&c);
	assert_int_equal(xs[1].aborted, 1 + EXCHANGE_GONE);
	assert_null(guest);
	finish(&c);
}

static void more_streams_than_allowed(void **state)
{
	struct client c;

	assert_int_equal(begin(&c), 0);
	for (int i = 0; i < H2CONN_STREAMS_MAX + 20; i++) {
		const nghttp2_nv nv[] = { NV(":method", "GET"), NV(":scheme", "https"), NV(":authority", "ok.test"),
					  NV(":path", "/p") };

		assert_true(nghttp2_submit_request(c.session, NULL, nv, ARRAY_LEN(nv), NULL, NULL) > 0);
	}
	run(&c);
	assert_int_equal(nxs, H2CONN_STREAMS_MAX);
	respond(&xs[0], 200, true);
	closed(&xs[0], EXCHANGE_DONE);
	run(&c);
	assert_int_equal(nxs, H2CONN_STREAMS_MAX + 1);
	finish(&c);
}

static void no_memory_for_an_exchange(void **state)
{
	struct client c;
	int32_t id;

	assert_int_equal(begin(&c), 0);
	no_exchange = true;
	id = request(&c, NULL);
	assert_int_equal(c.reset[id], NGHTTP2_INTERNAL_ERROR);
	no_exchange = false;
	(void)request(&c, NULL);
	assert_true(nxs == 1 && xs[0].head);
	finish(&c);
}

/* The n-th allocation and all after it fail for a while: whatever ends, ends in order. */
static void out_of_memory(void **state)
{
	static uint8_t block[100000];
	bool failed = true;

	for (long n = 0; failed; n++) {
		struct upload u = { .left = 200000 };
		struct client c;

		assert_int_equal(begin(&c), 0);
		oom_from(n);
		(void)request(&c, &u);
		if (nxs > 0 && xs[0].side) {
			respond(&xs[0], 200, false);
			(void)xs[0].ops->data(xs[0].side, block, sizeof(block));
		}
		failed = oom_off();
		run(&c);
		finish(&c);
		assert_true(n < 1000);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_order),
		cmocka_unit_test(what_is_not_taken_shuts_the_window),
		cmocka_unit_test(a_window_grows_for_who_reads),
		cmocka_unit_test(what_the_client_does_not_read_is_bounded),
		cmocka_unit_test(each_end_has_its_reset),
		cmocka_unit_test(the_client_goes),
		cmocka_unit_test(more_streams_than_allowed),
		cmocka_unit_test(no_memory_for_an_exchange),
		cmocka_unit_test(out_of_memory),
	};

	return cmocka_run_group_tests_name("proxy_h2f", tests, NULL, NULL);
}
