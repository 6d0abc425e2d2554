/* SPDX-License-Identifier: Apache-2.0
 *
 * decide: verdicts in words, questions to the user, and who is told of a new policy.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "oom.h"
#include "unit.h"

#include "policy/snapshot.h"
#include "proxy/decide.h"

#define WAITS 4

struct fixture {
	uv_loop_t loop;
	struct journal *j;
	struct decide *d;
	struct flow flow;
	int asks, overs;
	json_int_t last_ask;
	int done[WAITS];
	struct decision decisions[WAITS];
	struct decide_wait *waits[WAITS];
	bool cancel_other; /* whichever of 0 and 1 is told first cancels the other */
};

struct one {
	struct fixture *f;
	int index;
};

static void on_event(void *user, json_t *event)
{
	struct fixture *f = user;
	const char *name = json_string_value(json_object_get(event, "event"));

	if (strcmp(name, "ask") == 0) {
		f->asks++;
		f->last_ask = json_integer_value(json_object_get(event, "ask"));
		assert_string_equal(json_string_value(json_object_get(event, "dest")), "ok.test:443");
		assert_int_equal(json_integer_value(json_object_get(event, "seconds")), DECIDE_ASK_SECONDS);
	} else {
		assert_string_equal(name, "ask_over");
		assert_int_equal(json_integer_value(json_object_get(event, "ask")), f->last_ask);
		f->overs++;
	}
	json_decref(event);
}

static const struct decide_ops ops = { .event = on_event };

static void on_full(void *user)
{
}

static void on_done(void *user, const struct decision *d)
{
	struct one *o = user;
	struct fixture *f = o->f;

	f->done[o->index]++;
	f->decisions[o->index] = *d;
	f->waits[o->index] = NULL;
	if (f->cancel_other) {
		decide_cancel(f->waits[1 - o->index]);
		f->waits[1 - o->index] = NULL;
	}
}

static void set_policy(struct fixture *f, const char *rules)
{
	char text[1024];
	int n = snprintf(text, sizeof(text), "{\"schema\":1,\"generation\":7,\"default\":\"deny\",\"tls\":\"auto\",\"rules\":[%s]}", rules);
	struct policy *p;
	struct err err;

	if (snapshot_load(text, (size_t)n, &p, &err) < 0)
		fail_msg("%s", err.msg);
	decide_set_policy(f->d, p);
}

#define ALLOW_OK "{\"id\":\"r1\",\"action\":\"allow\",\"resource\":\"ok.test:443\",\"origin\":\"user\"}"
#define ASK_OK "{\"id\":\"r1\",\"action\":\"ask\",\"resource\":\"ok.test:443\",\"origin\":\"user\"}"

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_int_equal(uv_loop_init(&f->loop), 0);
	f->j = journal_new(&f->loop, on_full, f);
	f->d = decide_new(&f->loop, f->j, &ops, f);
	assert_non_null(f->d);
	journal_set_fd(f->j, memfd_create("log", MFD_CLOEXEC));
	decide_set_sandbox(f->d, "box");
	assert_int_equal(dest_make("ok.test", 7, 443, DEST_HTTPS, &f->flow.dest), DEST_OK);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	decide_free(f->d);
	journal_free(f->j);
	(void)uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	free(f);
	return 0;
}

static void test_everything_is_refused_before_a_policy(void **state)
{
	struct fixture *f = *state;
	struct decision d;

	assert_null(decide_start(f->d, &f->flow, &d, on_done, f));
	assert_false(d.allow);
	assert_string_equal(d.reason, "no_rule");
}

static void test_a_decision_outlives_the_policy(void **state)
{
	struct fixture *f = *state;
	struct policy_address private = { .address = { { 10, 0, 0, 1 }, 32 } };
	struct decision d;

	set_policy(f, ALLOW_OK);
	decide_now(f->d, &f->flow, NULL, false, &d);
	assert_int_equal(d.generation, decide_generation(f->d));
	set_policy(f, "");
	assert_true(d.allow);
	assert_string_equal(d.rule, "r1");
	assert_string_equal(d.origin, "user");
	decide_now(f->d, &f->flow, NULL, false, &d);
	assert_false(d.allow);
	assert_string_equal(d.remedy, "sbx policy allow network ok.test:443 --sandbox box");
	set_policy(f, ALLOW_OK);
	decide_now(f->d, &f->flow, &private, false, &d);
	assert_false(d.allow);
	assert_string_equal(d.reason, "address");
}

static void start(struct fixture *f, struct one *o, int index)
{
	struct decision d;

	*o = (struct one){ f, index };
	f->waits[index] = decide_start(f->d, &f->flow, &d, on_done, o);
	assert_non_null(f->waits[index]);
}

static void test_one_question_for_all_who_ask_the_same(void **state)
{
	struct fixture *f = *state;
	struct one a, b;

	set_policy(f, ASK_OK);
	start(f, &a, 0);
	start(f, &b, 1);
	assert_int_equal(f->asks, 1);
	decide_answer(f->d, 1234, true);
	assert_int_equal(f->done[0], 0);
	decide_answer(f->d, (uint64_t)f->last_ask, true);
	assert_int_equal(f->done[0], 1);
	assert_int_equal(f->done[1], 1);
	assert_true(f->decisions[0].allow && f->decisions[1].allow && f->decisions[0].asks);
	assert_int_equal(f->overs, 1);
	decide_answer(f->d, (uint64_t)f->last_ask, true);
	assert_int_equal(f->done[0], 1);
}

static void test_the_user_says_no(void **state)
{
	struct fixture *f = *state;
	struct decision d;
	struct one a;

	set_policy(f, ASK_OK);
	start(f, &a, 0);
	decide_answer(f->d, (uint64_t)f->last_ask, false);
	assert_int_equal(f->done[0], 1);
	assert_false(f->decisions[0].allow);
	assert_string_equal(f->decisions[0].reason, "ask");
	/* Without asking it is refused, too, and with an earlier yes it is not. */
	decide_now(f->d, &f->flow, NULL, false, &d);
	assert_false(d.allow);
	decide_now(f->d, &f->flow, NULL, true, &d);
	assert_true(d.allow);
}

static void test_cancelling(void **state)
{
	struct fixture *f = *state;
	struct one a, b;

	set_policy(f, ASK_OK);
	start(f, &a, 0);
	start(f, &b, 1);
	decide_cancel(f->waits[1]);
	assert_int_equal(f->overs, 0);
	decide_cancel(f->waits[0]);
	assert_int_equal(f->overs, 1);
	assert_int_equal(f->done[0] + f->done[1], 0);
	/* And from inside the answer of another. */
	start(f, &a, 0);
	start(f, &b, 1);
	f->cancel_other = true;
	decide_answer(f->d, (uint64_t)f->last_ask, true);
	assert_int_equal(f->done[0] + f->done[1], 1);
	assert_int_equal(f->overs, 2);
}

static void test_a_new_policy_answers_questions(void **state)
{
	struct fixture *f = *state;
	struct one a, b;

	set_policy(f, ASK_OK);
	start(f, &a, 0);
	set_policy(f, ASK_OK);
	assert_int_equal(f->done[0], 0);
	set_policy(f, ALLOW_OK);
	assert_int_equal(f->done[0], 1);
	assert_true(f->decisions[0].allow);
	set_policy(f, ASK_OK);
	start(f, &b, 1);
	set_policy(f, "");
	assert_int_equal(f->done[1], 1);
	assert_false(f->decisions[1].allow);
	assert_int_equal(f->overs, 2);
}

static void test_questions_are_bounded(void **state)
{
	static struct flow flows[DECIDE_WAITS_MAX + 1];
	struct fixture *f = *state;
	struct decision d;
	struct one o = { f, 0 };
	struct decide_wait *w;

	set_policy(f, ASK_OK);
	for (size_t i = 0; i < DECIDE_WAITS_MAX; i++) {
		flows[i] = f->flow;
		assert_non_null(decide_start(f->d, &flows[i], &d, on_done, &o));
	}
	flows[DECIDE_WAITS_MAX] = f->flow;
	w = decide_start(f->d, &flows[DECIDE_WAITS_MAX], &d, on_done, &o);
	assert_null(w);
	assert_false(d.allow);
	assert_string_equal(d.reason, "limit");
	assert_int_equal(f->asks, 1);
	decide_answer(f->d, (uint64_t)f->last_ask, false);
	assert_int_equal(f->done[0], DECIDE_WAITS_MAX);
}

struct watcher {
	struct decide_watch watch;
	struct fixture *f;
	int calls;
	struct watcher *remove, *add;
};

static void on_changed(struct decide_watch *w)
{
	struct watcher *x = container_of(w, struct watcher, watch);

	x->calls++;
	if (x->remove)
		decide_watch_remove(&x->remove->watch);
	if (x->add)
		decide_watch_add(x->f->d, &x->add->watch);
}

static void test_watches(void **state)
{
	struct fixture *f = *state;
	struct watcher a = { .watch.changed = on_changed, .f = f }, b = a, c = a;

	decide_watch_remove(&a.watch);
	decide_watch_add(f->d, &a.watch);
	decide_watch_add(f->d, &b.watch);
	set_policy(f, "");
	assert_int_equal(a.calls, 1);
	assert_int_equal(b.calls, 1);
	/* One that goes in its call, and one that comes meanwhile. */
	a.remove = &a;
	a.add = &c;
	set_policy(f, "");
	assert_int_equal(a.calls, 2);
	assert_int_equal(b.calls, 2);
	assert_int_equal(c.calls, 0);
	set_policy(f, "");
	assert_int_equal(a.calls, 2);
	assert_int_equal(b.calls, 3);
	assert_int_equal(c.calls, 1);
	decide_watch_remove(&b.watch);
	decide_watch_remove(&c.watch);
}

static void test_a_permission_that_cannot_be_recorded_is_none(void **state)
{
	struct fixture *f = *state;
	struct decision d;

	set_policy(f, ALLOW_OK);
	decide_now(f->d, &f->flow, NULL, false, &d);
	assert_int_equal(decide_record(f->d, &f->flow, &d), 0);
	decide_end(f->d, &f->flow);
	journal_set_fd(f->j, -1);
	decide_now(f->d, &f->flow, NULL, false, &d);
	assert_true(decide_record(f->d, &f->flow, &d) < 0);
	assert_false(d.allow);
	assert_string_equal(d.reason, "log");
	assert_false(f->flow.recorded);
}

static void test_without_memory_the_answer_is_no(void **state)
{
	struct fixture *f = *state;
	struct one o = { f, 0 };

	set_policy(f, ASK_OK);
	for (long n = 0;; n++) {
		struct decision d;
		struct decide_wait *w;

		oom_from(n);
		w = decide_start(f->d, &f->flow, &d, on_done, &o);
		if (!oom_off()) {
			assert_non_null(w);
			decide_cancel(w);
			break;
		}
		if (w)
			decide_cancel(w); /* the question could not be told; it still ends by itself */
		else
			assert_false(d.allow);
		f->asks = 0;
	}
	assert_int_equal(f->done[0], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(test_everything_is_refused_before_a_policy),
		T(test_a_decision_outlives_the_policy),
		T(test_one_question_for_all_who_ask_the_same),
		T(test_the_user_says_no),
		T(test_cancelling),
		T(test_a_new_policy_answers_questions),
		T(test_questions_are_bounded),
		T(test_watches),
		T(test_without_memory_the_answer_is_no),
		T(test_a_permission_that_cannot_be_recorded_is_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
