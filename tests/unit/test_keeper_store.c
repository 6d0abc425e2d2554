/* SPDX-License-Identifier: Apache-2.0
 *
 * keeper_store: documents with and without a key; what is lost, changed or swapped is an error, and never an empty store.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/own.h"
#include "keeper/ca.h"
#include "keeper/store.h"
#include "keeper/vault.h"

#define BOX "00000000-0000-4000-8000-00000000000a"

static char dir[256];
static const uint8_t key[STOREMSG_KEY] = { 1, 2, 3 }, other[STOREMSG_KEY] = { 4 };
static const struct storemsg_lock by_service = { .protection = STOREMSG_SERVICE, .id = "0123456789abcdef0123456789abcdef" };

static int setup(void **state)
{
	return ca_setup(NULL);
}

static int each(void **state)
{
	unit_tmpdir_make(dir, sizeof(dir));
	return 0;
}

static int each_done(void **state)
{
	unit_tmpdir_remove(dir);
	return 0;
}

static struct store *open_store(void)
{
	auto_fd int top = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err err = { 0 };
	struct store *s = store_open(top, &err);

	assert_non_null(s);
	return s;
}

static void path_of(const char *name, char *dst, size_t size)
{
	assert_true(snprintf(dst, size, "%s/secrets/%s", dir, name) < (int)size);
}

static bool there(const char *name)
{
	char path[400];

	path_of(name, path, sizeof(path));
	return access(path, F_OK) == 0;
}

static void put(const char *name, const void *bytes, size_t n)
{
	char path[400];
	auto_fd int fd = -1;

	path_of(name, path, sizeof(path));
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_int_equal(io_write_all(fd, bytes, n), 0);
}

static size_t get(const char *name, char **ret)
{
	char path[400];
	size_t n = 0;

	path_of(name, path, sizeof(path));
	assert_int_equal(io_read_file(AT_FDCWD, path, 1 << 20, ret, &n), 0);
	return n;
}

static void reads(struct store *s, const char *name, const char *text)
{
	auto_box struct box_bytes b = { 0 };
	struct err err = { 0 };

	assert_int_equal(store_read(s, name, &b, &err), 0);
	assert_string_equal(b.p, text);
	assert_int_equal(b.n, strlen(text));
}

static int fails_to_read(struct store *s, const char *name, const char *says)
{
	struct box_bytes b = { 0 };
	struct err err = { 0 };
	int r = store_read(s, name, &b, &err);

	assert_true(r < 0);
	if (says && !strstr(err.msg, says))
		fail_msg("'%s' does not say '%s'", err.msg, says);
	return r;
}

static void plain(void **state)
{
	struct store *s = open_store();

	assert_false(store_encrypts(s));
	assert_int_equal(fails_to_read(s, STORE_SECRETS, NULL), -ENOENT);
	assert_int_equal(store_write(s, STORE_SECRETS, "one", 3, NULL), 0);
	assert_int_equal(store_write(s, STORE_SECRETS, "two", 3, NULL), 0);
	reads(s, STORE_SECRETS, "two");
	assert_int_equal(store_unlock(s, key, 0, NULL), -EALREADY);
	store_free(s);
	s = open_store();
	reads(s, STORE_SECRETS, "two");
	store_free(s);
}

static void with_a_key(void **state)
{
	struct store *s = open_store();
	auto_free char *text = NULL;
	struct err err = { 0 };
	uint64_t generation = store_generation(s);

	assert_int_equal(store_write(s, STORE_SECRETS, "plain-text", 10, NULL), 0);
	assert_int_equal(store_protect(s, &by_service, key, &err), 0);
	assert_true(store_encrypts(s) && store_generation(s) != generation);
	assert_true(there("secrets.enc") && there("key.json") && !there("secrets.json"));
	assert_null(memmem((get("secrets.enc", &text), text), 40, "plain-text", 10));
	assert_int_equal(store_write(s, STORE_GRANTS, "grant", 5, NULL), 0);
	store_free(s);

	s = open_store();
	fails_to_read(s, STORE_SECRETS, "sbx secret unlock");
	assert_int_equal(store_write(s, STORE_SECRETS, "new", 3, NULL), -ENOKEY);
	assert_int_equal(store_protect(s, &by_service, key, NULL), -ENOKEY);
	assert_int_equal(store_unlock(s, other, 0, &err), -EKEYREJECTED);
	assert_int_equal(store_unlock(s, key, 0, &err), 0);
	reads(s, STORE_SECRETS, "plain-text");
	reads(s, STORE_GRANTS, "grant");
	store_lock(s, "a reason");
	fails_to_read(s, STORE_SECRETS, "a reason");
	assert_int_equal(store_unlock(s, key, 0, &err), 0);

	/* Another key for the same documents; then none. */
	assert_int_equal(store_protect(s, &by_service, other, &err), 0);
	store_lock(s, "x");
	assert_int_equal(store_unlock(s, key, 0, &err), -EKEYREJECTED);
	assert_int_equal(store_unlock(s, other, 0, &err), 0);
	assert_int_equal(store_protect(s, &(struct storemsg_lock){ .protection = STOREMSG_NONE }, NULL, &err), 0);
	assert_true(there("secrets.json") && there("grants.json") && !there("secrets.enc") && !there("grants.enc"));
	reads(s, STORE_SECRETS, "plain-text");
	store_free(s);
	s = open_store();
	reads(s, STORE_GRANTS, "grant");
	store_free(s);
}

/* Each of them is an error, and what is there stays as it is. */
static void changed(void **state)
{
	struct store *s = open_store();
	auto_free char *text = NULL, *now = NULL;
	size_t n;

	assert_int_equal(store_protect(s, &by_service, key, NULL), 0);
	assert_int_equal(store_write(s, STORE_SECRETS, "text", 4, NULL), 0);
	n = get("secrets.enc", &text);
	for (size_t i = 0; i < n; i++) {
		text[i] = (char)(text[i] ^ 1);
		put("secrets.enc", text, n);
		fails_to_read(s, STORE_SECRETS, "keeper/secrets/secrets.enc was changed");
		text[i] = (char)(text[i] ^ 1);
	}
	for (size_t cut = 0; cut < n; cut++) {
		put("secrets.enc", text, cut);
		fails_to_read(s, STORE_SECRETS, "sbx secret reset");
	}
	/* One document in another's place. */
	put("secrets.enc", text, n);
	put("grants.enc", text, n);
	reads(s, STORE_SECRETS, "text");
	fails_to_read(s, STORE_GRANTS, "keeper/secrets/grants.enc was changed");
	assert_int_equal(get("grants.enc", &now), n);
	assert_memory_equal(now, text, n);
	store_free(s);
}

static void the_key_file_is_lost(void **state)
{
	struct store *s = open_store();
	char path[400];

	assert_int_equal(store_protect(s, &by_service, key, NULL), 0);
	assert_int_equal(store_write(s, STORE_SECRETS, "text", 4, NULL), 0);
	store_free(s);
	put("key.json", "{}", 2);
	s = open_store();
	fails_to_read(s, STORE_SECRETS, "key.json");
	assert_true(store_unlock(s, key, 0, NULL) < 0);
	assert_true(store_write(s, STORE_SECRETS, "new", 3, NULL) < 0);
	store_free(s);
	path_of("key.json", path, sizeof(path));
	assert_int_equal(unlink(path), 0);
	s = open_store();
	fails_to_read(s, STORE_SECRETS, "is missing");
	assert_true(store_write(s, STORE_SECRETS, "new", 3, NULL) < 0);
	assert_true(there("secrets.enc"));
	assert_int_equal(store_reset(s, NULL), 0);
	assert_int_equal(fails_to_read(s, STORE_SECRETS, NULL), -ENOENT);
	assert_int_equal(store_write(s, STORE_SECRETS, "new", 3, NULL), 0);
	store_free(s);
}

/* Ended in the middle of either change. */
static void halfway(void **state)
{
	struct store *s = open_store();

	assert_int_equal(store_protect(s, &by_service, key, NULL), 0);
	assert_int_equal(store_write(s, STORE_SECRETS, "newer", 5, NULL), 0);
	put("secrets.json", "older", 5);
	put("grants.json", "only", 4);
	put("secrets.json.tmp.77", "rest", 4);
	store_free(s);
	s = open_store();
	assert_false(there("secrets.json.tmp.77"));
	assert_int_equal(store_unlock(s, key, 0, NULL), 0);
	reads(s, STORE_SECRETS, "newer");
	reads(s, STORE_GRANTS, "only");
	assert_true(!there("secrets.json") && !there("grants.json") && there("grants.enc"));
	store_free(s);
}

static void for_a_time(void **state)
{
	struct store *s = open_store();
	struct timespec t;

	assert_int_equal(store_protect(s, &by_service, key, NULL), 0);
	assert_int_equal(store_tick(s), -1);
	assert_int_equal(clock_gettime(CLOCK_BOOTTIME, &t), 0);
	assert_int_equal(store_unlock(s, key, (uint64_t)t.tv_sec + 100, NULL), 0);
	assert_in_range(store_tick(s), 98000, 100000);
	assert_int_equal(store_unlock(s, key, 1, NULL), 0);
	assert_int_equal(store_tick(s), -1);
	fails_to_read(s, STORE_SECRETS, "is over");
	store_free(s);
}

static void set(struct vault *v, const char *name, const char *sandbox)
{
	static struct secretmsg_secret s;
	static struct secret value;
	struct err err = { 0 };

	memset(&s, 0, sizeof(s));
	(void)snprintf(s.name, sizeof(s.name), "%s", name);
	(void)snprintf(s.sandbox, sizeof(s.sandbox), "%s", sandbox);
	(void)snprintf(s.placeholder, sizeof(s.placeholder), "placeholder");
	assert_int_equal(dest_make("a.test", 6, 443, DEST_HTTPS, &s.bindings[0].to), DEST_OK);
	(void)snprintf(s.bindings[0].path, sizeof(s.bindings[0].path), "/**");
	(void)snprintf(s.bindings[0].header, sizeof(s.bindings[0].header), "x-key");
	(void)snprintf(s.bindings[0].format, sizeof(s.bindings[0].format), "%%s");
	s.nbindings = 1;
	(void)snprintf(value.s, sizeof(value.s), "the-value-itself");
	assert_int_equal(vault_set(v, &s, &value, &err), 0);
}

static void the_index_of_a_locked_vault(void **state)
{
	static struct secretmsg_list l;
	static struct secretmsg_injection i;
	struct store *s = open_store();
	struct vault *v = vault_open(s);
	auto_free char *index = NULL;
	struct err err = { 0 };
	static struct secretmsg_request asked = { .path = "/" };
	bool any;

	assert_int_equal(dest_make("a.test", 6, 443, DEST_HTTPS, &asked.to), DEST_OK);
	set(v, "before", "");
	assert_int_equal(store_protect(s, &by_service, key, NULL), 0);
	set(v, "after", "");
	set(v, "own", BOX);
	(void)get("secrets.index.json", &index);
	assert_null(strstr(index, "the-value-itself"));
	vault_free(v);
	store_free(s);

	s = open_store();
	v = vault_open(s);
	assert_int_equal(vault_list(v, BOX, &l, &err), 0);
	assert_int_equal(l.n, 3);
	assert_int_equal(vault_inject(v, BOX, &asked, &i, &err), -ENOKEY);
	assert_int_equal(vault_remove(v, "after", "", &err), -ENOKEY);
	assert_int_equal(vault_forget(v, BOX, &any, &err), 0);
	assert_true(any);
	assert_int_equal(vault_list(v, NULL, &l, &err), 0);
	assert_int_equal(l.n, 2);
	vault_free(v);
	store_free(s);

	s = open_store();
	v = vault_open(s);
	assert_int_equal(vault_list(v, NULL, &l, &err), 0);
	assert_int_equal(l.n, 2);
	assert_int_equal(store_unlock(s, key, 0, &err), 0);
	assert_int_equal(vault_list(v, NULL, &l, &err), 0);
	assert_int_equal(l.n, 2);
	assert_int_equal(vault_inject(v, BOX, &asked, &i, &err), 0);
	assert_string_equal(i.value.s, "the-value-itself");
	assert_string_equal(i.secret, "before");
	store_lock(s, "x");
	assert_int_equal(vault_inject(v, BOX, &asked, &i, &err), -ENOKEY);
	vault_free(v);
	store_free(s);
}

/* A document that is no list of secrets: every call is an error, and nothing is replaced. */
static void a_document_of_something_else(void **state)
{
	static struct secretmsg_list l;
	struct store *s = open_store();
	struct vault *v;
	struct err err = { 0 };
	bool any;

	put("secrets.json", "{\"v\":2}", 7);
	v = vault_open(s);
	assert_int_equal(vault_list(v, NULL, &l, &err), -EBADMSG);
	assert_non_null(strstr(err.msg, "is not what sbx-keeper writes"));
	assert_int_equal(vault_remove(v, "x", "", &err), -EBADMSG);
	assert_int_equal(vault_forget(v, BOX, &any, &err), 0);
	reads(s, STORE_SECRETS, "{\"v\":2}");
	vault_free(v);
	store_free(s);
}

int main(void)
{
#define EACH(f) cmocka_unit_test_setup_teardown(f, each, each_done)
	const struct CMUnitTest tests[] = {
		EACH(plain),      EACH(with_a_key), EACH(changed),
		EACH(the_key_file_is_lost), EACH(halfway),    EACH(for_a_time),
		EACH(the_index_of_a_locked_vault), EACH(a_document_of_something_else),
	};

	return cmocka_run_group_tests_name("keeper_store", tests, setup, NULL);
}
