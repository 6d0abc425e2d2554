/* SPDX-License-Identifier: Apache-2.0
 *
 * packages: see packages.h.
 */
#include "image/packages.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/io.h"
#include "base/own.h"
#include "base/spawn.h"
#include "base/str.h"
#include "image/lines.h"
#include "image/run.h"

#define APT_TIMEOUT_MS 60000
#define APT_OUTPUT_MAX (1U << 20)
#define MAX_ARGS 256

/* A package or file name of Debian's, so that it can stand in an argument and a path. */
static bool name_ok(const char *s)
{
	return s[0] && s[0] != '.' && s[0] != '-' &&
	       s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+~_:%-")] == 0;
}

int packages_parse_kernel(const char *text, char *ret, size_t size)
{
	static const char depends[] = "Depends: ";
	char line[4096], name[256];

	while (lines_next(&text, line, sizeof(line))) {
		const char *s = strstr(line, "linux-image-");
		size_t n = s ? strcspn(s, " ,|()") : 0;

		if (!str_starts(line, depends) || !s)
			continue;
		if (n >= sizeof(name) || str_format(name, sizeof(name), "%.*s", (int)n, s) < 0 || !name_ok(name))
			return -ENOENT;
		return str_format(ret, size, "%s", name);
	}
	return -ENOENT;
}

int packages_parse_uri(const char *text, char *ret, size_t size)
{
	char line[4096], name[256];

	while (lines_next(&text, line, sizeof(line))) {
		const char *s = line[0] == '\'' ? strstr(line, "' ") : NULL;

		if (!s || str_format(name, sizeof(name), "%.*s", (int)strcspn(s + 2, " "), s + 2) < 0 || !name_ok(name))
			continue;
		return str_format(ret, size, "%s", name);
	}
	return -ENOENT;
}

/* Output of a short question to apt under the job's configuration. */
static int ask(const struct job *j, const char *const *words, char **ret, struct err *err)
{
	auto_free char *config = str_new("APT_CONFIG=%s/apt/apt.conf", j->dir);
	const char *argv[16] = { "env", config };
	struct spawn s = { .path = argv[0], .argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1 };

	if (!config)
		return err_errno(err, ENOMEM, "cannot ask apt");
	for (size_t i = 0; words[i] && i + 3 < ARRAY_LEN(argv); i++)
		argv[i + 2] = words[i];
	return spawn_run(&s, APT_TIMEOUT_MS, APT_OUTPUT_MAX, ret, err);
}

/* The machine's own settings of how to download, which hold for this too. */
static int write_acquire(const struct job *j, struct buf *out, struct err *err)
{
	static const char *const argv[] = { "apt-config", "dump", NULL };
	const struct spawn s = { .path = argv[0], .argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1 };
	auto_free char *text = NULL;
	char line[4096];
	const char *at;
	int r = spawn_run(&s, APT_TIMEOUT_MS, APT_OUTPUT_MAX, &text, err);

	if (r < 0)
		return r;
	at = text;
	while (r == 0 && lines_next(&at, line, sizeof(line)))
		/* Which indexes to fetch is not the machine's to say here. */
		if (str_starts(line, "Acquire::") && !str_starts(line, "Acquire::IndexTargets") &&
		    !str_starts(line, "Acquire::Languages"))
			r = buf_printf(out, "%s\n", line);
	if (r == 0)
		r = buf_append_str(out, "Acquire::Languages \"none\";\n");
	if (r == 0)
		r = io_write_file_atomic(j->fd, PACKAGES_ACQUIRE, buf_bytes(out), buf_len(out), 0600);
	return r < 0 ? err_errno(err, -r, "cannot write %s/" PACKAGES_ACQUIRE, j->dir) : 0;
}

static int write_config(const struct job *j, const struct source *source, struct err *err)
{
	const char *arch = j->template->arch, *d = j->dir;
	struct buf conf, list;
	int r;

	buf_init(&conf, APT_OUTPUT_MAX);
	buf_init(&list, 4096);
	r = write_acquire(j, &conf, err);
	if (r == 0) {
		r = buf_printf(&conf,
			       "Dir \"%s/apt\";\nDir::State \"state\";\nDir::State::status \"%s/apt/status\";\n"
			       "Dir::Cache \"cache\";\nDir::Cache::archives \"%s/" PACKAGES_ARCHIVES "\";\nDir::Etc \"etc\";\n"
			       "APT::Architecture \"%s\";\nAPT::Architectures \"%s\";\nAPT::Sandbox::User \"root\";\n"
			       "APT::Install-Recommends \"false\";\nAPT::Keep-Downloaded-Packages \"true\";\n"
			       "APT::Update::Error-Mode \"any\";\nAPT::Status-Fd \"1\";\nAPT::Get::Assume-Yes \"true\";\n",
			       d, d, d, arch, arch);
		if (r == 0)
			r = source_list(source, j->template->suite, &list);
		if (r == 0)
			r = io_write_file_atomic(j->fd, "apt/apt.conf", buf_bytes(&conf), buf_len(&conf), 0600);
		if (r == 0)
			r = io_write_file_atomic(j->fd, "apt/etc/sources.list", buf_bytes(&list), buf_len(&list), 0600);
		if (r == 0)
			r = io_write_file_atomic(j->fd, "apt/status", "", 0, 0600);
		if (r < 0)
			r = err_errno(err, -r, "cannot write apt's configuration below %s", d);
	}
	buf_done(&conf);
	buf_done(&list);
	return r;
}

static int make_dirs(const struct job *j, struct err *err)
{
	static const char *const dirs[] = { "apt/etc/apt.conf.d", "apt/etc/preferences.d", "apt/etc/trusted.gpg.d",
					    "apt/state/lists/partial", "apt/cache", PACKAGES_ARCHIVES "/partial",
					    PACKAGES_KERNEL };

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		auto_free char *path = str_new("%s/%s", j->dir, dirs[i]);
		int r = path ? io_mkdirs(path, 0700) : -ENOMEM;

		if (r < 0)
			return err_errno(err, -r, "cannot make %s/%s", j->dir, dirs[i]);
	}
	return 0;
}

/* "dlstatus:1:41.5083:Retrieving file 3 of 600" is for the progress line. */
static bool apt_line(void *user, const char *line)
{
	const struct job *j = user;
	char digits[4] = { 0 };
	uint64_t percent;

	if (!str_starts(line, "dlstatus:"))
		return str_starts(line, "pmstatus:");
	line = strchr(line + sizeof("dlstatus:") - 1, ':');
	if (line && strcspn(line + 1, ".:") < sizeof(digits)) {
		memcpy(digits, line + 1, strcspn(line + 1, ".:"));
		if (str_u64(digits, 100, &percent) == 0)
			progress_percent(j->progress, (int)percent);
	}
	return true;
}

static int apt(const struct job *j, const char *const *words, const char *const *more, struct err *err)
{
	auto_free char *config = str_new("APT_CONFIG=%s/apt/apt.conf", j->dir);
	const char *argv[MAX_ARGS + 2] = { "env", config };
	struct run run = { .argv = argv, .stdin_fd = -1, .stdout_fd = -1, .line = apt_line, .user = (void *)(uintptr_t)j };
	size_t n = 2;

	if (!config)
		return err_errno(err, ENOMEM, "cannot start apt");
	for (; *words && n < MAX_ARGS; words++)
		argv[n++] = *words;
	for (; more && *more && n < MAX_ARGS; more++)
		argv[n++] = *more;
	if (*words || (more && *more))
		return err_set(err, ERR_INTERNAL, E2BIG, "the template has too many packages");
	return run_tool(&run, j, err);
}

/* The template's packages, and the essential ones that mmdebstrap's minimal variant takes. */
static int download_all(const struct job *j, struct err *err)
{
	static const char *const words[] = { "apt-get", "install", "--download-only", "?essential", "?priority(required)",
					     "apt", NULL };
	char names[MAX_ARGS][80];
	const char *more[MAX_ARGS + 1] = { 0 }, *at = j->template->packages;
	size_t n = 0;

	while (n < MAX_ARGS && lines_entry(&at, names[n], sizeof(names[n]))) {
		more[n] = names[n];
		n++;
	}
	return apt(j, words, more, err);
}

static int download_kernel(const struct job *j, char *ret, size_t size, struct err *err)
{
	auto_free char *shown = NULL, *uris = NULL;
	char package[256];
	const char *show[] = { "apt-cache", "show", "--no-all-versions", j->template->kernel, NULL };
	const char *uri[] = { "apt-get", "--print-uris", "download", package, NULL };
	/* It downloads into the directory that it is started in. */
	const char *get[] = { "sh", "-c", "cd " PACKAGES_KERNEL " && exec apt-get download \"$0\"", package, NULL };
	int r = ask(j, show, &shown, err);

	if (r == 0 && packages_parse_kernel(shown, package, sizeof(package)) < 0)
		r = err_set(err, ERR_UNAVAILABLE, ENOENT, "Debian's package %s names no kernel", j->template->kernel);
	if (r == 0)
		r = ask(j, uri, &uris, err);
	if (r == 0 && packages_parse_uri(uris, ret, size) < 0)
		r = err_set(err, ERR_UNAVAILABLE, ENOENT, "apt does not know where to get %s", package);
	if (r == 0)
		r = apt(j, get, NULL, err);
	return r;
}

static size_t count_archives(const struct job *j)
{
	int fd = openat(j->fd, PACKAGES_ARCHIVES, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_dir DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	size_t n = 0;

	while (d && (e = readdir(d)))
		n += str_ends(e->d_name, ".deb");
	return n;
}

int packages_fetch(const struct job *j, const struct source *source, struct packages *ret, struct err *err)
{
	static const char *const update[] = { "apt-get", "update", NULL };
	struct packages p = { 0 };
	int r;

	/* They stand within quotes of apt's configuration. */
	if (strpbrk(j->dir, "\"\\\n"))
		return err_set(err, ERR_INVALID, EINVAL, "%.300s: the cache directory's name must have no quote and no backslash",
			       j->dir);
	r = make_dirs(j, err);
	if (r == 0)
		r = write_config(j, source, err);
	if (r == 0)
		r = apt(j, update, NULL, err);
	if (r == 0)
		r = download_kernel(j, p.kernel, sizeof(p.kernel), err);
	if (r == 0)
		r = download_all(j, err);
	if (r < 0)
		return r == -EINTR ? r : err_wrap(err, "cannot download the template's packages");
	p.count = count_archives(j);
	*ret = p;
	return 0;
}
