/* SPDX-License-Identifier: Apache-2.0
 *
 * One request and its answer between two codecs that this test plays: order, back-pressure, ends, and that each side is told of the end
 * exactly once and never from within a call of its own.
 */
#include "proxy/exchange.h"

#include <errno.h>
#include <unistd.h>

#include "base/own.h"
#include "oom.h"
#include "policy/snapshot.h"
#include "proxy/dial.h"
#include "proxy/intercept.h"
#include "proxy/pool.h"
#include "proxy/proxy.h"
#include "proxy/resolve.h"
#include "proxy/route.h"
#include "proxy/upstream.h"
#include "unit.h"
#include "wire/httphead.h"

#define POST "POST /p HTTP/1.1\r\nHost: ok.test\r\nContent-Length: 6\r\n\r\n"
#define GET "GET /g HTTP/1.1\r\nHost: ok.test\r\n\r\n"
#define WS "GET /w HTTP/1.1\r\nHost: ok.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" \
	   "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
#define WS_ACCEPT "ICX+Yqv66kxgM0FcWaLWlFLwTAI="

/* A codec's stream: writes down what it is told. */
struct peer {
	char log[16384];
	size_t takes; /* bytes of data that it will still take */
	struct exchange *x;
	int closed;
	bool inside; /* a call of ours runs */
};

struct world {
	uv_loop_t loop;
	struct proxy proxy;
	struct exchange_env env;
	struct peer front, back;
	struct origin origin;
	bool origin_closed;
	int log_fd;
};

__attribute__((format(printf, 2, 3))) static void note(struct peer *p, const char *fmt, ...)
{
	size_t n = strlen(p->log);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(p->log + n, sizeof(p->log) - n, fmt, ap);
	va_end(ap);
}

static void on_head(void *side, struct httpmsg *m, bool end)
{
	struct peer *p = side;

	if (m->kind == HTTPMSG_REQUEST)
		note(p, "%s %s%s;", httpmsg_str(m, m->method), httpmsg_str(m, m->path), end ? " end" : "");
	else
		note(p, "%u%s;", m->status, end ? " end" : "");
}

static size_t on_data(void *side, const uint8_t *bytes, size_t n)
{
	struct peer *p = side;
	size_t took = n < p->takes ? n : p->takes;

	p->takes -= took;
	if (took > 0)
		note(p, "+%.*s;", (int)took, (const char *)bytes);
	return took;
}

static void on_end(void *side, struct httpmsg *trailers)
{
	note(side, "end%s;", trailers ? " trailers" : "");
	for (uint32_t i = 0; trailers && i < trailers->nentries; i++)
		note(side, "%s;", httpmsg_str(trailers, trailers->entries[i].name));
}

static void on_resume(void *side)
{
	note(side, "resume;");
}

static void on_closed(void *side, enum exchange_how how)
{
	static const char *const names[] = { "DONE", "UNREAD", "CUT", "MISUSED" };
	struct peer *p = side;

	assert_false(p->inside);
	p->closed++;
	p->x = NULL;
	note(p, "%s;", names[how]);
}

static const struct exchange_ops ops = {
	.head = on_head, .data = on_data, .end = on_end, .resume = on_resume, .closed = on_closed,
};

/* --- the origin --- */

static int origin_open(struct origin *o, struct exchange *x, const struct exchange_ops **ret_ops, void **ret_side)
{
	struct world *w = container_of(o, struct world, origin);

	w->back.x = x;
	*ret_ops = &ops;
	*ret_side = &w->back;
	return 0;
}

static void origin_close(struct origin *o)
{
	struct world *w = container_of(o, struct world, origin);

	w->origin_closed = true;
	origin_done(o);
}

static const struct origin_class origin_class = { .open = origin_open, .close = origin_close };

/* --- the world --- */

static void set_policy(struct world *w, int generation, const char *rule)
{
	char text[512];
	struct policy *p;
	struct err err = { 0 };

	(void)snprintf(text, sizeof(text),
		       "{\"schema\":1,\"generation\":%d,\"default\":\"deny\",\"tls\":\"intercept\",\"rules\":[{\"id\":\"r\",\"action\":\"allow\","
		       "\"origin\":\"user\",%s}]}", generation, rule);
	assert_int_equal(snapshot_load(text, strlen(text), &p, &err), 0);
	decide_set_policy(w->proxy.decide, p);
}

static const struct decide_ops decide_ops;

/* An idle connection to ok.test:443 is there. */
static void join(struct world *w)
{
	w->origin = (struct origin){ .dest = w->env.dest, .tls = true, .at.address = { .bytes = { 93, 184, 216, 10 }, .bits = 32 } };
	origin_init(&w->origin, &origin_class, intercept_pool(w->proxy.intercept));
	w->origin.generation = decide_generation(w->proxy.decide);
	assert_true(origin_idle(&w->origin));
}

static void world_make(struct world *w)
{
	static struct upstream none;
	char path[] = "/tmp/sbx-unit-log.XXXXXX";

	*w = (struct world){ .front = { .takes = SIZE_MAX }, .back = { .takes = SIZE_MAX } };
	assert_int_equal(uv_loop_init(&w->loop), 0);
	w->proxy.loop = &w->loop;
	assert_int_equal(turn_init(&w->proxy.turn, &w->loop), 0);
	w->proxy.journal = journal_new(&w->loop, NULL, NULL);
	w->log_fd = mkstemp(path);
	(void)unlink(path);
	journal_set_fd(w->proxy.journal, dup(w->log_fd));
	w->proxy.decide = decide_new(&w->loop, w->proxy.journal, &decide_ops, NULL);
	w->proxy.upstream = &none;
	w->proxy.resolve = resolve_new(&w->loop, &w->proxy.turn);
	w->proxy.route = route_new(&w->loop);
	w->proxy.dials = dials_new();
	w->proxy.intercept = intercept_new(&w->proxy);
	set_policy(w, 1, "\"resource\":\"ok.test:443\"");
	w->env = (struct exchange_env){ .proxy = &w->proxy, .flow = { .conn = 1, .protocol = FLOW_TLS, .inspect = FLOW_INTERCEPT } };
	assert_int_equal(dest_make("ok.test", 7, 443, DEST_HTTPS, &w->env.dest), DEST_OK);
	join(w);
}

static void turns(struct world *w)
{
	for (int i = 0; i < 4; i++)
		(void)uv_run(&w->loop, UV_RUN_NOWAIT);
}

static void world_end(struct world *w)
{
	turns(w);
	intercept_free(w->proxy.intercept);
	dials_free(w->proxy.dials);
	decide_free(w->proxy.decide);
	journal_free(w->proxy.journal);
	resolve_free(w->proxy.resolve);
	route_free(w->proxy.route);
	turns(w);
	turn_stop(&w->proxy.turn);
	(void)uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	own_close_p(&w->log_fd);
}

/* How often the log holds the text. */
static int logged(struct world *w, const char *text)
{
	char all[16384] = "";
	int n = 0;

	assert_true(pread(w->log_fd, all, sizeof(all) - 1, 0) >= 0);
	for (const char *p = all; (p = strstr(p, text)); p++)
		n++;
	return n;
}

static void parse(struct httpmsg *m, enum httpmsg_kind kind, const struct httpmsg *req, const char *text)
{
	struct httpmsg_refusal why;
	struct httphead h;

	httpmsg_init(m, kind);
	httphead_init(&h, m, DEST_HTTPS);
	if (req)
		httpmsg_answers(m, req);
	assert_int_equal(httphead_feed(&h, text, strlen(text), &why), strlen(text));
	assert_true(h.done);
}

static void request(struct world *w, const char *text, bool end)
{
	struct httpmsg m;

	parse(&m, HTTPMSG_REQUEST, NULL, text);
	w->front.x = exchange_new(&w->env, &ops, &w->front);
	w->front.inside = true;
	exchange_head(w->front.x, EXCHANGE_FRONT, &m, end);
	w->front.inside = false;
	assert_int_equal(m.nentries, 0);
	httpmsg_done(&m);
}

static void response(struct world *w, const char *text, bool end)
{
	struct httpmsg m;

	parse(&m, HTTPMSG_RESPONSE, exchange_request(w->back.x), text);
	w->back.inside = w->front.inside = true;
	exchange_head(w->back.x, EXCHANGE_BACK, &m, end);
	w->back.inside = w->front.inside = false;
	httpmsg_done(&m);
}

static size_t data(struct peer *p, enum exchange_side side, const char *text)
{
	size_t r;

	p->inside = true;
	r = exchange_data(p->x, side, (const uint8_t *)text, strlen(text));
	p->inside = false;
	return r;
}

static void end(struct peer *p, enum exchange_side side)
{
	p->inside = true;
	exchange_end(p->x, side, NULL);
	p->inside = false;
}

#define assert_told(peer, want)                            \
	do {                                               \
		assert_string_equal((peer)->log, want);    \
		(peer)->log[0] = 0;                        \
	} while (0)

/* --- the tests --- */

static void both_directions_stream(void **state)
{
	struct world w;

	world_make(&w);
	request(&w, POST, false);
	assert_told(&w.back, "POST /p;");
	assert_int_equal(data(&w.front, EXCHANGE_FRONT, "abc"), 3);
	response(&w, "HTTP/1.1 103 Early Hints\r\n\r\n", false);
	response(&w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false);
	assert_int_equal(data(&w.back, EXCHANGE_BACK, "one"), 3);
	assert_int_equal(data(&w.front, EXCHANGE_FRONT, "def"), 3);
	end(&w.front, EXCHANGE_FRONT);
	assert_told(&w.back, "+abc;+def;end;");
	assert_int_equal(data(&w.back, EXCHANGE_BACK, "two"), 3);
	end(&w.back, EXCHANGE_BACK);
	assert_told(&w.front, "103;200;+one;+two;end;");
	assert_int_equal(w.front.closed + w.back.closed, 0);
	turns(&w);
	assert_told(&w.front, "DONE;");
	assert_told(&w.back, "DONE;");
	assert_int_equal(logged(&w, "\"verdict\":\"allow\""), 1);
	assert_int_equal(logged(&w, "\"event\":\"end\""), 1);
	assert_int_equal(logged(&w, "\"bytes_out\":6,\"bytes_in\":6"), 1);
	world_end(&w);
}

static void who_takes_less_is_waited_for(void **state)
{
	struct world w;

	world_make(&w);
	request(&w, POST, false);
	w.back.takes = 2;
	assert_int_equal(data(&w.front, EXCHANGE_FRONT, "abcdef"), 2);
	assert_told(&w.front, "");
	w.back.takes = 3;
	exchange_writable(w.back.x, EXCHANGE_BACK);
	assert_told(&w.front, "resume;");
	assert_int_equal(data(&w.front, EXCHANGE_FRONT, "cdef"), 3);
	w.back.takes = SIZE_MAX;
	exchange_writable(w.back.x, EXCHANGE_BACK);
	exchange_writable(w.back.x, EXCHANGE_BACK);
	assert_told(&w.front, "resume;");
	assert_int_equal(data(&w.front, EXCHANGE_FRONT, "f"), 1);
	end(&w.front, EXCHANGE_FRONT);
	response(&w, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", false);
	w.front.takes = 0;
	assert_int_equal(data(&w.back, EXCHANGE_BACK, "wxyz"), 0);
	w.back.log[0] = 0;
	w.front.takes = 4;
	exchange_writable(w.front.x, EXCHANGE_FRONT);
	assert_told(&w.back, "resume;");
	assert_int_equal(data(&w.back, EXCHANGE_BACK, "wxyz"), 4);
	end(&w.back, EXCHANGE_BACK);
	world_end(&w);
	assert_told(&w.front, "200;+wxyz;end;DONE;");
}

static void an_early_answer_leaves_the_rest_unread(void **state)
{
	struct world w;

	world_make(&w);
	request(&w, POST, false);
	assert_int_equal(data(&w.front, EXCHANGE_FRONT, "ab"), 2);
	response(&w, "HTTP/1.1 413 X\r\nContent-Length: 0\r\n\r\n", true);
	assert_int_equal(data(&w.front, EXCHANGE_FRONT, "cd"), 0);
	turns(&w);
	assert_told(&w.front, "413 end;UNREAD;");
	assert_told(&w.back, "POST /p;+ab;UNREAD;");
	world_end(&w);
}

static void a_refusal_is_given_as_the_front_takes_it(void **state)
{
	struct world w;
	int pieces = 0;

	world_make(&w);
	set_policy(&w, 2, "\"resource\":\"ok.test:443\",\"methods\":[\"GET\"]");
	assert_true(w.origin_closed);
	w.front.takes = 7;
	request(&w, POST, false);
	assert_int_equal(data(&w.front, EXCHANGE_FRONT, "abcdef"), 0);
	assert_told(&w.front, "403;+Blocked;");
	while (!strstr(w.front.log, "end;")) {
		w.front.takes = 100;
		exchange_writable(w.front.x, EXCHANGE_FRONT);
		assert_true(++pieces < 100);
	}
	assert_true(pieces > 1);
	assert_non_null(strstr(w.front.log, "by network po") ? w.front.log : strstr(w.front.log, " by"));
	assert_int_equal(w.front.closed, 0);
	turns(&w);
	assert_int_equal(w.front.closed, 1);
	assert_non_null(strstr(w.front.log, "end;UNREAD;"));
	assert_int_equal(logged(&w, "\"verdict\":\"deny\",\"reason\":\"method\""), 1);
	assert_int_equal(logged(&w, "\"event\":\"end\""), 0);
	world_end(&w);
}

static void a_refused_head_has_no_body(void **state)
{
	struct world w;

	world_make(&w);
	request(&w, "HEAD / HTTP/1.1\r\nHost: other.test\r\n\r\n", true);
	assert_told(&w.front, "421 end;");
	turns(&w);
	assert_told(&w.front, "DONE;");
	assert_int_equal(logged(&w, "\"reason\":\"host_mismatch\""), 1);
	assert_told(&w.back, "");
	world_end(&w);
}

static void what_cannot_be_read_is_answered(void **state)
{
	struct world w;

	world_make(&w);
	w.front.x = exchange_new(&w.env, &ops, &w.front);
	w.front.inside = true;
	exchange_reject(w.front.x, 400, "two Host fields");
	w.front.inside = false;
	turns(&w);
	assert_non_null(strstr(w.front.log, "400;+400 Bad Request"));
	assert_non_null(strstr(w.front.log, "end;UNREAD;"));
	assert_int_equal(logged(&w, "\"reason\":\"bad_request\""), 1);
	world_end(&w);
}

static void a_front_that_goes_takes_the_back_with_it(void **state)
{
	struct world w;

	world_make(&w);
	request(&w, POST, false);
	w.back.log[0] = 0;
	exchange_abort(w.front.x, EXCHANGE_FRONT, EXCHANGE_GONE);
	assert_told(&w.back, "");
	turns(&w);
	assert_told(&w.back, "CUT;");
	assert_told(&w.front, "");
	assert_int_equal(logged(&w, "\"error\":\"client_closed\""), 1);
	world_end(&w);
}

static void a_back_that_goes(void **state)
{
	/* Before a head it is a 502, in the middle of the body the front's connection is cut. */
	struct world w;

	world_make(&w);
	request(&w, POST, false);
	exchange_abort(w.back.x, EXCHANGE_BACK, EXCHANGE_UNTOUCHED);
	turns(&w);
	assert_non_null(strstr(w.front.log, "502;+502 Bad Gateway"));
	assert_non_null(strstr(w.front.log, "end;UNREAD;"));
	assert_told(&w.back, "POST /p;");
	world_end(&w);

	world_make(&w);
	request(&w, GET, true);
	response(&w, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", false);
	assert_int_equal(data(&w.back, EXCHANGE_BACK, "ab"), 2);
	exchange_abort(w.back.x, EXCHANGE_BACK, EXCHANGE_GONE);
	turns(&w);
	assert_told(&w.front, "200;+ab;CUT;");
	assert_int_equal(logged(&w, "\"error\":\"unreachable\""), 1);
	world_end(&w);
}

static void both_go_at_once(void **state)
{
	struct world w;

	world_make(&w);
	request(&w, GET, true);
	exchange_abort(w.front.x, EXCHANGE_FRONT, EXCHANGE_GONE);
	exchange_abort(w.back.x, EXCHANGE_BACK, EXCHANGE_GONE);
	turns(&w);
	assert_told(&w.front, "");
	assert_told(&w.back, "GET /g end;");
	world_end(&w);
}

static void a_policy_that_forbids_it_cuts_it(void **state)
{
	struct world w;

	world_make(&w);
	request(&w, GET, true);
	response(&w, "HTTP/1.1 200 OK\r\n\r\n", false);
	set_policy(&w, 2, "\"resource\":\"ok.test:443\"");
	turns(&w);
	assert_told(&w.front, "200;");
	set_policy(&w, 3, "\"resource\":\"other.test:443\"");
	turns(&w);
	assert_told(&w.front, "CUT;");
	assert_told(&w.back, "GET /g end;CUT;");
	assert_int_equal(logged(&w, "\"error\":\"policy_changed\""), 1);
	world_end(&w);
}

/* Nothing holds up heads, and who is to get them may not read. */
static void interim_answers_are_counted(void **state)
{
	struct world w;
	int given = 0;

	world_make(&w);
	request(&w, GET, true);
	for (int i = 0; i < 40 && !strstr(w.front.log, "502"); i++)
		response(&w, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", false);
	for (const char *at = w.front.log; (at = strstr(at, "103;")); at++)
		given++;
	assert_int_equal(given, 16);
	assert_non_null(strstr(w.front.log, "502;+502 Bad Gateway"));
	turns(&w);
	assert_told(&w.back, "GET /g end;CUT;");
	assert_int_equal(logged(&w, "\"error\":\"bad_response\""), 1);
	world_end(&w);
}

static void trailers_carry_no_credentials(void **state)
{
	static const char *const fields[] = { "grpc-status", "Authorization", "Content-Length", "Cookie", "X-Api-Key", "x-more" };
	struct httpmsg_refusal why;
	struct httpmsg t;
	struct world w;

	world_make(&w);
	request(&w, POST, false);
	httpmsg_init(&t, HTTPMSG_REQUEST);
	httpmsg_reset(&t, DEST_HTTPS);
	for (size_t i = 0; i < ARRAY_LEN(fields); i++)
		assert_int_equal(httpmsg_add(&t, fields[i], strlen(fields[i]), "1", 1, &why), 0);
	exchange_end(w.front.x, EXCHANGE_FRONT, &t);
	assert_told(&w.back, "POST /p;end trailers;grpc-status;x-more;");
	httpmsg_done(&t);
	exchange_abort(w.back.x, EXCHANGE_BACK, EXCHANGE_GONE);
	world_end(&w);
}

static void websocket_frames_only(void **state)
{
	struct world w;

	world_make(&w);
	request(&w, WS, true);
	response(&w, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " WS_ACCEPT
		     "\r\n\r\n", false);
	assert_told(&w.front, "101;");
	w.back.log[0] = 0;
	assert_int_equal(data(&w.front, EXCHANGE_FRONT, "\x81\x81kkkkx"), 7);
	w.front.takes = 1;
	assert_int_equal(data(&w.back, EXCHANGE_BACK, "\x81\x01y"), 1);
	w.front.takes = SIZE_MAX;
	assert_int_equal(data(&w.back, EXCHANGE_BACK, "\x01y"), 2);
	w.front.log[0] = 0;
	w.back.log[0] = 0;
	assert_int_equal(data(&w.front, EXCHANGE_FRONT, "SSH-2.0"), 7);
	assert_told(&w.back, "");
	turns(&w);
	assert_told(&w.back, "CUT;");
	assert_told(&w.front, "CUT;");
	assert_int_equal(logged(&w, "\"error\":\"bad_frame\""), 1);
	world_end(&w);

	world_make(&w);
	request(&w, WS, true);
	response(&w, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
		     "AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n", false);
	turns(&w);
	assert_non_null(strstr(w.front.log, "502;+502"));
	assert_told(&w.back, "GET /w end;CUT;");
	world_end(&w);
}

/* Without memory a request is answered or cut, each side hears of its end once, and nothing is forwarded that is not in the log. */
static void memory_that_fails_at_any_point(void **state)
{
	static const char *const rules[] = { "\"resource\":\"ok.test:443\",\"path\":\"/g\"", "\"resource\":\"other.test:443\"" };

	int forwarded = 0;

	for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
		bool failed = true;

		for (long n = 0; failed; n++) {
			struct httpmsg req, res;
			struct world w;

			world_make(&w);
			set_policy(&w, 2, rules[i]);
			join(&w);
			parse(&req, HTTPMSG_REQUEST, NULL, "GET /%67 HTTP/1.1\r\nHost: ok.test\r\n\r\n");
			parse(&res, HTTPMSG_RESPONSE, &req, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
			oom_from(n);
			w.front.x = exchange_new(&w.env, &ops, &w.front);
			if (w.front.x)
				exchange_head(w.front.x, EXCHANGE_FRONT, &req, true);
			if (w.back.x && !w.front.closed) {
				exchange_head(w.back.x, EXCHANGE_BACK, &res, false);
				(void)data(&w.back, EXCHANGE_BACK, "ok");
				end(&w.back, EXCHANGE_BACK);
			}
			failed = oom_off();
			turns(&w);
			forwarded += w.back.log[0] != 0;
			if (w.back.log[0])
				assert_int_equal(logged(&w, "\"verdict\":\"allow\""), 1);
			assert_int_equal(w.front.closed, w.front.log[0] ? 1 : 0);
			assert_int_equal(w.back.closed, w.back.log[0] ? 1 : 0);
			httpmsg_done(&req);
			httpmsg_done(&res);
			world_end(&w);
		}
	}
	assert_true(forwarded > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_directions_stream),
		cmocka_unit_test(who_takes_less_is_waited_for),
		cmocka_unit_test(an_early_answer_leaves_the_rest_unread),
		cmocka_unit_test(a_refusal_is_given_as_the_front_takes_it),
		cmocka_unit_test(a_refused_head_has_no_body),
		cmocka_unit_test(what_cannot_be_read_is_answered),
		cmocka_unit_test(a_front_that_goes_takes_the_back_with_it),
		cmocka_unit_test(a_back_that_goes),
		cmocka_unit_test(both_go_at_once),
		cmocka_unit_test(a_policy_that_forbids_it_cuts_it),
		cmocka_unit_test(interim_answers_are_counted),
		cmocka_unit_test(trailers_carry_no_credentials),
		cmocka_unit_test(websocket_frames_only),
		cmocka_unit_test(memory_that_fails_at_any_point),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
