/* SPDX-License-Identifier: Apache-2.0
 *
 * hostmem: see hostmem.h. A group's page cache is given up before the group runs out, so what is not in use of it
 * (inactive_file) is available; the same estimate as the kernel's own for the host.
 */
#include "base/hostmem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"

#define TEXT_MAX 65536

/* How the two versions of control groups name things. */
struct version {
	const char *mount, *limit, *used, *idle;
};

static const struct version v1 = { "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file" };
static const struct version v2 = { "/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file" };

static char *read_text(const char *path)
{
	char *text = NULL;

	return path && io_read_file(AT_FDCWD, path, TEXT_MAX, &text, NULL) == 0 ? text : NULL;
}

/* The number at the beginning of text. */
static int number(const char *text, uint64_t *ret)
{
	char digits[24];

	text += strspn(text, " \t");
	if (str_format(digits, sizeof(digits), "%.*s", (int)strspn(text, "0123456789"), text) < 0)
		return -ERANGE;
	return str_u64(digits, UINT64_MAX, ret);
}

/* The number after key at the beginning of a line. */
static int field(const char *text, const char *key, uint64_t *ret)
{
	size_t n = strlen(key);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, n) == 0 && strchr(": \t", line[n]) && line[n])
			return number(line + n + 1, ret);
	}
	return -ENOENT;
}

static int read_number(const char *root, const struct version *v, const char *group, const char *file, uint64_t *ret)
{
	auto_free char *path = str_new("%s%s%s/%s", root, v->mount, group, file), *text = read_text(path);

	return text ? number(text, ret) : -ENOENT; /* "max" is none */
}

static void look_at(const char *root, const struct version *v, const char *group, struct hostmem *m)
{
	auto_free char *path = str_new("%s%s%s/memory.stat", root, v->mount, group), *stat = read_text(path);
	uint64_t limit, used, idle = 0, left;

	if (read_number(root, v, group, v->limit, &limit) < 0 || read_number(root, v, group, v->used, &used) < 0)
		return;
	if (stat && field(stat, v->idle, &idle) < 0)
		idle = 0;
	used = used > idle ? used - idle : 0;
	left = limit > used ? limit - used : 0;
	if (limit < m->total)
		m->total = limit;
	if (left >= m->available)
		return;
	m->available = left;
	if (str_format(m->group, sizeof(m->group), "%s", *group ? group : "/") < 0)
		m->group[sizeof(m->group) - 1] = 0;
}

/* A group and those above it. */
static void look_up_from(const char *root, const struct version *v, const char *group, struct hostmem *m)
{
	auto_free char *at = strdup(str_eq(group, "/") ? "" : group);
	char *slash;

	if (!at || strstr(at, "/../"))
		return;
	look_at(root, v, at, m);
	while ((slash = strrchr(at, '/'))) {
		*slash = 0;
		look_at(root, v, at, m);
	}
}

/* Lines "0::/group" (version 2) and "N:controller,controller:/group" (version 1). */
static void look_at_groups(const char *root, char *text, struct hostmem *m)
{
	char *line, *rest = text;

	while ((line = strsep(&rest, "\n"))) {
		char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL, *one;

		if (!group)
			continue;
		*controllers++ = 0;
		*group++ = 0;
		if (str_eq(line, "0") && !*controllers)
			look_up_from(root, &v2, group, m);
		while ((one = strsep(&controllers, ",")))
			if (str_eq(one, "memory"))
				look_up_from(root, &v1, group, m);
	}
}

int hostmem_read(const char *root, struct hostmem *ret)
{
	auto_free char *meminfo = str_new("%s/proc/meminfo", root), *groups = str_new("%s/proc/self/cgroup", root);
	auto_free char *host = read_text(meminfo), *mine = read_text(groups);
	struct hostmem m = { 0 };

	if (!host)
		return -ENOENT;
	if (field(host, "MemTotal", &m.total) < 0 || field(host, "MemAvailable", &m.available) < 0)
		return -EPROTO;
	m.total = m.total << 10;
	m.available = m.available << 10;
	if (mine)
		look_at_groups(root, mine, &m);
	*ret = m;
	return 0;
}
