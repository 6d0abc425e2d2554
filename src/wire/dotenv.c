/* SPDX-License-Identifier: Apache-2.0
 *
 * dotenv: see dotenv.h. Enters: a file of the user's, or of a project that he has not looked at.
 */
#include "wire/dotenv.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

void dotenv_init(struct dotenv *d, const char *text, size_t n)
{
	*d = (struct dotenv){ .at = text, .end = text + n };
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static void skip_blanks(struct dotenv *d)
{
	while (d->at < d->end && is_blank(*d->at))
		d->at++;
}

/* Past the line's end. */
static void skip_line(struct dotenv *d)
{
	while (d->at < d->end && *d->at++ != '\n')
		;
}

static bool in_name(char c, bool first)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' || (!first && ((c >= '0' && c <= '9') || c == '.' || c == '-'));
}

static int read_name(struct dotenv *d, struct dotenv_entry *e)
{
	size_t n = 0;

	while (d->at < d->end && in_name(*d->at, n == 0)) {
		if (n == DOTENV_NAME - 1)
			return -EMSGSIZE;
		e->name[n++] = *d->at++;
	}
	e->name[n] = 0;
	return n ? 0 : -EBADMSG;
}

static int put(struct dotenv_entry *e, char c)
{
	if (c == 0)
		return -EBADMSG;
	if (e->n == DOTENV_VALUE)
		return -EMSGSIZE;
	e->value[e->n++] = c;
	return 0;
}

static char unescape(char c)
{
	switch (c) {
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 't':
		return '\t';
	case '"':
	case '\\':
	case '$':
	case '`':
		return c;
	default:
		return 0;
	}
}

static int read_quoted(struct dotenv *d, struct dotenv_entry *e)
{
	char quote = *d->at++;
	int r = 0;

	while (d->at < d->end && *d->at != quote && r == 0) {
		char c = *d->at++;
		char meant = quote == '"' && c == '\\' && d->at < d->end ? unescape(*d->at) : 0;

		if (c == '\n')
			d->line++;
		if (meant)
			d->at++;
		r = put(e, meant ? meant : c);
	}
	if (r < 0)
		return r;
	if (d->at == d->end)
		return -EBADMSG;
	d->at++;
	skip_blanks(d);
	return d->at == d->end || *d->at == '\n' || *d->at == '#' ? 0 : -EBADMSG;
}

static int read_bare(struct dotenv *d, struct dotenv_entry *e)
{
	int r = 0;

	while (d->at < d->end && *d->at != '\n' && !(*d->at == '#' && (e->n == 0 || is_blank(d->at[-1]))) && r == 0)
		r = put(e, *d->at++);
	while (e->n > 0 && is_blank(e->value[e->n - 1]))
		e->n--;
	return r;
}

static int read_entry(struct dotenv *d, struct dotenv_entry *e)
{
	static const char word[] = "export";
	int r = read_name(d, e);

	if (r == 0 && strcmp(e->name, word) == 0 && d->at < d->end && is_blank(*d->at)) {
		skip_blanks(d);
		r = read_name(d, e);
	}
	skip_blanks(d);
	if (r < 0)
		return r;
	if (d->at == d->end || *d->at != '=')
		return -EBADMSG;
	d->at++;
	skip_blanks(d);
	r = d->at < d->end && (*d->at == '"' || *d->at == '\'') ? read_quoted(d, e) : read_bare(d, e);
	e->value[e->n] = 0;
	return r;
}

int dotenv_next(struct dotenv *d, struct dotenv_entry *ret)
{
	while (d->at < d->end) {
		size_t lines_before;
		int r;

		d->line++;
		skip_blanks(d);
		if (d->at == d->end)
			return 0;
		if (*d->at == '\n' || *d->at == '#') {
			skip_line(d);
			continue;
		}
		lines_before = d->line;
		memset(ret, 0, sizeof(*ret));
		r = read_entry(d, ret);
		if (r < 0)
			d->line = lines_before;
		skip_line(d);
		return r < 0 ? r : 1;
	}
	return 0;
}
