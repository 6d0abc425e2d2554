/* SPDX-License-Identifier: Apache-2.0
 *
 * Decision logs summed up: every file of a rotation, lines of every length, and no more rows than there may be.
 */
#include "daemon/traffic.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/own.h"
#include "base/str.h"
#include "daemon/sandbox.h"
#include "unit.h"

struct world {
	char dir[256];
	struct daemon d;
	struct sandbox *one, *two;
	unsigned calls;
	struct traffic sum; /* a copy; rows are owned */
};

static struct sandbox *make_sandbox(struct world *w, int n, const char *name)
{
	struct store_row row = { .cpus = 1 };
	auto_free char *dir = NULL;

	(void)str_format(row.id, sizeof(row.id), "00000000-0000-4000-8000-%012d", n);
	(void)str_format(row.name, sizeof(row.name), "%s", name);
	dir = str_new("%s/%s", w->d.disks.path, row.id);
	assert_int_equal(mkdir(dir, 0700), 0);
	return sandbox_new(&w->d, &row);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	struct err err;

	unit_tmpdir_make(w->dir, sizeof(w->dir));
	assert_int_equal(uv_loop_init(&w->d.loop), 0);
	assert_int_equal(disk_open(&w->d.disks, w->dir, &err), 0);
	w->one = make_sandbox(w, 1, "one");
	w->two = make_sandbox(w, 2, "two");
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	while (w->d.sandboxes)
		sandbox_free(w->d.sandboxes);
	(void)uv_run(&w->d.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->d.loop), 0);
	disk_close(&w->d.disks);
	unit_tmpdir_remove(w->dir);
	free(w->sum.rows);
	free(w);
	return 0;
}

static FILE *open_log(struct world *w, const struct sandbox *s, const char *suffix)
{
	auto_free char *path = str_new("%s/%s/" TRAFFIC_FILE "%s", w->d.disks.path, s->row.id, suffix);
	FILE *f = fopen(path, "a");

	assert_non_null(f);
	return f;
}

static void put(FILE *f, int second, const char *host, const char *verdict)
{
	(void)fprintf(f,
		      "{\"v\":1,\"event\":\"decision\",\"time\":\"2026-11-24T10:%02d:%02d.000Z\",\"entry\":\"transparent\",\"protocol\":"
		      "\"tls\",\"host\":\"%s\",\"port\":443,\"verdict\":\"%s\",\"reason\":\"rule\",\"rule\":\"r1\",\"inspect\":\"none\"}\n",
		      second / 60 % 60, second % 60, host, verdict);
}

static void on_sum(void *user, const struct traffic *t, int error)
{
	struct world *w = user;

	assert_int_equal(error, 0);
	w->calls++;
	free(w->sum.rows);
	w->sum = *t;
	w->sum.rows = calloc(t->n + 1, sizeof(*t->rows));
	if (t->n > 0)
		memcpy(w->sum.rows, t->rows, t->n * sizeof(*t->rows));
}

static void sum(struct world *w, const char *only)
{
	struct err err;

	w->calls = 0;
	assert_int_equal(traffic_sum(&w->d, only, on_sum, w, &err), 0);
	assert_int_equal(w->calls, 0);
	(void)uv_run(&w->d.loop, UV_RUN_DEFAULT);
	assert_int_equal(w->calls, 1);
}

static void nothing(void **state)
{
	struct world *w = *state;

	sum(w, NULL);
	assert_int_equal(w->sum.n, 0);
	assert_int_equal(w->sum.unreadable, 0);
}

static void all_files_of_all_sandboxes(void **state)
{
	static const char *const suffixes[] = { "", ".1", ".2", ".3", ".4", ".5" };
	struct world *w = *state;

	for (int i = 0; i < (int)ARRAY_LEN(suffixes); i++) {
		auto_file FILE *f = open_log(w, w->one, suffixes[i]);

		put(f, 50 - i, "ok.test", "allow");
		put(f, 20 - i, "no.test", "deny");
	}
	auto_file FILE *other = open_log(w, w->two, "");
	put(other, 59, "ok.test", "allow");
	(void)fflush(other);
	sum(w, NULL);
	assert_int_equal(w->sum.n, 3);
	/* The latest first. */
	assert_string_equal(w->sum.rows[0].sandbox, "two");
	assert_string_equal(w->sum.rows[1].like.host, "ok.test");
	assert_int_equal(w->sum.rows[1].count, 5); /* .5 is none of the log's */
	assert_int_equal(w->sum.rows[1].last_ms - w->sum.rows[1].since_ms, 4000);
	assert_string_equal(w->sum.rows[2].like.host, "no.test");
	sum(w, w->two->row.id);
	assert_int_equal(w->sum.n, 1);
}

static void lines_of_every_length(void **state)
{
	struct world *w = *state;
	auto_file FILE *f = open_log(w, w->one, "");

	put(f, 1, "ok.test", "allow");
	(void)fputc('\n', f);
	/* Around the size of a piece, and around the longest line. */
	for (int n = 65536 - 3; n < 65536 + 3; n++)
		(void)fprintf(f, "%*s\n", n, "");
	for (int n = NETLOG_LINE_MAX - 1; n < NETLOG_LINE_MAX + 2; n++)
		(void)fprintf(f, "%*s\n", n, "");
	put(f, 2, "ok.test", "allow");
	(void)fprintf(f, "torn");
	(void)fflush(f);
	sum(w, NULL);
	assert_int_equal(w->sum.n, 1);
	assert_int_equal(w->sum.rows[0].count, 2);
	assert_int_equal(w->sum.unreadable, 1 + 6 + 3);
}

static void more_rows_than_there_may_be(void **state)
{
	struct world *w = *state;
	auto_file FILE *f = open_log(w, w->one, "");
	char host[32];

	for (int i = 0; i < TRAFFIC_ROWS_MAX + 100; i++) {
		(void)str_format(host, sizeof(host), "h%d.test", i);
		put(f, i, host, "deny");
	}
	put(f, 3, "h0.test", "deny");
	(void)fflush(f);
	sum(w, NULL);
	assert_int_equal(w->sum.n, TRAFFIC_ROWS_MAX);
	assert_int_equal(w->sum.left_out, 100);
	for (size_t i = 0; i < w->sum.n; i++)
		assert_int_equal(w->sum.rows[i].count, str_eq(w->sum.rows[i].like.host, "h0.test") ? 2 : 1);
}

static void files_that_are_none(void **state)
{
	struct world *w = *state;
	auto_free char *link = str_new("%s/%s/" TRAFFIC_FILE, w->d.disks.path, w->one->row.id);
	auto_free char *dir = str_new("%s/%s/" TRAFFIC_FILE ".1", w->d.disks.path, w->one->row.id);
	auto_free char *pipe = str_new("%s/%s/" TRAFFIC_FILE ".2", w->d.disks.path, w->one->row.id);

	assert_int_equal(symlink("/etc/passwd", link), 0);
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(mkfifo(pipe, 0600), 0);
	sum(w, NULL);
	assert_int_equal(w->sum.n, 0);
	assert_int_equal(w->sum.unreadable, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing), TEST(all_files_of_all_sandboxes), TEST(lines_of_every_length), TEST(more_rows_than_there_may_be),
		TEST(files_that_are_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
