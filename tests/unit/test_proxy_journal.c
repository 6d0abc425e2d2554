/* SPDX-License-Identifier: Apache-2.0
 *
 * journal: what stands in the log, byte by byte, whatever a guest says; and what happens where it cannot be written.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <signal.h>
#include <unistd.h>

#include "unit.h"

#include "proxy/decide.h"
#include "proxy/journal.h"

struct fixture {
	uv_loop_t loop;
	struct journal *j;
	int fd;     /* ours; reads what is written */
	int fulls;
	struct flow flow;
	struct decision allow, deny;
	json_t *records; /* of the last read_log */
};

static void on_full(void *user)
{
	((struct fixture *)user)->fulls++;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_int_equal(uv_loop_init(&f->loop), 0);
	f->j = journal_new(&f->loop, on_full, f);
	assert_non_null(f->j);
	journal_set_sandbox(f->j, "box1");
	f->fd = memfd_create("log", MFD_CLOEXEC);
	assert_int_equal(fcntl(f->fd, F_SETFL, O_APPEND), 0);
	journal_set_fd(f->j, dup(f->fd));
	assert_int_equal(dest_make("example.com", 11, 443, DEST_HTTPS, &f->flow.dest), DEST_OK);
	f->flow.conn = journal_new_conn(f->j);
	f->flow.protocol = FLOW_TLS;
	f->flow.inspect = FLOW_SPLICE;
	f->allow = (struct decision){ .allow = true, .reason = "rule", .rule = "r1", .origin = "user" };
	f->deny = (struct decision){ .reason = "no_rule", .rule = "default-deny", .origin = "default" };
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	journal_free(f->j);
	(void)uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	json_decref(f->records);
	(void)close(f->fd);
	free(f);
	return 0;
}

/* Every line must be an object; returns how many there are. */
static size_t read_log(struct fixture *f)
{
	static char text[1 << 20];
	ssize_t n = pread(f->fd, text, sizeof(text) - 1, 0);
	json_t *records = json_array();

	assert_true(n >= 0);
	text[n] = 0;
	for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		json_t *one;

		*end = 0;
		one = json_loads(line, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
		if (!json_is_object(one))
			fail_msg("no JSON object: %s", line);
		(void)json_array_append_new(records, one);
	}
	json_decref(f->records);
	f->records = records;
	return json_array_size(records);
}

static const char *text_of(struct fixture *f, size_t i, const char *key)
{
	return json_string_value(json_object_get(json_array_get(f->records, i), key));
}

static json_int_t number_of(struct fixture *f, size_t i, const char *key)
{
	return json_integer_value(json_object_get(json_array_get(f->records, i), key));
}

static void test_a_decision_and_its_end(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(journal_decision(f->j, &f->flow, &f->allow), 0);
	assert_true(f->flow.recorded);
	f->flow.bytes_in = 5;
	f->flow.bytes_out = 7;
	f->flow.address = (struct address){ { 93, 184, 216, 34 }, 32 };
	f->flow.status = 200;
	journal_end(f->j, &f->flow);
	journal_end(f->j, &f->flow);
	assert_int_equal(read_log(f), 2);
	assert_string_equal(text_of(f, 0, "event"), "decision");
	assert_string_equal(text_of(f, 0, "sandbox"), "box1");
	assert_string_equal(text_of(f, 0, "conn"), "c1");
	assert_string_equal(text_of(f, 0, "host"), "example.com");
	assert_string_equal(text_of(f, 0, "verdict"), "allow");
	assert_string_equal(text_of(f, 0, "inspect"), "splice");
	assert_string_equal(text_of(f, 0, "injected"), "none:no_secret");
	assert_int_equal(number_of(f, 0, "port"), 443);
	assert_int_equal(number_of(f, 0, "seq"), 1);
	assert_string_equal(text_of(f, 0, "prev"), "0000000000000000");
	assert_int_equal(strlen(text_of(f, 1, "prev")), 2 * JOURNAL_LINK);
	assert_string_not_equal(text_of(f, 1, "prev"), text_of(f, 0, "prev"));
	assert_int_equal(strlen(text_of(f, 0, "time")), strlen("2026-11-24T10:15:25.123Z"));
	assert_string_equal(text_of(f, 1, "event"), "end");
	assert_string_equal(text_of(f, 1, "address"), "93.184.216.34");
	assert_int_equal(number_of(f, 1, "bytes_in"), 5);
	assert_int_equal(number_of(f, 1, "bytes_out"), 7);
	assert_int_equal(number_of(f, 1, "status"), 200);
	assert_int_equal(number_of(f, 1, "seq"), 2);
	assert_true(json_is_null(json_object_get(json_array_get(f->records, 1), "error")));
}

static void test_a_refusal_has_no_end(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(journal_decision(f->j, &f->flow, &f->deny), 0);
	assert_false(f->flow.recorded);
	journal_end(f->j, &f->flow);
	assert_int_equal(read_log(f), 1);
	assert_string_equal(text_of(f, 0, "verdict"), "deny");
	assert_string_equal(text_of(f, 0, "reason"), "no_rule");
}

/* What goes in as a path, and what a reader of the log gets. */
static void test_hostile_text(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "/plain", "/plain" },
		{ "/\"quoted\\\"", "/\"quoted\\\"" },
		{ "/\r\n{\"v\":1}", "/\r\n{\"v\":1}" },
		{ "/\x01\x1b[2J\x7f", "/\x01\x1b[2J\x7f" },
		{ "/b\xc3\xbc" "cher", "/b\xc3\xbc" "cher" },
		{ "/\xe2\x80\xa8\xe2\x80\xa9", "/\xe2\x80\xa8\xe2\x80\xa9" },
		{ "/\xf0\x9f\x98\x80", "/\xf0\x9f\x98\x80" },
		{ "/\xc0\xaf", "/\xef\xbf\xbd\xef\xbf\xbd" },
		{ "/\xed\xa0\x80", "/\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },
		{ "/\xf4\x90\x80\x80x", "/\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdx" },
		{ "/\xe2\x82", "/\xef\xbf\xbd\xef\xbf\xbd" },
		{ "/\xff", "/\xef\xbf\xbd" },
	};
	struct fixture *f = *state;
	static char raw[65536];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char path[64];
		struct target t = { .path = path, .path_n = strlen(cases[i].in) };

		memcpy(path, cases[i].in, t.path_n + 1);
		f->flow.target = &t;
		f->flow.method = "GET";
		assert_int_equal(journal_decision(f->j, &f->flow, &f->allow), 0);
	}
	assert_int_equal(read_log(f), sizeof(cases) / sizeof(cases[0]));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(text_of(f, i, "path"), cases[i].out);
	/* Nothing that a terminal or a reader of lines would act on stands there as it is. */
	assert_true(pread(f->fd, raw, sizeof(raw) - 1, 0) > 0);
	for (const char *s = raw; *s; s++)
		assert_true(*s == '\n' || ((unsigned char)*s >= 0x20 && *s != 0x7f));
	assert_null(strstr(raw, "\xe2\x80\xa8"));
}

static void test_a_long_path_is_cut(void **state)
{
	struct fixture *f = *state;
	static char path[5000];
	struct target t = { .path = path, .path_n = sizeof(path) - 1 };

	memset(path, '"', sizeof(path) - 1);
	f->flow.target = &t;
	f->flow.method = "GET";
	assert_int_equal(journal_decision(f->j, &f->flow, &f->allow), 0);
	assert_int_equal(read_log(f), 1);
	assert_int_equal(strlen(text_of(f, 0, "path")), JOURNAL_PATH_MAX);
}

static void test_without_a_log(void **state)
{
	struct fixture *f = *state;

	journal_set_fd(f->j, -1);
	assert_int_equal(journal_decision(f->j, &f->flow, &f->allow), -EBADF);
	assert_false(f->flow.recorded);
	journal_set_fd(f->j, open("/dev/full", O_WRONLY | O_CLOEXEC));
	assert_int_equal(journal_decision(f->j, &f->flow, &f->allow), -ENOSPC);
	assert_false(f->flow.recorded);
}

static void test_a_line_that_was_cut_short_spoils_no_other(void **state)
{
	struct fixture *f = *state;
	struct rlimit was, short_of = { .rlim_cur = 100, .rlim_max = RLIM_INFINITY };
	char text[4096];
	json_t *second;
	ssize_t n;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
	short_of.rlim_max = was.rlim_max;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &short_of), 0);
	assert_int_equal(journal_decision(f->j, &f->flow, &f->allow), -ENOSPC);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
	assert_int_equal(journal_decision(f->j, &f->flow, &f->allow), 0);
	n = pread(f->fd, text, sizeof(text) - 1, 0);
	assert_true(n > 101);
	text[n] = 0;
	assert_int_equal(text[100], '\n');
	second = json_loads(text + 101, 0, NULL);
	assert_true(json_is_object(second));
	json_decref(second);
}

static void test_many_refusals_are_counted(void **state)
{
	struct fixture *f = *state;
	json_int_t sum = 0;
	size_t n;

	for (int i = 0; i < 100; i++)
		assert_int_equal(journal_decision(f->j, &f->flow, &f->deny), 0);
	/* Another host, another reason: not counted together. */
	assert_int_equal(dest_make("other.test", 10, 443, DEST_HTTPS, &f->flow.dest), DEST_OK);
	assert_int_equal(journal_decision(f->j, &f->flow, &f->deny), 0);
	assert_int_equal(read_log(f), JOURNAL_BURST + 1);
	/* The count comes by itself. */
	(void)uv_run(&f->loop, UV_RUN_DEFAULT);
	n = read_log(f);
	assert_int_equal(n, JOURNAL_BURST + 2);
	for (size_t i = 0; i < n; i++)
		sum += number_of(f, i, "repeated");
	assert_int_equal(sum, 100 - JOURNAL_BURST);
	assert_string_equal(text_of(f, n - 1, "host"), "example.com");
}

static void test_what_is_counted_is_written_at_the_end(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < JOURNAL_BURST + 5; i++)
		assert_int_equal(journal_decision(f->j, &f->flow, &f->deny), 0);
	journal_set_fd(f->j, dup(f->fd));
	assert_int_equal(read_log(f), JOURNAL_BURST + 1);
	assert_int_equal(number_of(f, JOURNAL_BURST, "repeated"), 5);
}

static void test_more_hosts_than_tallies(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 500; i++) {
		char host[32];
		int n = snprintf(host, sizeof(host), "h%d.test", i);

		assert_int_equal(dest_make(host, (size_t)n, 443, DEST_HTTPS, &f->flow.dest), DEST_OK);
		assert_int_equal(journal_decision(f->j, &f->flow, &f->deny), 0);
	}
	assert_int_equal(read_log(f), 500);
}

static void test_a_full_log_is_told_once(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ftruncate(f->fd, JOURNAL_MAX_BYTES - 1), 0);
	journal_set_fd(f->j, dup(f->fd));
	assert_int_equal(f->fulls, 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(journal_decision(f->j, &f->flow, &f->allow), 0);
	assert_int_equal(f->fulls, 1);
	assert_int_equal(ftruncate(f->fd, 0), 0);
	journal_set_fd(f->j, dup(f->fd));
	assert_int_equal(journal_decision(f->j, &f->flow, &f->allow), 0);
	assert_int_equal(f->fulls, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(test_a_decision_and_its_end),
		T(test_a_refusal_has_no_end),
		T(test_hostile_text),
		T(test_a_long_path_is_cut),
		T(test_without_a_log),
		T(test_a_line_that_was_cut_short_spoils_no_other),
		T(test_many_refusals_are_counted),
		T(test_what_is_counted_is_written_at_the_end),
		T(test_more_hosts_than_tallies),
		T(test_a_full_log_is_told_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
