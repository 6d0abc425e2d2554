/* SPDX-License-Identifier: Apache-2.0
 *
 * The registry: what goes in comes out after reopening, names are taken once, failures leave nothing, and files
 * that are not ours are refused in words.
 */
#include "daemon/store.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/own.h"
#include "base/str.h"
#include "unit.h"

struct world {
	char dir[256], path[300];
	struct store *store;
};

static void open_store(struct world *w)
{
	struct err err;

	if (store_open(w->path, &w->store, &err) < 0)
		fail_msg("%s", err.msg);
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	unit_tmpdir_make(w->dir, sizeof(w->dir));
	(void)snprintf(w->path, sizeof(w->path), "%s/sbx.db", w->dir);
	open_store(w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	store_free(w->store);
	unit_tmpdir_remove(w->dir);
	free(w);
	return 0;
}

static struct store_row make_row(int n, const char *name)
{
	struct store_row row = { .cpus = 2, .memory_mib = 1024, .nworkspaces = 2, .keep = n == 1 };

	(void)snprintf(row.id, sizeof(row.id), "00000000-0000-4000-8000-%012d", n);
	(void)snprintf(row.name, sizeof(row.name), "%s", name);
	(void)snprintf(row.agent, sizeof(row.agent), "shell");
	(void)snprintf(row.machine_id, sizeof(row.machine_id), "%032d", n);
	store_now(row.created_at);
	row.env = json_pack("{s:s}", "A", "b\xc3\xa9");
	row.template = json_pack("{s:[s], s:s, s:s}", "layers", "l", "kernel", "k", "modules", "m");
	row.workspaces[0] = (struct workspace){ .path = strdup("/home/me/pro'j") };
	row.workspaces[1] = (struct workspace){ .path = strdup("/home/me/file"), .readonly = true, .is_file = true };
	return row;
}

struct all {
	struct store_row rows[8];
	size_t n;
};

static int gather(void *user, struct store_row *row, struct err *err)
{
	struct all *all = user;

	assert_true(all->n < ARRAY_LEN(all->rows));
	all->rows[all->n++] = *row;
	*row = (struct store_row){ 0 };
	return 0;
}

static void load(struct world *w, struct all *all)
{
	struct err err;

	all->n = 0;
	if (store_each(w->store, gather, all, &err) < 0)
		fail_msg("%s", err.msg);
}

static void drop(struct all *all)
{
	for (size_t i = 0; i < all->n; i++)
		store_row_done(&all->rows[i]);
	all->n = 0;
}

static void add(struct world *w, int n, const char *name)
{
	struct store_row row = make_row(n, name);
	struct err err;

	if (store_add(w->store, &row, &err) < 0)
		fail_msg("%s", err.msg);
	store_row_done(&row);
}

static void rows_survive(void **state)
{
	struct world *w = *state;
	struct all all = { 0 };

	add(w, 1, "zeta");
	add(w, 2, "alpha");
	store_free(w->store);
	open_store(w);
	load(w, &all);
	assert_int_equal(all.n, 2);
	assert_string_equal(all.rows[0].name, "alpha");
	assert_string_equal(all.rows[1].name, "zeta");
	assert_string_equal(all.rows[1].id, "00000000-0000-4000-8000-000000000001");
	assert_int_equal(all.rows[1].memory_mib, 1024);
	assert_true(all.rows[1].keep && !all.rows[0].keep);
	assert_string_equal(all.rows[0].last_used_at, "");
	assert_int_equal(all.rows[0].nworkspaces, 2);
	assert_string_equal(all.rows[0].workspaces[0].path, "/home/me/pro'j");
	assert_true(all.rows[0].workspaces[1].readonly && all.rows[0].workspaces[1].is_file);
	assert_string_equal(json_string_value(json_object_get(all.rows[0].env, "A")), "b\xc3\xa9");
	drop(&all);
}

static void names_and_ids_are_taken_once(void **state)
{
	struct world *w = *state;
	struct store_row row = make_row(2, "one");
	struct all all = { 0 };
	struct err err = { 0 };

	add(w, 1, "one");
	assert_int_equal(store_add(w->store, &row, &err), -EEXIST);
	assert_int_equal(err.kind, ERR_CONFLICT);
	(void)snprintf(row.name, sizeof(row.name), "two");
	(void)snprintf(row.id, sizeof(row.id), "00000000-0000-4000-8000-000000000001");
	assert_int_equal(store_add(w->store, &row, &err), -EEXIST);
	/* A failure in the middle (the second workspace) takes the whole record back. */
	(void)snprintf(row.id, sizeof(row.id), "00000000-0000-4000-8000-000000000003");
	free(row.workspaces[1].path);
	row.workspaces[1].path = strdup(row.workspaces[0].path);
	assert_true(store_add(w->store, &row, &err) < 0);
	load(w, &all);
	assert_int_equal(all.n, 1);
	drop(&all);
	store_row_done(&row);
	add(w, 3, "two");
}

static void changes(void **state)
{
	struct world *w = *state;
	struct all all = { 0 };
	struct err err;

	add(w, 2, "two");
	assert_int_equal(store_set_keep(w->store, "00000000-0000-4000-8000-000000000002", true, &err), 0);
	assert_int_equal(
		store_set_last_used(w->store, "00000000-0000-4000-8000-000000000002", "2026-01-02T03:04:05Z", &err), 0);
	load(w, &all);
	assert_true(all.rows[0].keep);
	assert_string_equal(all.rows[0].last_used_at, "2026-01-02T03:04:05Z");
	drop(&all);
	assert_int_equal(store_remove(w->store, "00000000-0000-4000-8000-000000000002", &err), 0);
	load(w, &all);
	assert_int_equal(all.n, 0);
	/* Its workspaces went with it: the same id is free again. */
	add(w, 2, "two");
}

static int stop(void *user, struct store_row *row, struct err *err)
{
	(*(int *)user)++;
	return -EINTR;
}

static void a_walk_that_is_stopped(void **state)
{
	struct world *w = *state;
	struct all all = { 0 };
	struct err err;
	int calls = 0;

	add(w, 1, "one");
	add(w, 2, "two");
	assert_int_equal(store_each(w->store, stop, &calls, &err), -EINTR);
	assert_int_equal(calls, 1);
	load(w, &all);
	assert_int_equal(all.n, 2);
	drop(&all);
}

static void refuse(struct world *w, enum err_kind kind, const char *word)
{
	struct store *s = NULL;
	struct err err = { 0 };

	assert_true(store_open(w->path, &s, &err) < 0);
	assert_null(s);
	assert_int_equal(err.kind, kind);
	if (!strstr(err.msg, word) || !strstr(err.msg, w->path))
		fail_msg("%s", err.msg);
}

static void a_damaged_file(void **state)
{
	struct world *w = *state;
	char junk[8192];
	int fd;

	add(w, 1, "one");
	store_free(w->store);
	w->store = NULL;
	memset(junk, 'x', sizeof(junk));
	fd = open(w->path, O_WRONLY | O_CLOEXEC);
	assert_int_equal(write(fd, junk, sizeof(junk)), sizeof(junk));
	(void)close(fd);
	refuse(w, ERR_INTERNAL, "damaged");
}

static void a_newer_schema(void **state)
{
	struct world *w = *state;
	sqlite3 *db;

	store_free(w->store);
	w->store = NULL;
	assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL), SQLITE_OK);
	(void)sqlite3_close(db);
	refuse(w, ERR_CONFLICT, "newer");
}

static void a_place_that_is_not_there(void **state)
{
	struct world *w = *state;
	struct world other = { 0 };

	(void)snprintf(other.path, sizeof(other.path), "%.200s/none/sbx.db", w->dir);
	refuse(&other, ERR_DENIED, "writable");
}

static void a_record_that_we_did_not_write(void **state)
{
	struct world *w = *state;
	struct all all = { 0 };
	struct err err = { 0 };
	sqlite3 *db;

	add(w, 1, "one");
	assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "UPDATE sandboxes SET env = '['", NULL, NULL, NULL), SQLITE_OK);
	(void)sqlite3_close(db);
	assert_true(store_each(w->store, gather, &all, &err) < 0);
	assert_non_null(strstr(err.msg, "one"));
	drop(&all);
}

/* A database that cannot grow says so and keeps what it had. A bound on the file's size stands for a full disk. */
static void a_full_disk(void **state)
{
	struct world *w = *state;
	struct store_row row = make_row(2, "two");
	struct all all = { 0 };
	struct err err = { 0 };
	struct rlimit old, small;
	char *text = calloc(1, 1 << 20);

	add(w, 1, "one");
	assert_non_null(text);
	memset(text, 'a', (1 << 20) - 1);
	assert_int_equal(json_object_set_new(row.env, "BIG", json_string(text)), 0);
	free(text);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = (struct rlimit){ .rlim_cur = 256 << 10, .rlim_max = old.rlim_max };
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_true(store_add(w->store, &row, &err) < 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(err.kind, ERR_UNAVAILABLE);
	load(w, &all);
	assert_int_equal(all.n, 1);
	drop(&all);
	store_row_done(&row);
	add(w, 2, "two");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(rows_survive, setup, teardown),
		cmocka_unit_test_setup_teardown(names_and_ids_are_taken_once, setup, teardown),
		cmocka_unit_test_setup_teardown(changes, setup, teardown),
		cmocka_unit_test_setup_teardown(a_walk_that_is_stopped, setup, teardown),
		cmocka_unit_test_setup_teardown(a_damaged_file, setup, teardown),
		cmocka_unit_test_setup_teardown(a_newer_schema, setup, teardown),
		cmocka_unit_test_setup_teardown(a_place_that_is_not_there, setup, teardown),
		cmocka_unit_test_setup_teardown(a_record_that_we_did_not_write, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_disk, setup, teardown),
	};

	return cmocka_run_group_tests_name("daemon_store", tests, NULL, NULL);
}
