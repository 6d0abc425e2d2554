/* SPDX-License-Identifier: Apache-2.0
 *
 * upstream: reading the host's proxies, and for whom they are. tunnel: what is asked of them, and what their answers mean.
 */
#include <sys/socket.h>
#include <unistd.h>

#include "unit.h"

#include "proxy/sock.h"
#include "proxy/tunnel.h"
#include "proxy/upstream.h"

static int read_text(const char *text, struct upstream *u, struct err *err)
{
	json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
	int r;

	assert_non_null(json);
	r = upstream_read(json, u, err);
	json_decref(json);
	return r;
}

static void test_reading(void **state)
{
	static struct upstream u;
	struct err err = { 0 };

	assert_int_equal(read_text("null", &u, &err), 0);
	assert_false(u.http.set || u.https.set);
	assert_int_equal(read_text("{\"http\":\"http://proxy.corp.test:3128\",\"https\":\"http://u%73er:p%40ss@[2001:db8::1]/\","
				   "\"no_proxy\":\"a.test, .b.test,,10.0.0.0/8,*.c.test:8080\"}", &u, &err), 0);
	assert_string_equal(u.http.dest.host, "proxy.corp.test");
	assert_int_equal(u.http.dest.port, 3128);
	assert_string_equal(u.http.credential, "");
	assert_string_equal(u.https.dest.host, "2001:db8::1");
	assert_int_equal(u.https.dest.port, 80);
	assert_string_equal(u.https.credential, "dXNlcjpwQHNz");
	assert_int_equal(u.nexceptions, 4);
}

static void test_what_cannot_be_read_changes_nothing(void **state)
{
	static const char *const bad[] = {
		"3", "[]", "{\"http\":3}", "{\"http\":\"https://proxy.test\"}", "{\"http\":\"proxy.test:80\"}", "{\"http\":\"http://\"}",
		"{\"http\":\"http://proxy.test:0\"}", "{\"http\":\"http://u:SECRET%00@proxy.test\"}", "{\"http\":\"http://u:SECRET%4@proxy.test\"}",
		"{\"http\":\"http://u:SECRET@bad host\"}",
	};
	static struct upstream u;

	u.http.set = true;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = { 0 };

		assert_true(read_text(bad[i], &u, &err) < 0);
		assert_int_equal(err.kind, ERR_INVALID);
		assert_null(strstr(err.msg, "SECRET"));
		assert_true(u.http.set);
	}
}

static void test_long_credentials(void **state)
{
	static char text[4096];
	static struct upstream u;
	struct err err = { 0 };

	(void)snprintf(text, sizeof(text), "{\"http\":\"http://%0*d:x@proxy.test\"}", 2000, 0);
	assert_true(read_text(text, &u, &err) < 0);
}

static const struct upstream_proxy *ask(const struct upstream *u, const char *where, enum flow_protocol protocol,
					const char *address)
{
	struct flow f = { .protocol = protocol };
	struct cidr range = { .prefix = 0 };
	struct err err;

	assert_int_equal(dest_parse_authority(where, strlen(where), 443, protocol == FLOW_HTTP ? DEST_HTTP : DEST_HTTPS, &f.dest),
			 DEST_OK);
	if (address)
		assert_int_equal(cidr_parse(address, strlen(address), &range, &err), 0);
	return upstream_for(u, &f, address ? &range.net : NULL, address ? 1 : 0);
}

static void test_for_whom(void **state)
{
	static struct upstream u;
	struct err err;

	assert_int_equal(read_text("{\"http\":\"http://one.test:1\",\"https\":\"http://two.test:2\","
				   "\"no_proxy\":\"a.test,.b.test,10.0.0.0/8,c.test:8080,192.0.2.7\"}", &u, &err), 0);
	assert_ptr_equal(ask(&u, "x.test:80", FLOW_HTTP, NULL), &u.http);
	assert_ptr_equal(ask(&u, "x.test", FLOW_TLS, NULL), &u.https);
	assert_ptr_equal(ask(&u, "x.test:22", FLOW_TCP, NULL), &u.https);
	assert_null(ask(&u, "a.test", FLOW_TLS, NULL));
	assert_null(ask(&u, "x.a.test", FLOW_TLS, NULL));
	assert_null(ask(&u, "b.test", FLOW_TLS, NULL));
	assert_ptr_equal(ask(&u, "xa.test", FLOW_TLS, NULL), &u.https);
	assert_null(ask(&u, "c.test:8080", FLOW_TLS, NULL));
	assert_ptr_equal(ask(&u, "c.test:443", FLOW_TLS, NULL), &u.https);
	assert_null(ask(&u, "10.1.2.3", FLOW_TLS, NULL));
	assert_null(ask(&u, "192.0.2.7", FLOW_TLS, NULL));
	assert_null(ask(&u, "x.test", FLOW_TLS, "10.1.2.3"));
	assert_ptr_equal(ask(&u, "x.test", FLOW_TLS, "11.1.2.3"), &u.https);
	assert_null(ask(&u, "host.docker.internal:80", FLOW_HTTP, NULL));
	assert_int_equal(read_text("{\"https\":\"http://two.test:2\",\"no_proxy\":\"*\"}", &u, &err), 0);
	assert_null(ask(&u, "x.test", FLOW_TLS, NULL));
}

/* --- tunnel --- */

struct fixture {
	uv_loop_t loop;
	struct turn turn;
	struct tunnel *t;
	int proxy; /* our end: the upstream proxy */
	int done, status;
	struct chan *chan;
	char got[64];
	size_t ngot;
};

static void on_done(void *user, struct chan *c, int status)
{
	struct fixture *f = user;

	f->done++;
	f->status = status;
	f->chan = c;
	f->t = NULL;
}

static size_t on_bytes(void *user, struct chan *c, const uint8_t *bytes, size_t n)
{
	struct fixture *f = user;

	memcpy(f->got + f->ngot, bytes, n);
	f->ngot += n;
	return n;
}

static void on_end(void *user, struct chan *c)
{
}

static void on_closed(void *user, struct chan *c, int error)
{
}

static const struct chan_ops ops = { .bytes = on_bytes, .eof = on_end, .closed = on_closed };

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct upstream_proxy p = { .credential = "Zm9v" };
	struct dest to;
	char text[256];
	int fds[2];
	ssize_t n;

	assert_int_equal(uv_loop_init(&f->loop), 0);
	assert_int_equal(turn_init(&f->turn, &f->loop), 0);
	assert_int_equal(io_socketpair(fds), 0);
	assert_int_equal(dest_make("2001:db8::7", 11, 443, DEST_TCP, &to), DEST_OK);
	f->proxy = fds[0];
	f->t = tunnel_start(sock_new(&f->loop, &f->turn, fds[1]), &p, &to, on_done, f);
	assert_non_null(f->t);
	n = read(f->proxy, text, sizeof(text) - 1);
	assert_true(n > 0);
	text[n] = 0;
	assert_string_equal(text, "CONNECT [2001:db8::7]:443 HTTP/1.1\r\nHost: [2001:db8::7]:443\r\nProxy-Authorization: Basic Zm9v\r\n\r\n");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	tunnel_cancel(f->t);
	chan_free(f->chan);
	turn_stop(&f->turn);
	(void)uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	(void)close(f->proxy);
	free(f);
	return 0;
}

static void answer(struct fixture *f, const char *text)
{
	assert_int_equal(write(f->proxy, text, strlen(text)), strlen(text));
	for (int i = 0; i < 5; i++)
		(void)uv_run(&f->loop, UV_RUN_NOWAIT);
}

static void test_a_tunnel_and_its_first_bytes(void **state)
{
	struct fixture *f = *state;

	answer(f, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2");
	assert_int_equal(f->done, 0);
	answer(f, "00 Go on\r\nVia: x\r\n\r\nfirst ");
	assert_int_equal(f->done, 1);
	assert_non_null(f->chan);
	chan_own(f->chan, &ops, f);
	chan_resume(f->chan);
	answer(f, "bytes");
	assert_int_equal(f->ngot, 11);
	assert_memory_equal(f->got, "first bytes", 11);
}

static void test_a_refusal(void **state)
{
	struct fixture *f = *state;

	answer(f, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 3\r\n\r\nabc");
	assert_int_equal(f->done, 1);
	assert_null(f->chan);
	assert_int_equal(f->status, 407);
}

static void test_no_answer_of_http(void **state)
{
	struct fixture *f = *state;

	answer(f, "SSH-2.0-x\r\n");
	assert_int_equal(f->done, 1);
	assert_null(f->chan);
}

static void test_an_end_before_the_answer(void **state)
{
	struct fixture *f = *state;

	answer(f, "HTTP/1.1 200 OK\r\n");
	(void)shutdown(f->proxy, SHUT_RDWR);
	for (int i = 0; i < 5; i++)
		(void)uv_run(&f->loop, UV_RUN_NOWAIT);
	assert_int_equal(f->done, 1);
	assert_null(f->chan);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reading),
		cmocka_unit_test(test_what_cannot_be_read_changes_nothing),
		cmocka_unit_test(test_long_credentials),
		cmocka_unit_test(test_for_whom),
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(test_a_tunnel_and_its_first_bytes),
		T(test_a_refusal),
		T(test_no_answer_of_http),
		T(test_an_end_before_the_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
