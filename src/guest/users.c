/* SPDX-License-Identifier: Apache-2.0
 *
 * users: see users.h. Lines that do not parse are skipped, as libc does: the files belong to whoever works in the
 * sandbox. Nothing here writes.
 */
#include "guest/users.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"

#define FIELDS_MAX 8

struct span {
	const char *at;
	size_t n;
};

static bool span_is(struct span s, const char *text)
{
	return strlen(text) == s.n && memcmp(s.at, text, s.n) == 0;
}

static int span_id(struct span s, uint32_t *ret)
{
	char text[16];
	uint64_t v;

	if (s.n == 0 || s.n >= sizeof(text))
		return -EINVAL;
	memcpy(text, s.at, s.n);
	text[s.n] = 0;
	/* 2^32 - 1 means "no change" to the kernel. */
	if (str_u64(text, UINT32_MAX - 1, &v) < 0)
		return -EINVAL;
	*ret = (uint32_t)v;
	return 0;
}

static int span_copy(char *dst, size_t size, struct span s)
{
	if (s.n >= size)
		return -ENAMETOOLONG;
	memcpy(dst, s.at, s.n);
	dst[s.n] = 0;
	return 0;
}

/* The next piece of *text up to a separator, which is eaten; false at the end. */
static bool next_piece(const char **text, const char *end, char sep, struct span *ret)
{
	const char *stop;

	if (*text > end || !*text)
		return false;
	stop = memchr(*text, sep, (size_t)(end - *text));
	*ret = (struct span){ .at = *text, .n = (size_t)((stop ? stop : end) - *text) };
	*text = stop ? stop + 1 : end + 1;
	return true;
}

static size_t split(struct span line, struct span fields[FIELDS_MAX])
{
	const char *at = line.at, *end = line.at + line.n;
	size_t n = 0;

	while (n < FIELDS_MAX && next_piece(&at, end, ':', &fields[n]))
		n++;
	return n;
}

/* One passwd line into *ret where it is whole. */
static bool read_user(struct span line, struct user *ret)
{
	struct span f[FIELDS_MAX];
	struct user u = { 0 };

	if (split(line, f) != 7 || f[0].n == 0 || span_id(f[2], &u.uid) < 0 || span_id(f[3], &u.gid) < 0 ||
	    span_copy(u.name, sizeof(u.name), f[0]) < 0 || span_copy(u.home, sizeof(u.home), f[5]) < 0 ||
	    span_copy(u.shell, sizeof(u.shell), f[6]) < 0)
		return false;
	if (u.home[0] != '/')
		(void)str_format(u.home, sizeof(u.home), "/");
	if (u.shell[0] != '/')
		(void)str_format(u.shell, sizeof(u.shell), "/bin/sh");
	*ret = u;
	return true;
}

static bool find_user(const char *passwd, struct span who, struct user *ret)
{
	const char *at = passwd, *end = passwd + strlen(passwd);
	bool number = false;
	uint32_t uid = 0;
	struct span line;
	struct user u;

	/* Names first: a user may be called "1000". */
	for (int pass = 0; pass < 2; pass++) {
		for (at = passwd; next_piece(&at, end, '\n', &line);)
			if (read_user(line, &u) && (number ? u.uid == uid : span_is(who, u.name))) {
				*ret = u;
				return true;
			}
		number = span_id(who, &uid) == 0;
		if (!number)
			break;
	}
	return false;
}

static bool has_member(struct span members, const char *name)
{
	const char *at = members.at, *end = members.at + members.n;
	struct span m;

	while (next_piece(&at, end, ',', &m))
		if (span_is(m, name))
			return true;
	return false;
}

/* initgroups(3): every group that lists the user. */
static void add_groups(const char *group, struct user *u)
{
	const char *at = group, *end = group + strlen(group);
	struct span line, f[FIELDS_MAX];
	uint32_t gid;

	while (u->ngroups < USERS_GROUPS_MAX && next_piece(&at, end, '\n', &line)) {
		bool known = false;

		if (split(line, f) != 4 || span_id(f[2], &gid) < 0 || gid == u->gid || !has_member(f[3], u->name))
			continue;
		for (size_t i = 0; i < u->ngroups; i++)
			known = known || u->groups[i] == gid;
		if (!known)
			u->groups[u->ngroups++] = gid;
	}
}

static int find_group(const char *group, struct span who, gid_t *ret)
{
	const char *at = group, *end = group + strlen(group);
	struct span line, f[FIELDS_MAX];
	uint32_t gid;

	while (next_piece(&at, end, '\n', &line))
		if (split(line, f) == 4 && who.n > 0 && f[0].n == who.n && memcmp(f[0].at, who.at, who.n) == 0 &&
		    span_id(f[2], &gid) == 0) {
			*ret = gid;
			return 0;
		}
	return span_id(who, ret);
}

int users_resolve(const char *passwd, const char *group, const char *spec, struct user *ret, struct err *err)
{
	const char *colon = strchr(spec, ':');
	struct span who = { .at = spec, .n = colon ? (size_t)(colon - spec) : strlen(spec) };
	struct user u = { 0 };

	if (!find_user(passwd, who, &u)) {
		if (span_id(who, &u.uid) < 0)
			return err_set(err, ERR_NOT_FOUND, ESRCH, "no user \"%.100s\" in the sandbox", spec);
		(void)str_format(u.name, sizeof(u.name), "%u", u.uid);
		(void)str_format(u.home, sizeof(u.home), "/");
		(void)str_format(u.shell, sizeof(u.shell), "/bin/sh");
	}
	if (colon) {
		struct span g = { .at = colon + 1, .n = strlen(colon + 1) };

		/* As with su -g: the group replaces the primary one, and the user's others stay out. */
		if (find_group(group, g, &u.gid) < 0)
			return err_set(err, ERR_NOT_FOUND, ESRCH, "no group \"%.100s\" in the sandbox", colon + 1);
	} else {
		add_groups(group, &u);
	}
	*ret = u;
	return 0;
}

int users_lookup(const char *spec, struct user *ret, struct err *err)
{
	auto_free char *passwd = NULL, *group = NULL;
	int r;

	r = io_read_file(AT_FDCWD, "/etc/passwd", USERS_FILE_MAX, &passwd, NULL);
	if (r < 0 && r != -ENOENT)
		return err_errno(err, -r, "cannot read /etc/passwd in the sandbox");
	r = io_read_file(AT_FDCWD, "/etc/group", USERS_FILE_MAX, &group, NULL);
	if (r < 0 && r != -ENOENT)
		return err_errno(err, -r, "cannot read /etc/group in the sandbox");
	return users_resolve(passwd ? passwd : "", group ? group : "", spec, ret, err);
}
