/* SPDX-License-Identifier: Apache-2.0
 *
 * The policy as the daemon keeps it: changes are made whole or not at all, are still there after the daemon's end, and reach the
 * sandboxes that run.
 */
#include "daemon/rules.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/own.h"
#include "base/str.h"
#include "oom.h"
#include "policies.h"
#include "policy/snapshot.h"
#include "wire/record.h"

struct world {
	char dir[256];
	struct daemon d;
};

static int load_row(void *user, struct store_row *row, struct err *err)
{
	return sandbox_new(user, row) ? 0 : -ENOMEM;
}

static void open_all(struct world *w)
{
	auto_free char *db = str_new("%s/sbx.db", w->dir), *vm = str_new("%s/vm", w->dir);
	struct err err;

	assert_int_equal(uv_loop_init(&w->d.loop), 0);
	(void)str_format(w->d.dirs.config, sizeof(w->d.dirs.config), "%s", w->dir);
	(void)mkdir(vm, 0700);
	w->d.vm_fd = open(vm, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(disk_open(&w->d.disks, w->dir, &err), 0);
	assert_int_equal(store_open(db, &w->d.store, &err), 0);
	assert_int_equal(store_each(w->d.store, load_row, &w->d, &err), 0);
	if (rules_open(&w->d, &err) < 0)
		fail_msg("%s", err.msg);
}

static void close_all(struct world *w)
{
	while (w->d.sandboxes)
		sandbox_free(w->d.sandboxes);
	(void)uv_run(&w->d.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->d.loop), 0);
	rules_free(w->d.rules);
	store_free(w->d.store);
	disk_close(&w->d.disks);
	own_close_p(&w->d.vm_fd);
	memset(&w->d, 0, sizeof(w->d));
}

static void reopen(struct world *w)
{
	close_all(w);
	open_all(w);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	unit_tmpdir_make(w->dir, sizeof(w->dir));
	open_all(w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	close_all(w);
	unit_tmpdir_remove(w->dir);
	free(w);
	return 0;
}

/* A sandbox in the registry and its directory. */
static struct sandbox *make_sandbox(struct world *w, int n, const char *name)
{
	struct store_row row = { .cpus = 1, .memory_mib = 512 };
	auto_free char *dir = NULL;
	struct sandbox *s;
	struct err err;

	(void)str_format(row.id, sizeof(row.id), "00000000-0000-4000-8000-%012d", n);
	(void)str_format(row.name, sizeof(row.name), "%s", name);
	(void)str_format(row.agent, sizeof(row.agent), "shell");
	(void)str_format(row.machine_id, sizeof(row.machine_id), "%032d", n);
	store_now(row.created_at);
	row.env = json_object();
	row.template = json_object();
	dir = str_new("%s/%s", w->d.disks.path, row.id);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(store_add(w->d.store, &row, &err), 0);
	s = sandbox_new(&w->d, &row);
	assert_non_null(s);
	return s;
}

/* Adds one rule; what rules_add says. */
static int add(struct world *w, const char *line, struct rules_added *ret, struct err *err)
{
	struct rules_added added;
	struct rule r;
	int e = rule_of(line, "x", &r, err);

	assert_int_equal(e, 0);
	e = rules_add(&w->d, &r, 1, ret ? ret : &added, err);
	rule_done(&r);
	return e;
}

static void must_add(struct world *w, const char *line)
{
	struct err err;

	if (add(w, line, NULL, &err) < 0)
		fail_msg("%s: %s", line, err.msg);
}

static struct policy *written(struct world *w, const struct sandbox *s)
{
	auto_free char *text = NULL, *path = str_new("%s/" RULES_FILE, s->row.id);
	struct policy *p = NULL;
	struct err err;
	struct stat st;
	size_t n;

	assert_int_equal(fstatat(w->d.disks.fd, path, &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(io_read_file(w->d.disks.fd, path, SNAPSHOT_MAX_BYTES, &text, &n), 0);
	if (snapshot_load(text, n, &p, &err) < 0)
		fail_msg("%s", err.msg);
	return p;
}

static void nothing_before_a_preset(void **state)
{
	struct world *w = *state;
	struct err err;

	assert_true(rules_ready(&w->d, &err) < 0);
	assert_int_equal(err.kind, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.msg, "sbx policy init open|balanced|locked-down"));
	assert_true(add(w, "allow ok.test", NULL, &err) < 0);
	assert_int_equal(err.kind, ERR_UNAVAILABLE);
	assert_int_equal(rules_policy(&w->d)->fallback, RULE_DENY);
	assert_int_equal(rules_init(&w->d, "nothing", &err), -EINVAL);
	assert_int_equal(rules_init(&w->d, "deny-all", &err), 0);
	assert_int_equal(rules_ready(&w->d, &err), 0);
	assert_int_equal(rules_init(&w->d, "locked-down", &err), 0);
	assert_int_equal(rules_init(&w->d, "open", &err), -EEXIST);
	assert_string_equal(rules_policy(&w->d)->preset, "locked-down");
	assert_int_equal(rules_policy(&w->d)->generation, 1);
}

static void rules_survive(void **state)
{
	struct world *w = *state;
	struct rules_added added;
	const struct rule *r;
	struct err err;

	make_sandbox(w, 1, "box");
	assert_int_equal(rules_init(&w->d, "balanced", &err), 0);
	must_add(w, "allow GET /x/** one.test:443");
	must_add(w, "deny @box two.test");
	assert_int_equal(add(w, "allow GET /x/** one.test:443", &added, &err), 0);
	assert_true(added.existed && str_eq(added.id, "r1"));
	assert_int_equal(add(w, "deny GET /x/** one.test:443", &added, &err), 0);
	assert_true(!added.existed && str_eq(added.id, "r3") && str_eq(added.replaced, "r1"));
	/* The preset says so already. */
	assert_int_equal(add(w, "allow github.com:443", &added, &err), 0);
	assert_true(added.existed && str_starts(added.id, "default-code-and-containers:"));
	assert_int_equal(rules_policy(&w->d)->generation, 4);
	reopen(w);
	assert_int_equal(rules_policy(&w->d)->generation, 4);
	assert_null(ruleset_find(&rules_policy(&w->d)->rules, "r1"));
	r = ruleset_find(&rules_policy(&w->d)->rules, "r2");
	assert_true(r && r->action == RULE_DENY && str_eq(r->sandbox, "box") && str_eq(r->host, "two.test"));
	r = ruleset_find(&rules_policy(&w->d)->rules, "r3");
	assert_true(r && r->action == RULE_DENY && str_eq(r->methods, "GET") && str_eq(r->path, "/x/**"));
	assert_int_equal(strlen(rules_created_at(&w->d, "r3")), 20);
	assert_string_equal(rules_created_at(&w->d, "default-deny"), "");
	/* A number is not used twice. */
	assert_int_equal(rules_remove(&w->d, (const char *const[]){ "r3" }, 1, &err), 0);
	reopen(w);
	assert_int_equal(add(w, "allow new.test", &added, &err), 0);
	assert_string_equal(added.id, "r4");
}

static void a_removed_sandbox(void **state)
{
	struct world *w = *state;
	struct sandbox *s = make_sandbox(w, 1, "box");
	struct err err;

	assert_int_equal(rules_init(&w->d, "locked-down", &err), 0);
	must_add(w, "allow @box one.test");
	must_add(w, "allow two.test");
	assert_int_equal(sandbox_remove(s, &err), 0);
	assert_int_equal(rules_policy(&w->d)->rules.n, 1);
	assert_true(add(w, "allow @box one.test", NULL, &err) < 0);
	assert_int_equal(err.kind, ERR_NOT_FOUND);
	reopen(w);
	assert_int_equal(rules_policy(&w->d)->rules.n, 1);
}

static void rules_of_the_preset(void **state)
{
	struct world *w = *state;
	char id[RULE_ID_MAX + 1];
	size_t n;
	struct err err;

	assert_int_equal(rules_init(&w->d, "balanced", &err), 0);
	n = rules_policy(&w->d)->rules.n;
	memcpy(id, rules_policy(&w->d)->rules.rules[3].id, sizeof(id));
	assert_int_equal(rules_remove(&w->d, (const char *const[]){ id, "r9" }, 2, &err), -ENOENT);
	assert_int_equal(rules_policy(&w->d)->rules.n, n);
	assert_int_equal(rules_remove(&w->d, (const char *const[]){ id }, 1, &err), 0);
	reopen(w);
	assert_int_equal(rules_policy(&w->d)->rules.n, n - 1);
	assert_null(ruleset_find(&rules_policy(&w->d)->rules, id));
	assert_int_equal(rules_reset(&w->d, &err), 0);
	assert_int_equal(rules_policy(&w->d)->rules.n, 0);
	assert_true(rules_ready(&w->d, &err) < 0);
	assert_int_equal(rules_policy(&w->d)->generation, 3);
	assert_int_equal(rules_init(&w->d, "balanced", &err), 0);
	assert_int_equal(rules_policy(&w->d)->rules.n, n);
}

static void all_or_none(void **state)
{
	struct world *w = *state;
	struct rules_added added[3];
	struct rule list[3];
	struct err err;

	assert_int_equal(rules_init(&w->d, "locked-down", &err), 0);
	must_add(w, "allow tls=splice pin.test");
	assert_int_equal(rule_of("allow a.test", "x", &list[0], &err), 0);
	assert_int_equal(rule_of("allow GET pin.test", "x", &list[1], &err), 0);
	assert_int_equal(rule_of("allow b.test", "x", &list[2], &err), 0);
	/* One of them cannot stand beside a rule that is there. */
	assert_true(rules_add(&w->d, list, 3, added, &err) < 0);
	assert_int_equal(err.kind, ERR_CONFLICT);
	assert_int_equal(rules_policy(&w->d)->rules.n, 1);
	assert_int_equal(rules_policy(&w->d)->generation, 2);
	reopen(w);
	assert_int_equal(rules_policy(&w->d)->rules.n, 1);
	for (size_t i = 0; i < ARRAY_LEN(list); i++)
		rule_done(&list[i]);
}

static void wrong_settings(void **state)
{
	struct world *w = *state;
	auto_fd int fd = open(w->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	static const char text[] = "{\"network.permittedRanges\":[\"10.0.0.1/8\"]}";
	struct err err;

	assert_int_equal(rules_init(&w->d, "locked-down", &err), 0);
	assert_int_equal(io_write_file_atomic(fd, "settings.json", text, strlen(text), 0600), 0);
	assert_true(add(w, "allow ok.test", NULL, &err) < 0);
	assert_non_null(strstr(err.msg, "network.permittedRanges"));
	assert_int_equal(rules_policy(&w->d)->generation, 1);
	assert_int_equal(unlinkat(fd, "settings.json", 0), 0);
	assert_int_equal(add(w, "allow ok.test", NULL, &err), 0);
}

static void what_a_sandbox_gets(void **state)
{
	struct world *w = *state;
	struct sandbox *one = make_sandbox(w, 1, "one"), *two = make_sandbox(w, 2, "two");
	auto_(policy) struct policy *p = NULL, *q = NULL;
	struct err err;

	assert_int_equal(rules_init(&w->d, "locked-down", &err), 0);
	must_add(w, "allow all.test");
	must_add(w, "allow @one one.test");
	must_add(w, "allow @two two.test");
	assert_int_equal(rules_write(one, &err), 0);
	assert_int_equal(rules_write(two, &err), 0);
	p = written(w, one);
	assert_int_equal(p->generation, 4);
	assert_string_equal(p->preset, "locked-down");
	assert_int_equal(p->rules.n, 2);
	assert_string_equal(p->rules.rules[1].host, "one.test");
	q = written(w, two);
	assert_string_equal(q->rules.rules[1].host, "two.test");
}

/* The supervisor's side: a request that arrived. */
static void expect_request(int listener, const char *json)
{
	auto_fd int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	uint8_t bytes[256];
	struct record rec;
	ssize_t n;

	assert_true(fd >= 0);
	n = read(fd, bytes, sizeof(bytes));
	assert_true(n > 0 && record_decode(bytes, (size_t)n, &rec) == n);
	assert_int_equal(rec.type, RECORD_REQUEST);
	assert_int_equal(rec.len, strlen(json));
	assert_memory_equal(rec.data, json, rec.len);
}

static void a_change_reaches_who_runs(void **state)
{
	struct world *w = *state;
	struct sandbox *running = make_sandbox(w, 1, "running"), *stopped = make_sandbox(w, 2, "stopped");
	auto_free char *name = str_new("%s.sock", running->row.id), *path = str_new("%s/" RULES_FILE, stopped->row.id);
	auto_(policy) struct policy *p = NULL, *empty = NULL;
	auto_fd int listener = io_unix_listen(w->d.vm_fd, name, 8);
	struct stat st;
	struct err err;

	assert_true(listener >= 0);
	running->state = SANDBOX_RUNNING;
	assert_int_equal(rules_init(&w->d, "locked-down", &err), 0);
	(void)uv_run(&w->d.loop, UV_RUN_NOWAIT);
	expect_request(listener, "{\"op\":\"policy\"}");
	must_add(w, "deny no.test");
	(void)uv_run(&w->d.loop, UV_RUN_NOWAIT);
	expect_request(listener, "{\"op\":\"policy\"}");
	p = written(w, running);
	assert_int_equal(p->generation, 2);
	assert_int_equal(p->rules.n, 1);
	assert_true(fstatat(w->d.disks.fd, path, &st, 0) < 0 && errno == ENOENT);
	/* A reset leaves it with what denies everything. */
	assert_int_equal(rules_reset(&w->d, &err), 0);
	empty = written(w, running);
	assert_int_equal(empty->rules.n, 0);
	assert_int_equal(empty->fallback, RULE_DENY);
	assert_int_equal(empty->generation, 3);
	/* Whom it does not reach is named; the change is made. */
	(void)uv_run(&w->d.loop, UV_RUN_NOWAIT);
	own_close_p(&listener);
	assert_true(rules_init(&w->d, "locked-down", &err) < 0);
	assert_int_equal(err.kind, ERR_UNAVAILABLE);
	assert_non_null(strstr(err.msg, "'running' goes on with the old one"));
	assert_int_equal(rules_ready(&w->d, &err), 0);
	running->state = SANDBOX_STOPPED;
}

struct settled {
	unsigned calls;
	struct err err; /* ERR_NONE: all took it */
};

static void on_settled(void *user, const struct err *err)
{
	struct settled *s = user;

	s->calls++;
	s->err = err ? *err : (struct err){ .kind = ERR_NONE };
}

/* Answers one question of the daemon with this reply, and lets the daemon read it. */
static void reply_with(struct world *w, int listener, const char *json)
{
	auto_fd int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	struct buf b;

	assert_true(fd >= 0);
	buf_init(&b, RECORD_HEAD + RECORD_MAX);
	assert_int_equal(record_encode(&b, RECORD_REPLY, json, strlen(json)), 0);
	assert_int_equal(io_write_all(fd, buf_bytes(&b), buf_len(&b)), 0);
	buf_done(&b);
	for (int i = 0; i < 10; i++)
		(void)uv_run(&w->d.loop, UV_RUN_NOWAIT);
}

static void a_change_is_settled_when_all_have_it(void **state)
{
	struct world *w = *state;
	struct sandbox *one = make_sandbox(w, 1, "one"), *two = make_sandbox(w, 2, "two");
	auto_free char *name1 = str_new("%s.sock", one->row.id), *name2 = str_new("%s.sock", two->row.id);
	auto_fd int l1 = io_unix_listen(w->d.vm_fd, name1, 8), l2 = io_unix_listen(w->d.vm_fd, name2, 8);
	struct settled s = { .calls = 0 };
	struct err err;

	assert_int_equal(rules_init(&w->d, "locked-down", &err), 0);
	assert_int_equal(rules_settle(&w->d, on_settled, &s, &err), 1);
	one->state = two->state = SANDBOX_RUNNING;
	must_add(w, "deny no.test");
	assert_int_equal(rules_settle(&w->d, on_settled, &s, &err), 0);
	reply_with(w, l1, "{\"ok\":true,\"generation\":2}");
	assert_int_equal(s.calls, 0);
	reply_with(w, l2, "{\"ok\":true,\"generation\":2}");
	assert_int_equal(s.calls, 1);
	assert_int_equal(s.err.kind, ERR_NONE);
	/* A proxy that refuses is named; one that is only starting reads the file. */
	must_add(w, "deny other.test");
	assert_int_equal(rules_settle(&w->d, on_settled, &s, &err), 0);
	assert_int_equal(rules_settle(&w->d, on_settled, &s, &err), 0);
	reply_with(w, l1, "{\"error\":{\"kind\":\"conflict\",\"message\":\"no network door now\"}}");
	reply_with(w, l2, "{\"error\":{\"kind\":\"invalid\",\"message\":\"unknown key\"}}");
	assert_int_equal(s.calls, 3);
	assert_int_equal(s.err.kind, ERR_UNAVAILABLE);
	assert_non_null(strstr(s.err.msg, "sandbox 'two' did not take it"));
	assert_int_equal(rules_settle(&w->d, on_settled, &s, &err), 1);
	one->state = two->state = SANDBOX_STOPPED;
}

static void without_memory(void **state)
{
	struct world *w = *state;
	struct rules_added added;
	struct rule r;
	struct err err;
	int e;

	assert_int_equal(rules_init(&w->d, "locked-down", &err), 0);
	must_add(w, "allow before.test");
	assert_int_equal(rule_of("allow ok.test", "x", &r, &err), 0);
	for (long n = 0;; n++) {
		oom_from(n);
		e = rules_add(&w->d, &r, 1, &added, &err);
		if (!oom_off())
			break;
		assert_true(e < 0);
		assert_int_equal(rules_policy(&w->d)->rules.n, 1);
		assert_int_equal(rules_policy(&w->d)->generation, 2);
	}
	assert_int_equal(e, 0);
	rule_done(&r);
	assert_int_equal(rules_policy(&w->d)->rules.n, 2);
	reopen(w);
	assert_int_equal(rules_policy(&w->d)->rules.n, 2);
	assert_int_equal(rules_policy(&w->d)->generation, 3);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_before_a_preset), TEST(rules_survive),   TEST(a_removed_sandbox),         TEST(rules_of_the_preset),
		TEST(all_or_none),             TEST(wrong_settings),  TEST(what_a_sandbox_gets), TEST(a_change_reaches_who_runs),
		TEST(a_change_is_settled_when_all_have_it), TEST(without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
