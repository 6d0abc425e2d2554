/* SPDX-License-Identifier: Apache-2.0
 *
 * chan, turn, sock and splice: what an owner is told, when, and how often, over a carrier that the test plays and over socket pairs.
 */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "oom.h"
#include "unit.h"

#include "proxy/chan.h"
#include "proxy/sock.h"
#include "proxy/splice.h"

/* --- a carrier that the test plays --- */

struct carrier {
	struct chan chan;
	size_t room, consumed;
	int shutdowns, releases, read_on, read_off;
	bool reset;
	char wrote[64];
	size_t nwrote;
};

static size_t carrier_writev(struct chan *c, const struct iovec *iov, int n)
{
	struct carrier *k = container_of(c, struct carrier, chan);
	size_t took = 0;

	for (int i = 0; i < n; i++) {
		size_t one = iov[i].iov_len < k->room ? iov[i].iov_len : k->room;

		memcpy(k->wrote + k->nwrote, iov[i].iov_base, one);
		k->nwrote += one;
		k->room -= one;
		took += one;
	}
	return took;
}

static size_t carrier_room(const struct chan *c)
{
	return ((const struct carrier *)c)->room;
}

static void carrier_shutdown(struct chan *c)
{
	((struct carrier *)c)->shutdowns++;
}

static void carrier_set_reading(struct chan *c, bool on)
{
	if (on)
		((struct carrier *)c)->read_on++;
	else
		((struct carrier *)c)->read_off++;
}

static void carrier_consumed(struct chan *c, size_t n)
{
	((struct carrier *)c)->consumed += n;
}

static void carrier_release(struct chan *c, bool reset)
{
	((struct carrier *)c)->releases++;
	((struct carrier *)c)->reset = reset;
}

static const struct chan_class carrier_class = {
	.name = "test",
	.writev = carrier_writev,
	.room = carrier_room,
	.shutdown = carrier_shutdown,
	.set_reading = carrier_set_reading,
	.consumed = carrier_consumed,
	.release = carrier_release,
};

/* --- an owner that writes down what it hears --- */

struct owner {
	char got[256];
	size_t ngot;
	size_t take;      /* at most so many of each delivery */
	int calls, eofs, writables, closeds, error;
	bool free_in_bytes, free_in_eof, inside;
	const char *unread; /* given back in the next delivery, before anything is taken */
	struct owner *hand_to;
};

struct fixture {
	uv_loop_t loop;
	struct turn turn;
	struct carrier k;
	struct owner o, other;
};

static size_t on_bytes(void *user, struct chan *c, const uint8_t *bytes, size_t n)
{
	struct owner *o = user;
	size_t took = n < o->take ? n : o->take;

	assert_false(o->inside);
	o->calls++;
	memcpy(o->got + o->ngot, bytes, took);
	o->ngot += took;
	if (o->unread) {
		assert_int_equal(chan_unread(c, o->unread, strlen(o->unread)), 0);
		o->unread = NULL;
	}
	if (o->hand_to) {
		chan_own(c, c->ops, o->hand_to);
		chan_resume(c);
	}
	if (o->free_in_bytes)
		chan_free(c);
	return took;
}

static void on_eof(void *user, struct chan *c)
{
	struct owner *o = user;

	assert_false(o->inside);
	o->eofs++;
	if (o->free_in_eof)
		chan_free(c);
}

static void on_writable(void *user, struct chan *c)
{
	((struct owner *)user)->writables++;
}

static void on_closed(void *user, struct chan *c, int error)
{
	struct owner *o = user;

	o->closeds++;
	o->error = error;
}

static const struct chan_ops owner_ops = {
	.bytes = on_bytes, .eof = on_eof, .writable = on_writable, .closed = on_closed,
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_int_equal(uv_loop_init(&f->loop), 0);
	assert_int_equal(turn_init(&f->turn, &f->loop), 0);
	chan_init(&f->k.chan, &carrier_class, &f->turn);
	f->o.take = f->other.take = sizeof(f->o.got);
	chan_own(&f->k.chan, &owner_ops, &f->o);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->k.releases == 0)
		chan_free(&f->k.chan);
	assert_int_equal(f->k.releases, 1);
	turn_stop(&f->turn);
	(void)uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	free(f);
	return 0;
}

static void deliver(struct fixture *f, const char *text)
{
	assert_int_equal(chan_deliver(&f->k.chan, (const uint8_t *)text, strlen(text)), 0);
}

static void turn(struct fixture *f)
{
	(void)uv_run(&f->loop, UV_RUN_NOWAIT);
}

static void assert_got(const struct owner *o, const char *text)
{
	assert_int_equal(o->ngot, strlen(text));
	assert_memory_equal(o->got, text, o->ngot);
}

static void test_bytes_go_to_the_owner_at_once(void **state)
{
	struct fixture *f = *state;

	chan_resume(&f->k.chan);
	deliver(f, "one");
	deliver(f, "two");
	assert_got(&f->o, "onetwo");
	assert_int_equal(f->k.consumed, 6);
	assert_int_equal(f->k.chan.bytes_in, 6);
}

static void test_a_new_chan_does_not_read(void **state)
{
	struct fixture *f = *state;

	deliver(f, "one");
	chan_deliver_eof(&f->k.chan);
	turn(f);
	assert_int_equal(f->o.calls + f->o.eofs, 0);
	assert_int_equal(f->k.consumed, 0);
	f->o.inside = true;
	chan_resume(&f->k.chan);
	f->o.inside = false;
	assert_int_equal(f->o.calls, 0);
	turn(f);
	assert_got(&f->o, "one");
	assert_int_equal(f->o.eofs, 1);
	turn(f);
	assert_int_equal(f->o.eofs, 1);
}

static void test_what_is_not_taken_comes_again(void **state)
{
	struct fixture *f = *state;

	chan_resume(&f->k.chan);
	f->o.take = 2;
	deliver(f, "abcde");
	deliver(f, "fg");
	turn(f);
	assert_got(&f->o, "ab");
	assert_int_equal(f->k.consumed, 2);
	assert_int_equal(f->k.read_off, 1);
	f->o.take = 100;
	chan_resume(&f->k.chan);
	turn(f);
	assert_got(&f->o, "abcdefg");
	assert_int_equal(f->k.consumed, 7);
	assert_true(f->k.read_on >= 1);
}

static void test_a_pause_holds_everything(void **state)
{
	struct fixture *f = *state;

	chan_resume(&f->k.chan);
	chan_pause(&f->k.chan);
	deliver(f, "x");
	chan_deliver_eof(&f->k.chan);
	turn(f);
	assert_int_equal(f->o.calls + f->o.eofs, 0);
	chan_deliver_closed(&f->k.chan, -ECONNRESET);
	turn(f);
	assert_int_equal(f->o.closeds, 1);
	assert_int_equal(f->o.error, -ECONNRESET);
}

static void test_what_is_given_back_comes_first_and_counts_once(void **state)
{
	struct fixture *f = *state;

	chan_resume(&f->k.chan);
	deliver(f, "abc");
	f->o.take = 0;
	deliver(f, "def");
	assert_int_equal(chan_unread(&f->k.chan, "abc", 3), 0);
	assert_int_equal(f->k.chan.bytes_in, 0);
	f->o.ngot = 0;
	f->o.take = 100;
	chan_own(&f->k.chan, &owner_ops, &f->other);
	chan_resume(&f->k.chan);
	turn(f);
	assert_got(&f->other, "abcdef");
	assert_int_equal(f->k.consumed, 6);
	assert_int_equal(f->k.chan.bytes_in, 6);
}

static void test_handing_on_inside_a_delivery(void **state)
{
	struct fixture *f = *state;

	chan_resume(&f->k.chan);
	f->o.take = 3;
	f->o.unread = "abc"; /* takes 3, gives the same 3 back, and hands on */
	f->o.hand_to = &f->other;
	deliver(f, "abcdef");
	assert_int_equal(f->other.calls, 0);
	turn(f);
	assert_got(&f->other, "abcdef");
	assert_int_equal(f->k.consumed, 6);
}

static void test_a_new_owner_hears_of_the_end_again(void **state)
{
	struct fixture *f = *state;

	chan_resume(&f->k.chan);
	deliver(f, "abc");
	chan_deliver_eof(&f->k.chan);
	turn(f);
	assert_int_equal(f->o.eofs, 1);
	assert_int_equal(chan_unread(&f->k.chan, "abc", 3), 0);
	chan_own(&f->k.chan, &owner_ops, &f->other);
	chan_resume(&f->k.chan);
	turn(f);
	assert_got(&f->other, "abc");
	assert_int_equal(f->other.eofs, 1);
}

static void test_letting_go_inside_a_callback(void **state)
{
	struct fixture *f = *state;

	chan_resume(&f->k.chan);
	f->o.free_in_bytes = true;
	assert_int_equal(chan_deliver(&f->k.chan, (const uint8_t *)"x", 1), -ECANCELED);
	assert_int_equal(f->k.releases, 1);
	assert_true(f->k.reset);
	turn(f);
	assert_int_equal(f->o.closeds, 0);
}

static void test_letting_go_at_the_end_or_with_bytes_kept(void **state)
{
	struct fixture *f = *state;

	deliver(f, "x");
	chan_deliver_eof(&f->k.chan);
	f->o.free_in_eof = true;
	chan_resume(&f->k.chan);
	turn(f);
	assert_int_equal(f->k.releases, 1);
}

static void test_kept_bytes_are_bounded(void **state)
{
	struct fixture *f = *state;
	static uint8_t bytes[CHAN_KEPT];

	assert_int_equal(chan_deliver(&f->k.chan, bytes, CHAN_KEPT), 0);
	assert_int_equal(chan_deliver(&f->k.chan, bytes, 1), -EMSGSIZE);
	assert_int_equal(chan_unread(&f->k.chan, bytes, 1), -EMSGSIZE);
}

static void test_writing(void **state)
{
	struct fixture *f = *state;

	f->k.room = 4;
	chan_deliver_writable(&f->k.chan);
	turn(f);
	assert_int_equal(f->o.writables, 0);
	assert_int_equal(chan_room(&f->k.chan), 4);
	assert_int_equal(chan_write(&f->k.chan, "abcdef", 6), 4);
	assert_int_equal(f->k.chan.bytes_out, 4);
	f->k.room = 10;
	chan_deliver_writable(&f->k.chan);
	assert_int_equal(f->o.writables, 0);
	turn(f);
	assert_int_equal(f->o.writables, 1);
	chan_shutdown(&f->k.chan);
	chan_shutdown(&f->k.chan);
	assert_int_equal(f->k.shutdowns, 1);
	assert_int_equal(chan_room(&f->k.chan), 0);
	assert_int_equal(chan_write(&f->k.chan, "x", 1), 0);
}

static void test_closed_in_order_comes_last(void **state)
{
	struct fixture *f = *state;

	deliver(f, "abc");
	chan_deliver_eof(&f->k.chan);
	chan_deliver_closed(&f->k.chan, 0);
	turn(f);
	assert_int_equal(f->o.closeds, 0);
	f->o.take = 1;
	chan_resume(&f->k.chan);
	turn(f);
	assert_int_equal(f->o.closeds + f->o.eofs, 0);
	f->o.take = 100;
	chan_resume(&f->k.chan);
	turn(f);
	turn(f);
	assert_got(&f->o, "abc");
	assert_int_equal(f->o.eofs, 1);
	assert_int_equal(f->o.closeds, 1);
	assert_int_equal(f->o.error, 0);
	chan_free(&f->k.chan);
	assert_false(f->k.reset);
}

static void test_closing_waits_for_the_peer(void **state)
{
	struct fixture *f = *state;

	f->k.room = 10;
	(void)chan_write(&f->k.chan, "bye", 3);
	chan_close(&f->k.chan);
	assert_int_equal(f->k.shutdowns, 1);
	turn(f);
	deliver(f, "dropped");
	assert_int_equal(f->k.consumed, 7);
	assert_int_equal(f->o.calls, 0);
	assert_int_equal(f->k.releases, 0);
	chan_deliver_eof(&f->k.chan);
	chan_deliver_closed(&f->k.chan, 0);
	turn(f);
	assert_int_equal(f->k.releases, 1);
	assert_false(f->k.reset);
}

static void test_nobody_waits_at_the_end_of_the_loop(void **state)
{
	struct fixture *f = *state;

	chan_close(&f->k.chan);
	assert_int_equal(f->k.releases, 0);
	chan_stop_lingering(&f->turn);
	assert_int_equal(f->k.releases, 1);
	assert_true(f->k.reset);
	chan_stop_lingering(&f->turn);
	assert_int_equal(f->k.releases, 1);
}

/* --- sockets --- */

#define SOCKET_BYTES (4U << 20)

struct pump_test {
	struct fixture *f;
	struct chan *a, *b; /* a splice of these two, or one that we own */
	struct splice *splice;
	int left, right; /* our ends */
	int error, over;
	uint64_t out, in;
};

static void on_spliced(void *user, int error, uint64_t out, uint64_t in)
{
	struct pump_test *t = user;

	t->over++;
	t->error = error;
	t->out = out;
	t->in = in;
}

static void start_splice(struct fixture *f, struct pump_test *t)
{
	int one[2], two[2];

	assert_int_equal(io_socketpair(one), 0);
	assert_int_equal(io_socketpair(two), 0);
	*t = (struct pump_test){ .f = f, .left = one[0], .right = two[0] };
	assert_int_equal(io_set_nonblock(t->left, true), 0);
	assert_int_equal(io_set_nonblock(t->right, true), 0);
	t->splice = splice_start(sock_new(&f->loop, &f->turn, one[1]), sock_new(&f->loop, &f->turn, two[1]), false, on_spliced, t);
	assert_non_null(t->splice);
}

/* Sends SOCKET_BYTES from one end to the other; the receiver reads `step` bytes now and then. */
static void pass(struct pump_test *t, int from, int to, size_t step)
{
	static uint8_t bytes[65536], got[65536];
	size_t sent = 0, received = 0, unread;

	while (received < SOCKET_BYTES) {
		ssize_t n;

		memset(bytes, (int)(sent / sizeof(bytes)), sizeof(bytes));
		n = sent < SOCKET_BYTES ? write(from, bytes, sizeof(bytes) - sent % sizeof(bytes)) : 0;
		sent += n > 0 ? (size_t)n : 0;
		(void)uv_run(&t->f->loop, UV_RUN_NOWAIT);
		n = read(to, got, step);
		for (ssize_t i = 0; i < n; i++)
			assert_int_equal(got[i], (uint8_t)((received + (size_t)i) / sizeof(bytes)));
		received += n > 0 ? (size_t)n : 0;
		unread = sent - received;
		/* Two sockets, a queue and what is kept; not more, however much is sent. */
		assert_true(unread < CHAN_OUT + CHAN_KEPT + (2U << 20));
	}
	assert_int_equal(received, SOCKET_BYTES);
}

static void test_splice_passes_bytes_to_a_slow_reader(void **state)
{
	struct pump_test t;

	start_splice(*state, &t);
	pass(&t, t.left, t.right, 4096);
	pass(&t, t.right, t.left, 65536);
	splice_cut(t.splice, &t.out, &t.in);
	assert_int_equal(t.out, SOCKET_BYTES);
	assert_int_equal(t.in, SOCKET_BYTES);
	assert_int_equal(t.over, 0);
	(void)close(t.left);
	(void)close(t.right);
}

static void run_until(struct pump_test *t, const int *flag)
{
	uint64_t end = io_now_ms() + 5000;

	while (!*flag && io_now_ms() < end)
		(void)uv_run(&t->f->loop, UV_RUN_ONCE);
	assert_true(*flag);
}

static void test_splice_ends_when_both_directions_have(void **state)
{
	struct pump_test t;
	char got[8];

	start_splice(*state, &t);
	assert_int_equal(write(t.left, "abc", 3), 3);
	(void)shutdown(t.left, SHUT_WR);
	for (int i = 0; i < 20; i++)
		turn(t.f);
	assert_int_equal(read(t.right, got, sizeof(got)), 3);
	assert_int_equal(read(t.right, got, sizeof(got)), 0);
	assert_int_equal(t.over, 0);
	assert_int_equal(write(t.right, "defg", 4), 4);
	(void)close(t.right);
	run_until(&t, &t.over);
	assert_int_equal(t.error, 0);
	assert_int_equal(t.out, 3);
	assert_int_equal(t.in, 4);
	assert_int_equal(read(t.left, got, sizeof(got)), 4);
	assert_int_equal(read(t.left, got, sizeof(got)), 0);
	(void)close(t.left);
}

static void test_splice_ends_with_an_error(void **state)
{
	struct pump_test t;

	start_splice(*state, &t);
	(void)close(t.right);
	turn(t.f);
	assert_int_equal(write(t.left, "x", 1), 1);
	run_until(&t, &t.over);
	assert_int_equal(t.error, -EPIPE);
	(void)close(t.left);
}

static void test_without_memory(void **state)
{
	struct fixture *f = *state;
	static const uint8_t bytes[10000];
	int fds[2];

	assert_int_equal(io_socketpair(fds), 0);
	oom_from(0);
	assert_null(sock_new(&f->loop, &f->turn, fds[1])); /* closes it */
	assert_true(oom_off());
	assert_int_equal(read(fds[0], fds, 1), 0);
	(void)close(fds[0]);
	/* What cannot be kept ends the stream: nothing is lost in silence. */
	oom_from(0);
	assert_int_equal(chan_deliver(&f->k.chan, bytes, sizeof(bytes)), -ENOMEM);
	assert_int_equal(chan_unread(&f->k.chan, bytes, sizeof(bytes)), -ENOMEM);
	chan_close(&f->k.chan); /* cannot wait: resets */
	assert_true(oom_off());
	assert_int_equal(f->k.releases, 1);
	assert_true(f->k.reset);
}

/* --- turns --- */

struct counted {
	struct turn_item item;
	struct turn *turn;
	int runs, again;
	struct counted *drop;
};

static void count_run(struct turn_item *i)
{
	struct counted *c = container_of(i, struct counted, item);

	c->runs++;
	if (c->again-- > 0)
		turn_post(c->turn, i);
	if (c->drop)
		turn_drop(&c->drop->item);
}

static void test_turns(void **state)
{
	struct fixture *f = *state;
	struct counted a = { .item.run = count_run, .turn = &f->turn, .again = 1 }, b = { .item.run = count_run }, c = b;

	a.drop = &c;
	turn_post(&f->turn, &a.item);
	turn_post(&f->turn, &a.item);
	turn_post(&f->turn, &b.item);
	turn_post(&f->turn, &c.item);
	assert_int_equal(a.runs, 0);
	turn(f);
	assert_int_equal(a.runs, 1);
	assert_int_equal(b.runs, 1);
	assert_int_equal(c.runs, 0);
	turn(f);
	assert_int_equal(a.runs, 2);
	assert_int_equal(b.runs, 1);
	assert_false(uv_is_active((uv_handle_t *)&f->turn.idle));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(test_bytes_go_to_the_owner_at_once),
		T(test_a_new_chan_does_not_read),
		T(test_what_is_not_taken_comes_again),
		T(test_a_pause_holds_everything),
		T(test_what_is_given_back_comes_first_and_counts_once),
		T(test_handing_on_inside_a_delivery),
		T(test_a_new_owner_hears_of_the_end_again),
		T(test_letting_go_inside_a_callback),
		T(test_letting_go_at_the_end_or_with_bytes_kept),
		T(test_kept_bytes_are_bounded),
		T(test_writing),
		T(test_closed_in_order_comes_last),
		T(test_closing_waits_for_the_peer),
		T(test_nobody_waits_at_the_end_of_the_loop),
		T(test_splice_passes_bytes_to_a_slow_reader),
		T(test_splice_ends_when_both_directions_have),
		T(test_splice_ends_with_an_error),
		T(test_without_memory),
		T(test_turns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
