/* SPDX-License-Identifier: Apache-2.0
 *
 * source: see source.h. Where the machine's own package lists are missing (a fresh container image), the Release
 * files alone are fetched into the job's directory, which needs no root.
 */
#include "image/source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/io.h"
#include "base/own.h"
#include "base/spawn.h"
#include "base/str.h"
#include "image/lines.h"
#include "image/run.h"

#define KEYRING "/usr/share/keyrings/debian-archive-keyring.gpg"
#define APT_TIMEOUT_MS 60000
#define APT_OUTPUT_MAX (4U << 20)
#define RELEASE_MAX (4U << 20)

/* The next field up to a tab, copied where dst is given; false where it does not fit. */
static bool field(const char **at, char *dst, size_t size)
{
	size_t n = strcspn(*at, "\t");
	bool fits = n < size;

	if (fits) {
		memcpy(dst, *at, n);
		dst[n] = 0;
	}
	*at += n + ((*at)[n] == '\t');
	return fits;
}

bool source_parse_target(const char *line, struct source_target *ret)
{
	char kind[32], component[64], key[256];
	struct source_target t;
	char *end;

	if (!field(&line, kind, sizeof(kind)) || !field(&line, component, sizeof(component)) ||
	    !field(&line, t.release, sizeof(t.release)) || !field(&line, t.uri, sizeof(t.uri)) ||
	    !field(&line, key, sizeof(key)) || !field(&line, t.file, sizeof(t.file)))
		return false;
	if (!str_eq(kind, "Packages") || !str_eq(component, "main") || t.uri[0] == 0 ||
	    t.uri[strspn(t.uri, "!#$%&'()*+,-./0123456789:;=?@ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~")])
		return false;
	/* PREFIX_main_binary-amd64_Packages[.lz4] lies beside PREFIX_InRelease. */
	for (char *p = key; *p; p++)
		if (*p == '/')
			*p = '_';
	end = key[0] ? strstr(t.file, key) : NULL;
	if (!end)
		return false;
	*end = 0;
	*ret = t;
	return true;
}

static void release_field(const char *line, const char *name, char *dst, size_t size)
{
	size_t n = strlen(name), len = strcspn(line, "\r\n");

	if (dst[0] || len <= n || strncmp(line, name, n) != 0)
		return;
	line += n;
	len -= n;
	while (len > 0 && *line == ' ') {
		line++;
		len--;
	}
	(void)str_format(dst, size, "%.*s", (int)(len < size ? len : 0), line);
}

void source_parse_release(const char *text, char *ret_origin, char *ret_label, size_t size)
{
	ret_origin[0] = ret_label[0] = 0;
	while (text && *text) {
		release_field(text, "Origin:", ret_origin, size);
		release_field(text, "Label:", ret_label, size);
		text = strchr(text, '\n');
		text = text ? text + 1 : NULL;
	}
}

/* A list of mirrors in a file stands for its first one: an image cannot name a file of this machine. */
static int resolve(const char *uri, char *ret, size_t size)
{
	static const char scheme[] = "mirror+file:";
	auto_free char *text = NULL;
	char path[512], entry[512];
	const char *at;
	int r;

	if (!str_starts(uri, scheme))
		return str_format(ret, size, "%s", uri);
	r = str_format(path, sizeof(path), "%s", uri + sizeof(scheme) - 1);
	if (str_ends(path, "/"))
		path[strlen(path) - 1] = 0; /* apt adds one to every URI */
	if (r == 0)
		r = io_read_file(AT_FDCWD, path, 65536, &text, NULL);
	if (r < 0)
		return r;
	at = text;
	if (!lines_entry(&at, entry, sizeof(entry)))
		return -ENOENT;
	entry[strcspn(entry, " \t")] = 0;
	return str_format(ret, size, "%s", entry);
}

static void consider(const struct source_target *t, struct source *s)
{
	static const char *const names[] = { "InRelease", "Release" };
	char path[1100], origin[64], label[64];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		auto_free char *text = NULL;

		if (str_format(path, sizeof(path), "%s%s", t->file, names[i]) < 0 ||
		    io_read_file(AT_FDCWD, path, RELEASE_MAX, &text, NULL) < 0)
			continue;
		source_parse_release(text, origin, label, sizeof(origin));
		if (!str_eq(origin, "Debian") || str_starts(t->uri, "cdrom:"))
			continue;
		if (str_eq(label, "Debian-Security") && !s->security[0])
			(void)resolve(t->uri, s->security, sizeof(s->security));
		else if (str_eq(label, "Debian") && str_ends(t->release, "-updates"))
			s->updates = true;
		else if (str_eq(label, "Debian") && !s->main[0])
			(void)resolve(t->uri, s->main, sizeof(s->main));
	}
}

/* What apt's configuration names, judged by the Release files in `lists` (NULL: the machine's own). */
static int look(const char *lists, struct source *ret, struct err *err)
{
	auto_free char *out = NULL, *option = str_new("Dir::State::lists=%s", lists ? lists : "");
	const char *argv[] = { "apt-get", "indextargets", "--no-release-info", "--format", SOURCE_FORMAT, NULL, NULL, NULL };
	struct spawn s = { .path = argv[0], .argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1 };
	char line[2600];
	const char *at;
	int r;

	if (!option)
		return err_errno(err, ENOMEM, "cannot ask apt");
	if (lists) {
		argv[5] = "-o";
		argv[6] = option;
	}
	r = spawn_run(&s, APT_TIMEOUT_MS, APT_OUTPUT_MAX, &out, err);
	if (r < 0)
		return r;
	*ret = (struct source){ 0 };
	at = out;
	while (lines_next(&at, line, sizeof(line))) {
		struct source_target t;

		if (source_parse_target(line, &t))
			consider(&t, ret);
	}
	return 0;
}

static int fetch_releases(const struct job *j, char *lists, size_t size, struct err *err)
{
	auto_free char *o_lists = NULL, *o_cache = str_new("Dir::Cache=%s/host/cache", j->dir);
	auto_free char *partial = str_new("%s/host/lists/partial", j->dir);
	auto_free char *archives = str_new("%s/host/cache/archives/partial", j->dir);
	int r = str_format(lists, size, "%s/host/lists", j->dir);

	o_lists = str_new("Dir::State::lists=%s/host/lists", j->dir);
	if (r < 0 || !o_lists || !o_cache || !partial || !archives)
		return err_errno(err, ENOMEM, "cannot ask apt");
	r = io_mkdirs(partial, 0700);
	if (r == 0)
		r = io_mkdirs(archives, 0700);
	if (r < 0)
		return err_errno(err, -r, "cannot make %s", partial);
	{
		const char *argv[] = { "apt-get", "update", "-o", o_lists, "-o", o_cache, "-o", "APT::Sandbox::User=root", "-o",
				       "Acquire::IndexTargets::deb::Packages::DefaultEnabled=false", "-o",
				       "Acquire::IndexTargets::deb::Translations::DefaultEnabled=false", "-o",
				       "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false", NULL };
		struct run run = { .argv = argv, .stdin_fd = -1, .stdout_fd = -1 };

		return run_tool(&run, j, err);
	}
}

int source_find(const struct job *j, struct source *ret, struct err *err)
{
	struct source s = { 0 };
	struct err update = { 0 };
	char lists[4200];
	int r = look(NULL, &s, err);

	if (r == 0 && !s.main[0]) {
		/* A failure here may be another archive's: what counts is whether Debian's is known then. */
		r = fetch_releases(j, lists, sizeof(lists), &update);
		if (r == -EINTR) {
			*err = update;
			return r;
		}
		r = look(lists, &s, err);
	}
	if (r < 0)
		return r;
	if (!s.main[0])
		return err_set(err, ERR_UNAVAILABLE, ENOENT,
			       "apt of this machine reaches no Debian archive%s%.200s: the template is made from Debian's packages; "
			       "check /etc/apt/sources.list and the network (apt-get update must work)",
			       update.msg[0] ? ": " : "", update.msg);
	if (faccessat(AT_FDCWD, KEYRING, R_OK, 0) < 0)
		return err_set(err, ERR_UNAVAILABLE, ENOENT,
			       "%s is missing, with the keys that prove Debian's packages: apt-get install debian-archive-keyring",
			       KEYRING);
	*ret = s;
	return 0;
}

int source_list(const struct source *s, const char *suite, struct buf *out)
{
	int r = buf_printf(out, "deb [signed-by=%s] %s %s main\n", KEYRING, s->main, suite);

	if (r == 0 && s->updates)
		r = buf_printf(out, "deb [signed-by=%s] %s %s-updates main\n", KEYRING, s->main, suite);
	if (r == 0 && s->security[0])
		r = buf_printf(out, "deb [signed-by=%s] %s %s-security main\n", KEYRING, s->security, suite);
	return r;
}
