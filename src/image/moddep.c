/* SPDX-License-Identifier: Apache-2.0
 *
 * moddep: see moddep.h. A depth-first walk over a text of a thousand lines for a dozen names: searched from its
 * beginning each time, which costs less than an index would.
 */
#include "image/moddep.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"
#include "image/lines.h"

#define NAME 64
#define DEPTH 24

struct walk {
	const struct moddep *in; /* borrowed */
	struct moddep_order order;
	const char *open[DEPTH]; /* lines of modules.dep that are being added, borrowed */
	int depth;
};

int moddep_name(const char *path, size_t n, char *ret, size_t size)
{
	size_t len = 0, begin = 0;

	for (size_t i = 0; i < n; i++)
		if (path[i] == '/')
			begin = i + 1;
	while (begin + len < n && path[begin + len] != '.')
		len++;
	if (len == 0 || len >= size)
		return -ENAMETOOLONG;
	for (size_t i = 0; i < len; i++)
		ret[i] = path[begin + i] == '-' ? '_' : path[begin + i];
	ret[len] = 0;
	return 0;
}

/* The first line whose text up to `end` is a path of module `name`; NULL where there is none. */
static const char *find_line(const char *s, char end, const char *name)
{
	char have[NAME];

	while (*s) {
		size_t line = strcspn(s, "\n"), n = 0;

		while (n < line && s[n] != end)
			n++;
		if ((end == '\n' || n < line) && moddep_name(s, n, have, sizeof(have)) == 0 && str_eq(have, name))
			return s;
		s += line + (s[line] == '\n');
	}
	return NULL;
}

static int add(struct walk *w, const char *name, bool soft, struct err *err);

/* Adds the modules that stand in s[0..n), separated by blanks, from the last to the first. */
static int add_backwards(struct walk *w, const char *s, size_t n, struct err *err)
{
	char name[NAME];

	while (n > 0) {
		size_t end, begin;

		while (n > 0 && s[n - 1] == ' ')
			n--;
		end = begin = n;
		while (begin > 0 && s[begin - 1] != ' ')
			begin--;
		if (begin == end)
			break;
		if (moddep_name(s + begin, end - begin, name, sizeof(name)) < 0)
			return err_set(err, ERR_INVALID, EINVAL, "the kernel's modules.dep has a name that is too long");
		if (add(w, name, false, err) < 0)
			return err_code(err);
		n = begin;
	}
	return 0;
}

/* What a "softdep NAME pre: a b post: c" line says is to be loaded before; what is missing is no loss. */
static int add_soft(struct walk *w, const char *name, struct err *err)
{
	const char *s = w->in->softdep;

	while (*s) {
		size_t line = strcspn(s, "\n"), at = 0;
		bool pre = false, mine = false;

		for (int word = 0; at < line; word++) {
			size_t n = 0;
			char have[NAME];

			while (at + n < line && s[at + n] != ' ')
				n++;
			if (moddep_name(s + at, n, have, sizeof(have)) < 0)
				have[0] = 0;
			if (word == 0 && !str_eq(have, "softdep"))
				break;
			if (word == 1)
				mine = str_eq(have, name);
			if (word >= 2 && n > 0 && s[at + n - 1] == ':')
				pre = str_eq(have, "pre:");
			else if (word >= 2 && mine && pre && add(w, have, true, err) < 0)
				return err_code(err);
			at += n + 1;
		}
		s += line + (s[line] == '\n');
	}
	return 0;
}

static bool has(const struct moddep_order *o, const char *path, size_t n)
{
	for (size_t i = 0; i < o->n; i++)
		if (strlen(o->path[i]) == n && memcmp(o->path[i], path, n) == 0)
			return true;
	return false;
}

static bool is_open(const struct walk *w, const char *line)
{
	for (int i = 0; i < w->depth; i++)
		if (w->open[i] == line)
			return true;
	return false;
}

static int append(struct walk *w, const char *path, size_t n, struct err *err)
{
	if (w->order.n == MODDEP_MAX)
		return err_set(err, ERR_INVALID, E2BIG, "more than %d modules are needed before the root disk", MODDEP_MAX);
	w->order.path[w->order.n] = strndup(path, n);
	if (!w->order.path[w->order.n])
		return err_errno(err, ENOMEM, "cannot sort the kernel's modules");
	w->order.n++;
	return 0;
}

static int add(struct walk *w, const char *name, bool soft, struct err *err)
{
	const char *line = find_line(w->in->dep, ':', name);
	size_t n;
	int r;

	if (!line)
		return soft || find_line(w->in->builtin, '\n', name) ? 0 :
			       err_set(err, ERR_NOT_FOUND, ENOENT, "the kernel has no module %s", name);
	n = strcspn(line, ":");
	/* Soft dependencies may be circular; they are hints, so the circle is cut. Hard ones never are (depmod). */
	if (has(&w->order, line, n) || is_open(w, line))
		return 0;
	if (w->depth == DEPTH)
		return err_set(err, ERR_INVALID, ELOOP, "the module %s depends on too many others", name);
	w->open[w->depth++] = line;
	r = add_backwards(w, line + n + 1, strcspn(line + n + 1, "\n"), err);
	if (r == 0)
		r = add_soft(w, name, err);
	if (r == 0)
		r = append(w, line, n, err);
	w->depth--;
	return r;
}

int moddep_sort(const struct moddep *in, const char *wanted, struct moddep_order *ret, struct err *err)
{
	struct walk w = { .in = in };
	struct err e = { 0 };
	char entry[NAME], name[NAME];
	int r = 0;

	while (r == 0 && lines_entry(&wanted, entry, sizeof(entry)))
		r = moddep_name(entry, strlen(entry), name, sizeof(name)) < 0 ? 0 : add(&w, name, false, &e);
	if (r < 0) {
		moddep_done(&w.order);
		if (err)
			*err = e;
		return r;
	}
	*ret = w.order;
	return 0;
}

void moddep_done(struct moddep_order *o)
{
	for (size_t i = 0; i < o->n; i++)
		free(o->path[i]);
	*o = (struct moddep_order){ 0 };
}
