/* SPDX-License-Identifier: Apache-2.0
 *
 * What a client may ask for: every field, every refusal, and where a workspace may lie.
 */
#include "daemon/create.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/own.h"
#include "base/str.h"
#include "unit.h"

static char root[128];
static struct env_dirs dirs;

static void make_dir(const char *name)
{
	char path[300];

	(void)snprintf(path, sizeof(path), "%s/%s", root, name);
	assert_int_equal(io_mkdirs(path, 0700), 0);
}

static void make_file(const char *name)
{
	auto_fd int fd = -1;
	char path[300];

	(void)snprintf(path, sizeof(path), "%s/%s", root, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
}

static int setup(void **state)
{
	char link[300];

	unit_tmpdir_make(root, sizeof(root));
	(void)snprintf(dirs.state, sizeof(dirs.state), "%s/home/.local/state/sbx", root);
	(void)snprintf(dirs.cache, sizeof(dirs.cache), "%s/home/.cache/sbx", root);
	(void)snprintf(dirs.config, sizeof(dirs.config), "%s/home/.config/sbx", root);
	(void)snprintf(dirs.runtime, sizeof(dirs.runtime), "%s/run/sbx", root);
	make_dir("home/.local/state/sbx/sandboxes");
	make_dir("home/.cache/sbx");
	make_dir("home/proj/inner");
	make_dir("home/other");
	make_file("home/file");
	(void)snprintf(link, sizeof(link), "%s/home/link", root);
	assert_int_equal(symlink("proj", link), 0);
	return 0;
}

static int teardown(void **state)
{
	unit_tmpdir_remove(root);
	return 0;
}

/* Text with ' for " and % for the root. */
static json_t *body(const char *text)
{
	struct buf json;
	json_t *o;

	buf_init(&json, 8192);
	for (; *text; text++)
		assert_int_equal(*text == '%'    ? buf_append_str(&json, root)
				 : *text == '\'' ? buf_append_str(&json, "\"")
						 : buf_append(&json, text, 1),
				 0);
	o = json_loads(buf_cstr(&json), JSON_REJECT_DUPLICATES, NULL);
	if (!o)
		fail_msg("not JSON: %s", buf_cstr(&json));
	buf_done(&json);
	return o;
}

static void refused(const char *text, enum err_kind kind, const char *word)
{
	json_t *o = body(text);
	struct create_plan p = { 0 };
	struct err err = { 0 };

	if (create_plan(&dirs, o, &p, &err) == 0)
		fail_msg("accepted: %s", text);
	if (err.kind != kind || !strstr(err.msg, word))
		fail_msg("%s: %s (%s)", text, err.msg, err_kind_name(err.kind));
	assert_null(strchr(err.msg, '\n'));
	assert_int_equal(p.row.nworkspaces, 0);
	json_decref(o);
}

static void the_least(void **state)
{
	json_t *o = body("{'agent':'shell','workspaces':[{'path':'%/home/link/../proj/'}]}");
	struct create_plan p;
	char want[300];

	(void)snprintf(want, sizeof(want), "%s/home/proj", root);
	assert_int_equal(create_plan(&dirs, o, &p, NULL), 0);
	assert_string_equal(p.row.workspaces[0].path, want);
	assert_false(p.named || p.reuse || p.row.keep || p.row.workspaces[0].readonly);
	assert_true(p.row.cpus >= 1);
	assert_true(p.row.memory_mib >= 512 && p.row.memory_mib <= 32768);
	assert_int_equal(json_object_size(p.row.env), 0);
	create_plan_done(&p);
	json_decref(o);
}

static void everything(void **state)
{
	json_t *o = body("{'agent':'shell','name':'my.box','workspaces':[{'path':'%/home/link'},{'path':'%/home/"
			 "file','readonly':true},"
			 "{'path':'%/home/proj/inner'}],'memory_mib':512,'cpus':1,'env':{'A_1':'x "
			 "y','B':''},'keep':true,'reuse':true}");
	struct create_plan p;

	assert_int_equal(create_plan(&dirs, o, &p, NULL), 0);
	assert_true(p.named && p.reuse && p.row.keep);
	assert_string_equal(p.row.name, "my.box");
	assert_int_equal(p.row.memory_mib, 512);
	assert_int_equal(p.row.cpus, 1);
	assert_int_equal(p.row.nworkspaces, 3);
	assert_true(p.row.workspaces[1].is_file && p.row.workspaces[1].readonly);
	assert_int_equal(json_object_size(p.row.env), 2);
	create_plan_done(&p);
	json_decref(o);
}

#define WS "'workspaces':[{'path':'%/home/proj'}]"

static void wrong_fields(void **state)
{
	refused("{" WS "}", ERR_INVALID, "\"agent\" is missing");
	refused("{'agent':1," WS "}", ERR_INVALID, "agent");
	refused("{'agent':'clod'," WS "}", ERR_NOT_FOUND, "known agents are: ");
	refused("{'agent':'shell','colour':1," WS "}", ERR_INVALID, "unknown key \"colour\"");
	refused("{'agent':'shell','name':''," WS "}", ERR_INVALID, "name");
	refused("{'agent':'shell','name':'a/b'," WS "}", ERR_INVALID, "a/b");
	refused("{'agent':'shell','name':'default'," WS "}", ERR_INVALID, "reserved");
	refused("{'agent':'shell','memory_mib':511," WS "}", ERR_INVALID, "at least 512");
	refused("{'agent':'shell','memory_mib':'1g'," WS "}", ERR_INVALID, "memory_mib");
	refused("{'agent':'shell','memory_mib':1.5," WS "}", ERR_INVALID, "memory_mib");
	refused("{'agent':'shell','memory_mib':-1," WS "}", ERR_INVALID, "memory_mib");
	refused("{'agent':'shell','memory_mib':4000000000," WS "}", ERR_INVALID, "more than this host has");
	refused("{'agent':'shell','cpus':100000," WS "}", ERR_INVALID, "more than this host has");
	refused("{'agent':'shell','cpus':-1," WS "}", ERR_INVALID, "cpus");
	refused("{'agent':'shell','keep':1," WS "}", ERR_INVALID, "keep");
	refused("{'agent':'shell','env':[]," WS "}", ERR_INVALID, "env");
	refused("{'agent':'shell','env':{'A':1}," WS "}", ERR_INVALID, "A must be a string");
	refused("{'agent':'shell','env':{'1A':'x'}," WS "}", ERR_INVALID, "'1A'");
	refused("{'agent':'shell','env':{'A=B':'x'}," WS "}", ERR_INVALID, "A=B");
	refused("{'agent':'shell','env':{'':'x'}," WS "}", ERR_INVALID, "variable name");
}

static void wrong_workspaces(void **state)
{
	refused("{'agent':'shell'}", ERR_INVALID, "workspaces");
	refused("{'agent':'shell','workspaces':[]}", ERR_INVALID, "1 to 16");
	refused("{'agent':'shell','workspaces':['/x']}", ERR_INVALID, "workspaces[0]");
	refused("{'agent':'shell','workspaces':[{'path':'%/home/proj','ro':true}]}", ERR_INVALID, "\"ro\"");
	refused("{'agent':'shell','workspaces':[{'path':'proj'}]}", ERR_INVALID, "absolute");
	refused("{'agent':'shell','workspaces':[{'path':'%/none'}]}", ERR_NOT_FOUND, "/none does not exist");
	refused("{'agent':'shell','workspaces':[{'path':'%/home/file/x'}]}", ERR_NOT_FOUND, "does not exist");
	refused("{'agent':'shell','workspaces':[{'path':'%/home/file'}]}", ERR_INVALID,
		"first workspace must be a folder");
	refused("{'agent':'shell','workspaces':[{'path':'%/home/a\\nb'}]}", ERR_INVALID, "control characters");
	refused("{'agent':'shell','workspaces':[{'path':'%/home/proj'},{'path':'%/home/link'}]}", ERR_INVALID, "twice");
	refused("{'agent':'shell','workspaces':[{'path':'%/home/proj'},{'path':'%/home/proj/inner','readonly':true}]}",
		ERR_INVALID, "read-only");
	refused("{'agent':'shell','workspaces':[{'path':'%/home/proj'},{'path':'/dev/null'}]}", ERR_INVALID, "/dev");
}

static void forbidden_places(void **state)
{
	static const char *const places[] = { "/", "/etc", "/usr/bin", "/proc/self", "/tmp", "/home", "/dev/shm" };
	char text[200];

	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		(void)snprintf(text, sizeof(text), "{'agent':'shell','workspaces':[{'path':'%s'}]}", places[i]);
		refused(text, ERR_INVALID, "system folder");
	}
	refused("{'agent':'shell','workspaces':[{'path':'%/home/.local/state/sbx'}]}", ERR_INVALID,
		"inside sbx's own state");
	refused("{'agent':'shell','workspaces':[{'path':'%/home/.local/state/sbx/sandboxes'}]}", ERR_INVALID,
		"state directory");
	refused("{'agent':'shell','workspaces':[{'path':'%/home/.cache/sbx'}]}", ERR_INVALID, "cache directory");
	refused("{'agent':'shell','workspaces':[{'path':'%/home'}]}", ERR_INVALID, "contains sbx's own");
	refused("{'agent':'shell','workspaces':[{'path':'%'}]}", ERR_INVALID, "contains sbx's own");
	refused("{'agent':'shell','workspaces':[{'path':'%/home/proj'},{'path':'%/home'}]}", ERR_INVALID,
		"contains sbx's own");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_least),        cmocka_unit_test(everything),       cmocka_unit_test(wrong_fields),
		cmocka_unit_test(wrong_workspaces), cmocka_unit_test(forbidden_places),
	};

	return cmocka_run_group_tests_name("daemon_create", tests, setup, teardown);
}
