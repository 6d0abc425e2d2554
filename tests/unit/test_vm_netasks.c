/* SPDX-License-Identifier: Apache-2.0
 *
 * netasks: what is shown of a proxy's questions, and for how long.
 */
#include "vm/netasks.h"

#include "base/io.h"
#include "unit.h"

static void on_changed(void *user)
{
	++*(unsigned *)user;
}

/* ret: what netasks_add says. */
static bool add(struct netasks *a, json_int_t number, int seconds)
{
	json_t *m = json_pack("{s:s, s:I, s:i, s:s, s:s}", "event", "ask", "ask", number, "seconds", seconds, "dest", "a.test:443", "x", "y");
	bool r = netasks_add(a, m);

	json_decref(m);
	return r;
}

static void close_all(uv_loop_t *loop, struct netasks *a)
{
	netasks_free(a);
	(void)uv_run(loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(loop), 0);
}

static void numbers_are_used_once_and_few_are_shown(void **state)
{
	unsigned changed = 0;
	struct netasks *a;
	uv_loop_t loop;
	json_t *list;

	assert_int_equal(uv_loop_init(&loop), 0);
	a = netasks_new(&loop, on_changed, &changed);
	assert_true(add(a, 5, 60));
	assert_false(add(a, 5, 60));
	assert_false(add(a, 4, 60));
	assert_false(add(a, 0, 60));
	assert_false(netasks_remove(a, 4));
	assert_true(netasks_remove(a, 5));
	assert_false(netasks_remove(a, 5));
	assert_false(add(a, 5, 60));
	for (int i = 0; i < NETASKS_MAX; i++)
		assert_true(add(a, 6 + i, 60));
	assert_false(add(a, 1000, 60));
	assert_int_equal(netasks_last(a), 5 + NETASKS_MAX);
	list = netasks_list(a, 200);
	assert_in_range(json_array_size(list), 1, 5);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "ask")), 6);
	assert_null(json_object_get(json_array_get(list, 0), "x"));
	json_decref(list);
	assert_true(netasks_clear(a));
	assert_false(netasks_clear(a));
	assert_int_equal(netasks_count(a), 0);
	assert_int_equal(netasks_last(a), 5 + NETASKS_MAX);
	close_all(&loop, a);
}

/* The proxy said nothing of its end, and it does not stay for ever. */
static void one_that_is_never_over_ends_by_itself(void **state)
{
	uint64_t begun = io_now_ms();
	unsigned changed = 0;
	struct netasks *a;
	uv_loop_t loop;

	assert_int_equal(uv_loop_init(&loop), 0);
	a = netasks_new(&loop, on_changed, &changed);
	assert_true(add(a, 1, 0));
	assert_true(add(a, 2, 60));
	while (netasks_count(a) == 2 && io_now_ms() - begun < 20000)
		(void)uv_run(&loop, UV_RUN_ONCE);
	assert_int_equal(netasks_count(a), 1);
	assert_true(io_now_ms() - begun >= 1900);
	assert_false(netasks_remove(a, 1));
	assert_true(netasks_remove(a, 2));
	(void)uv_run(&loop, UV_RUN_DEFAULT); /* nothing is left that would wake it */
	assert_in_range(changed, 2, 3);
	close_all(&loop, a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_used_once_and_few_are_shown),
		cmocka_unit_test(one_that_is_never_over_ends_by_itself),
	};

	return cmocka_run_group_tests_name("vm_netasks", tests, NULL, NULL);
}
