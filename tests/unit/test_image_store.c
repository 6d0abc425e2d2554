/* SPDX-License-Identifier: Apache-2.0
 *
 * image/store: tidying up keeps what a manifest or a reference names, and forgets references whose holder is gone.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "image/store.h"

static char dir[64];

static void digest_of(char dst[static MANIFEST_DIGEST], char letter)
{
	memset(dst, letter, MANIFEST_DIGEST - 1);
	dst[MANIFEST_DIGEST - 1] = 0;
}

static void put_file(const char *name, const char *text)
{
	auto_free char *path = str_new("%s/templates/%s", dir, name);
	auto_fd int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(io_write_all(fd, text, strlen(text)), 0);
}

static void put_blob(char letter)
{
	char digest[MANIFEST_DIGEST], name[100];

	digest_of(digest, letter);
	(void)snprintf(name, sizeof(name), "blobs/%s", digest);
	put_file(name, "x");
}

static bool has(const char *name)
{
	auto_free char *path = str_new("%s/templates/%s", dir, name);

	return access(path, F_OK) == 0;
}

static bool has_blob(char letter)
{
	char digest[MANIFEST_DIGEST], name[100];

	digest_of(digest, letter);
	(void)snprintf(name, sizeof(name), "blobs/%s", digest);
	return has(name);
}

/* A manifest of one layer; kernel and modules are blob 'f'. holder: NULL, or what it says of it. */
static void put_manifest(const char *name, char layer, const char *holder)
{
	char l[MANIFEST_DIGEST], f[MANIFEST_DIGEST];
	auto_free char *text = NULL;

	digest_of(l, layer);
	digest_of(f, 'f');
	text = str_new("{\"schema\":1,\"name\":\"x\",\"inputs\":\"%s\",\"created\":\"2026-01-01T00:00:00Z\",\"layers\":[{\"digest\":\"%s\","
		       "\"bytes\":1,\"format\":\"squashfs\"}],\"kernel\":{\"digest\":\"%s\",\"bytes\":1,\"release\":\"6.12\"},"
		       "\"modules\":{\"digest\":\"%s\",\"bytes\":1}%s%s%s}\n",
		       f, l, f, f, holder ? ",\"holder\":\"" : "", holder ? holder : "", holder ? "\"" : "");
	put_file(name, text);
}

static void tidying(void **state)
{
	auto_free char *refs = NULL;
	struct err err = { 0 };
	struct store s;

	(void)str_format(dir, sizeof(dir), "/tmp/sbx-store.XXXXXX");
	assert_non_null(mkdtemp(dir));
	assert_int_equal(store_open(&s, dir, &err), 0);
	refs = str_new("%s/templates/refs", dir);
	assert_int_equal(mkdir(refs, 0700), 0);
	for (char c = 'a'; c <= 'f'; c++)
		put_blob(c);
	put_manifest("base.json", 'a', NULL);
	put_manifest("refs/here.json", 'b', dir);
	put_manifest("refs/gone.json", 'c', "/nonexistent/holder");
	put_manifest("refs/other.json", 'd', NULL);
	assert_int_equal(store_clean(&s, &err), 0);
	assert_true(has_blob('a') && has_blob('b') && has_blob('d') && has_blob('f'));
	assert_false(has_blob('c') || has_blob('e'));
	assert_true(has("refs/here.json") && has("refs/other.json"));
	assert_false(has("refs/gone.json"));

	/* What cannot be read may name anything: nothing goes. */
	put_blob('e');
	put_file("refs/bad.json", "{");
	assert_true(store_clean(&s, &err) < 0);
	assert_true(has_blob('e'));
	store_done(&s);
	assert_int_equal(io_remove_tree(AT_FDCWD, dir), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(tidying) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
