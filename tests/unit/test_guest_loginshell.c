/* SPDX-License-Identifier: Apache-2.0
 *
 * guest/loginshell: Debian's questions are answered by the shell, the user's own lines stay, and nothing is written through a link.
 */
#include "guest/loginshell.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "unit.h"

#define ASKS "if [ \"$(id -u)\" -eq 0 ]; then\nPATH=/sbin\nfi\n"
#define LISTS "for i in $(run-parts --list --regex '^[a-zA-Z0-9_][a-zA-Z0-9._-]*\\.sh$' /etc/profile.d); do\n:\ndone\n"
#define KNOWS "if [ \"${EUID:-$(id -u)}\" -eq 0 ]; then\nPATH=/sbin\nfi\n"
#define GLOBS "for i in /etc/profile.d/[a-zA-Z0-9_]*.sh; do\n:\ndone\n"

static char dir[] = "/tmp/sbx-profile.XXXXXX";

static void put(const char *text)
{
	assert_int_equal(io_write_file_atomic(AT_FDCWD, "profile", text, strlen(text), 0644), 0);
}

static void is(const char *text)
{
	auto_free char *now = NULL;

	assert_int_equal(io_read_file(AT_FDCWD, "profile", 65536, &now, NULL), 0);
	assert_string_equal(now, text);
}

static void questions(void **state)
{
	struct stat a, b;

	put("# first\n" ASKS "own=1\n" LISTS ASKS "# last");
	assert_int_equal(stat("profile", &a), 0);
	assert_int_equal(loginshell_mend("profile"), 0);
	is("# first\n" KNOWS "own=1\n" GLOBS KNOWS "# last");
	assert_int_equal(stat("profile", &b), 0);
	assert_int_equal(a.st_ino, b.st_ino);
	assert_int_equal(b.st_mode & 07777, 0644);

	/* Once is enough, and one that asks otherwise is somebody else's. */
	assert_int_equal(loginshell_mend("profile"), 0);
	is("# first\n" KNOWS "own=1\n" GLOBS KNOWS "# last");
	put("test \"$(id -u)\" -eq 0\n");
	assert_int_equal(loginshell_mend("profile"), 0);
	is("test \"$(id -u)\" -eq 0\n");
}

static void no_file(void **state)
{
	assert_int_equal(loginshell_mend("none"), 0);
	put(ASKS);
	assert_int_equal(symlink("profile", "link"), 0);
	assert_int_equal(loginshell_mend("link"), 0);
	is(ASKS);
	assert_int_equal(mkfifo("fifo", 0600), 0);
	assert_int_equal(loginshell_mend("fifo"), 0);
}

static int begin(void **state)
{
	return mkdtemp(dir) && chdir(dir) == 0 ? 0 : -1;
}

static int end(void **state)
{
	return chdir("/") == 0 && io_remove_tree(AT_FDCWD, dir) == 0 ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(questions), cmocka_unit_test(no_file) };

	return cmocka_run_group_tests(tests, begin, end);
}
