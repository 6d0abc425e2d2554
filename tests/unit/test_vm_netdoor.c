/* SPDX-License-Identifier: Apache-2.0
 *
 * netdoor: the supervisor and a proxy that does what the policy's text tells it. The program that is started stands beside
 * the running one: this test copies itself to a directory of its own, as itself and as sbx-proxy, and runs there. There is
 * no sbx-keeper beside it, which is one more thing that must not stop a machine.
 */
#include "vm/netdoor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/env.h"
#include "base/own.h"
#include "base/spawn.h"
#include "base/str.h"
#include "unit.h"
#include "vm/netsock.h"

#define DEADLINE_MS 20000

/* --- the proxy's side; runs in the jail --- */

static void tell(const char *text)
{
	(void)!send(4, text, strlen(text), MSG_NOSIGNAL);
}

/* A word, and at [5] the generation that it is taken as. */
static void obey(const char *policy)
{
	char text[100];

	if (str_starts(policy, "die"))
		_exit(3);
	if (str_starts(policy, "refuse")) {
		tell("{\"event\":\"policy_error\",\"message\":\"no good\\u0007\"}");
		return;
	}
	(void)snprintf(text, sizeof(text), "{\"event\":\"policy\",\"generation\":%c}", policy[5]);
	tell(text);
	if (str_starts(policy, "take2"))
		tell(text); /* an answer to nothing */
	if (str_starts(policy, "asks"))
		tell("{\"event\":\"ask\",\"ask\":7,\"dest\":\"example.com:443\",\"rule\":\"r1\",\"seconds\":60,\"x\":1}");
	for (int i = 1; i <= 500 && str_starts(policy, "many"); i++) {
		(void)snprintf(text, sizeof(text), "{\"event\":\"ask\",\"ask\":%d,\"dest\":\"a\"}", i);
		tell(text);
		if (i < 500) {
			(void)snprintf(text, sizeof(text), "{\"event\":\"ask_over\",\"ask\":%d}", i);
			tell(text);
		}
	}
	if (str_starts(policy, "full"))
		tell("{\"event\":\"log_full\"}");
}

static void hear(const char *text, int fd)
{
	static bool told_7;
	char policy[64] = "";

	told_7 = told_7 || strstr(text, "\"last_ask\":7");
	if (strstr(text, "\"policy\"")) {
		(void)!read(fd, policy, sizeof(policy) - 1);
		obey(policy);
	} else if (strstr(text, "\"answer\"")) {
		tell(strstr(text, "true") ? "{\"event\":\"ask\",\"ask\":8,\"dest\":\"yes\"}"
		     : told_7		  ? "{\"event\":\"ask\",\"ask\":8,\"dest\":\"no after 7\"}"
					  : "{\"event\":\"ask\",\"ask\":8,\"dest\":\"no\"}");
	}
	(void)close(fd);
}

static int play_proxy(void)
{
	tell("{\"event\":\"ready\"}");
	for (;;) {
		struct pollfd p[2] = { { .fd = 3, .events = POLLIN }, { .fd = 4, .events = POLLIN } };
		char text[65536], control[CMSG_SPACE(sizeof(int))], byte;
		struct iovec iov = { text, sizeof(text) - 1 };
		struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
		const struct cmsghdr *head;
		int fd = -1;
		ssize_t n;

		(void)poll(p, 2, -1);
		if (p[0].revents && read(3, &byte, 1) <= 0)
			return 0;
		if (!p[1].revents)
			continue;
		n = recvmsg(4, &msg, 0);
		if (n <= 0)
			return 0;
		text[n] = 0;
		head = CMSG_FIRSTHDR(&msg);
		if (head)
			memcpy(&fd, CMSG_DATA(head), sizeof(fd));
		hear(text, fd);
	}
}

/* --- the supervisor's --- */

struct world {
	char dir[256];
	int at, listener;
	uv_loop_t loop;
	struct spec spec;
	struct netdoor *door;
	unsigned ready, failed, changed;
	struct err why;
	uint64_t turn;
	int64_t generation;
	struct err refused;
};

static void on_ready(void *user)
{
	((struct world *)user)->ready++;
}

static void on_failed(void *user, const struct err *err)
{
	struct world *w = user;

	w->failed++;
	w->why = *err;
}

static void on_policy(void *user, uint64_t turn, int64_t generation, const struct err *err)
{
	struct world *w = user;

	w->turn = turn;
	w->generation = generation;
	w->refused = err ? *err : (struct err){ 0 };
}

static void on_changed(void *user)
{
	((struct world *)user)->changed++;
}

static const struct netdoor_ops ops = { .ready = on_ready, .failed = on_failed, .policy = on_policy, .changed = on_changed };

static void put(struct world *w, const char *policy)
{
	assert_int_equal(io_write_file_atomic(w->at, "policy.json", policy, strlen(policy), 0600), 0);
}

static void on_tick(uv_timer_t *t)
{
}

/* Turns the loop, which is woken by and by, until the condition holds. */
#define UNTIL(w, condition)                                                        \
	do {                                                                       \
		uint64_t end_ = io_now_ms() + DEADLINE_MS;                         \
		uv_timer_t tick_;                                                  \
		(void)uv_timer_init(&(w)->loop, &tick_);                           \
		(void)uv_timer_start(&tick_, on_tick, 50, 50);                     \
		while (!(condition) && io_now_ms() < end_)                         \
			(void)uv_run(&(w)->loop, UV_RUN_ONCE);                     \
		uv_close((uv_handle_t *)&tick_, NULL);                             \
		(void)uv_run(&(w)->loop, UV_RUN_NOWAIT);                           \
		assert_true(condition);                                            \
	} while (0)

static void make(struct world *w, const char *policy)
{
	struct err err;
	char run[300];
	int path;

	memset(w, 0, sizeof(*w));
	unit_tmpdir_make(w->dir, sizeof(w->dir));
	(void)snprintf(run, sizeof(run), "%s/run", w->dir);
	assert_int_equal(mkdir(run, 0700), 0);
	assert_int_equal(setenv("XDG_RUNTIME_DIR", run, 1), 0);
	assert_int_equal(setenv("XDG_STATE_HOME", w->dir, 1), 0);
	w->at = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	w->spec.id = "01234567-89ab-cdef-0123-456789abcdef";
	w->spec.name = "box";
	w->spec.state_dir = w->dir;
	if (policy)
		put(w, policy);
	assert_int_equal(netsock_make(w->dir, &w->listener, &path, &err), 0);
	assert_int_equal(uv_loop_init(&w->loop), 0);
	w->door = netdoor_new(&w->loop, &w->spec, path, &ops, w, &err);
	assert_non_null(w->door);
}

static void begin(struct world *w, const char *policy)
{
	make(w, policy);
	UNTIL(w, w->ready || w->failed);
}

static void finish(struct world *w)
{
	netdoor_free(w->door);
	(void)uv_run(&w->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->loop), 0);
	(void)close(w->listener);
	(void)close(w->at);
	unit_tmpdir_remove(w->dir);
}

/* Passes a policy on; its answer is in w. */
static void pass(struct world *w, const char *policy)
{
	struct err err;
	uint64_t turn = 0;

	put(w, policy);
	assert_int_equal(netdoor_policy(w->door, &turn, &err), 0);
	UNTIL(w, w->turn >= turn);
	assert_int_equal(w->turn, turn);
}

static void ready_with_and_without_a_policy(void **state)
{
	struct err err = { 0 };
	struct world w;
	uint64_t turn;

	begin(&w, NULL);
	assert_int_equal(w.ready, 1);
	assert_true(netdoor_is_ready(w.door) && netdoor_pid(w.door) > 1);
	assert_int_equal(netdoor_policy(w.door, &turn, &err), -ENOENT);
	/* The keeper is missing, which is said and stops nothing. */
	assert_non_null(strstr(netdoor_problem(w.door), "sbx-keeper"));
	assert_null(netdoor_ca(w.door));
	finish(&w);
	begin(&w, "take 5");
	assert_int_equal(w.ready, 1);
	assert_int_equal(w.generation, 5);
	finish(&w);
}

/* A keeper that takes connections and answers none: the loop goes on meanwhile, also to the end. */
static void a_keeper_that_hangs_holds_nothing_up(void **state)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	auto_fd int keeper = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	uint64_t begun = io_now_ms(), turn;
	char dir[300];
	struct world w;
	struct err err;

	make(&w, "take 5");
	(void)snprintf(dir, sizeof(dir), "%s/run/sbx", w.dir);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_true(snprintf(at.sun_path, sizeof(at.sun_path), "%s/keeper.sock", dir) < (int)sizeof(at.sun_path));
	assert_int_equal(bind(keeper, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(keeper, 8), 0);
	UNTIL(&w, io_now_ms() - begun >= 300);
	assert_true(io_now_ms() - begun < 2000);
	assert_true(!w.ready && !w.failed && netdoor_pid(w.door) == 0);
	/* It begins with it. */
	assert_int_equal(netdoor_policy(w.door, &turn, &err), 0);
	assert_int_equal(turn, 1);
	finish(&w);
	assert_true(io_now_ms() - begun < 4000);
}

static void a_proxy_that_ends_at_the_start_fails_it(void **state)
{
	struct world w;

	begin(&w, "die");
	assert_int_equal(w.ready, 0);
	assert_int_equal(w.failed, 1);
	assert_non_null(strstr(w.why.msg, "ended while it started"));
	assert_int_equal(netdoor_pid(w.door), 0);
	finish(&w);
}

static void a_policy_is_taken_or_refused_in_words(void **state)
{
	struct world w;

	begin(&w, "take 1");
	pass(&w, "take 2");
	assert_int_equal(w.generation, 2);
	assert_int_equal(w.refused.kind, ERR_NONE);
	pass(&w, "refuse");
	assert_int_equal(w.refused.kind, ERR_INVALID);
	assert_non_null(strstr(w.refused.msg, "no good\\x07"));
	/* The proxy goes on with what it had: nothing is wrong with the network. */
	assert_null(strstr(netdoor_problem(w.door), "denied"));
	pass(&w, "take 3");
	assert_int_equal(w.generation, 3);
	finish(&w);
}

static void a_proxy_that_died_is_followed_by_another_with_the_same_policy(void **state)
{
	struct world w;
	struct err err;
	uint64_t turn, before = io_now_ms();
	pid_t first;

	begin(&w, "take 1");
	first = netdoor_pid(w.door);
	put(&w, "die");
	assert_int_equal(netdoor_policy(w.door, &turn, &err), 0);
	UNTIL(&w, netdoor_pid(w.door) == 0);
	assert_non_null(strstr(netdoor_problem(w.door), "nothing leaves"));
	/* Refused by the next one, which gets its predecessor's then. */
	put(&w, "refuse");
	netdoor_guest_port(w.door, true);
	UNTIL(&w, netdoor_pid(w.door) > 0 && !strstr(netdoor_problem(w.door), "nothing leaves"));
	assert_true(io_now_ms() - before >= 1000);
	assert_int_not_equal(netdoor_pid(w.door), first);
	assert_int_equal(w.generation, 1);
	assert_int_equal(w.ready, 1);
	assert_int_equal(w.failed, 0);
	finish(&w);
}

static void a_guest_that_never_opens_its_port_holds_nothing_up(void **state)
{
	struct world w;
	struct err err;
	uint64_t turn, died;

	begin(&w, "take 1");
	put(&w, "die");
	assert_int_equal(netdoor_policy(w.door, &turn, &err), 0);
	UNTIL(&w, netdoor_pid(w.door) == 0);
	died = io_now_ms();
	put(&w, "take 4");
	UNTIL(&w, netdoor_pid(w.door) > 0 && w.generation == 4);
	assert_true(io_now_ms() - died >= 1900);
	finish(&w);
}

static void questions_wait_and_are_answered(void **state)
{
	struct err err = { 0 };
	struct world w;
	json_t *list;

	begin(&w, "take 1");
	pass(&w, "asks 2");
	UNTIL(&w, netdoor_asks(w.door) == 1);
	list = netdoor_pending(w.door);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "ask")), 7);
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "dest")), "example.com:443");
	assert_null(json_object_get(json_array_get(list, 0), "x"));
	json_decref(list);
	assert_int_equal(netdoor_answer(w.door, 6, true, &err), -ENOENT);
	assert_int_equal(netdoor_answer(w.door, 7, true, &err), 0);
	assert_int_equal(netdoor_answer(w.door, 7, true, &err), -ENOENT);
	UNTIL(&w, netdoor_asks(w.door) == 1);
	list = netdoor_pending(w.door);
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "dest")), "yes");
	json_decref(list);
	finish(&w);
}

/* The guest can end its proxy when it likes: what the user was shown as question 7 must not become something else under that number. */
static void a_number_that_was_shown_is_not_shown_for_another_question(void **state)
{
	struct err err;
	struct world w;
	uint64_t turn;
	json_t *list;

	begin(&w, "take 1");
	pass(&w, "asks 2");
	UNTIL(&w, netdoor_asks(w.door) == 1);
	put(&w, "die");
	assert_int_equal(netdoor_policy(w.door, &turn, &err), 0);
	UNTIL(&w, netdoor_pid(w.door) == 0);
	assert_int_equal(netdoor_asks(w.door), 0);
	put(&w, "asks 4");
	netdoor_guest_port(w.door, true);
	UNTIL(&w, w.generation == 4 && netdoor_asks(w.door) == 1);
	list = netdoor_pending(w.door);
	/* Its 7 was refused, and it was told before that 7 is used. */
	assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "dest")), "no after 7");
	assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "ask")), 8);
	json_decref(list);
	assert_int_equal(netdoor_answer(w.door, 7, true, &err), -ENOENT);
	finish(&w);
}

/* The guest makes questions and drops them as fast as it likes; who watches the sandbox is told ten times a second at most. */
static void many_questions_are_told_of_now_and_then(void **state)
{
	struct world w;
	uint64_t begun = io_now_ms();
	unsigned before;

	begin(&w, "take 1");
	before = w.changed;
	pass(&w, "many 2");
	UNTIL(&w, netdoor_asks(w.door) == 1 && w.changed > before);
	assert_true(w.changed - before <= 2 + (io_now_ms() - begun) / 100);
	finish(&w);
}

/* What a proxy in the guest's hands might try. */
static void a_proxy_that_lies_is_killed_and_cannot_throw_the_log_away(void **state)
{
	struct world w;
	struct stat st;
	pid_t first;

	begin(&w, "take 1");
	assert_int_equal(fstatat(w.at, "network.jsonl", &st, 0), 0);
	pass(&w, "full 2");
	pass(&w, "take 3");
	assert_int_equal(fstatat(w.at, "network.jsonl.1", &st, 0), -1);
	first = netdoor_pid(w.door);
	pass(&w, "take24");
	put(&w, "take 5");
	UNTIL(&w, netdoor_pid(w.door) > 0 && netdoor_pid(w.door) != first && w.generation == 5);
	finish(&w);
}

/* Runs this program once more from a directory that has it beside itself as sbx-proxy. */
static void move(void)
{
	static const char *const names[] = { "test", "sbx-proxy" };
	char home[256], self[64], copy[300];
	const char *const cp[] = { "cp", self, copy, NULL };
	const char *const again[] = { copy, "moved", NULL };
	auto_fd int pidfd = -1;
	int status = -1;

	unit_tmpdir_make(home, sizeof(home));
	(void)snprintf(self, sizeof(self), "/proc/%d/exe", getpid());
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)snprintf(copy, sizeof(copy), "%s/%s", home, names[i]);
		assert_int_equal(spawn_run(&(struct spawn){ .path = "cp", .argv = cp, .stdin_fd = -1 }, 10000, 0, NULL, NULL), 0);
	}
	(void)snprintf(copy, sizeof(copy), "%s/test", home);
	assert_int_equal(spawn_start(&(struct spawn){ .path = copy, .argv = again, .stdin_fd = -1, .stdout_fd = 1, .stderr_fd = 2 },
				     NULL, &pidfd, NULL),
			 0);
	assert_int_equal(spawn_wait(pidfd, 110000, &status), 0);
	unit_tmpdir_remove(home);
	exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ready_with_and_without_a_policy),
		cmocka_unit_test(a_keeper_that_hangs_holds_nothing_up),
		cmocka_unit_test(a_proxy_that_ends_at_the_start_fails_it),
		cmocka_unit_test(a_policy_is_taken_or_refused_in_words),
		cmocka_unit_test(a_proxy_that_died_is_followed_by_another_with_the_same_policy),
		cmocka_unit_test(a_guest_that_never_opens_its_port_holds_nothing_up),
		cmocka_unit_test(questions_wait_and_are_answered),
		cmocka_unit_test(many_questions_are_told_of_now_and_then),
		cmocka_unit_test(a_number_that_was_shown_is_not_shown_for_another_question),
		cmocka_unit_test(a_proxy_that_lies_is_killed_and_cannot_throw_the_log_away),
	};

	if (argc == 3 && str_eq(argv[1], "--id"))
		return play_proxy();
#ifdef __SANITIZE_ADDRESS__
	/* A sanitizer's runtime does not start in a jail without /proc. */
	return 77;
#endif
	if (argc < 2)
		move();
	return cmocka_run_group_tests_name("vm_netdoor", tests, NULL, NULL);
}
