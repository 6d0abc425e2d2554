/* SPDX-License-Identifier: Apache-2.0
 *
 * challenge: see challenge.h.
 *
 *   field     = [ challenge ] *( OWS "," OWS [ challenge ] )
 *   challenge = scheme [ 1*SP ( token68 / [ param ] *( OWS "," OWS [ param ] ) ) ]
 *   param     = token BWS "=" BWS ( token / quoted-string )
 *
 * A comma ends a parameter or a challenge: what follows is a parameter where a "=" follows its first token, else a scheme.
 */
#include "wire/challenge.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "wire/httpmsg.h"

struct cursor {
	const char *at, *end;
};

static void blanks(struct cursor *c)
{
	while (c->at < c->end && (*c->at == ' ' || *c->at == '\t'))
		c->at++;
}

/* Commas and blanks. */
static void separators(struct cursor *c)
{
	while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == ','))
		c->at++;
}

static size_t token(struct cursor *c, const char **ret)
{
	*ret = c->at;
	while (c->at < c->end && httpmsg_is_token(c->at, 1))
		c->at++;
	return (size_t)(c->at - *ret);
}

static bool named(const char *s, size_t n, const char *name)
{
	return n == strlen(name) && strncasecmp(s, name, n) == 0;
}

static int put(char *dst, size_t *n, char c)
{
	if (c < ' ' || c > '~' || *n + 1 >= CHALLENGE_TEXT)
		return -EINVAL;
	dst[(*n)++] = c;
	return 0;
}

/* After the opening quote, to behind the closing one. */
static int quoted(struct cursor *c, char dst[CHALLENGE_TEXT])
{
	size_t n = 0;

	for (; c->at < c->end && *c->at != '"'; c->at++) {
		if (*c->at == '\\' && ++c->at == c->end)
			return -EINVAL;
		if (put(dst, &n, *c->at) < 0)
			return -EINVAL;
	}
	if (c->at == c->end)
		return -EINVAL;
	c->at++;
	dst[n] = 0;
	return 0;
}

static int value(struct cursor *c, char dst[CHALLENGE_TEXT])
{
	const char *s;
	size_t len, n = 0;

	blanks(c);
	if (c->at < c->end && *c->at == '"') {
		c->at++;
		return quoted(c, dst);
	}
	len = token(c, &s);
	for (size_t i = 0; i < len; i++)
		if (put(dst, &n, s[i]) < 0)
			return -EINVAL;
	dst[n] = 0;
	return len ? 0 : -EINVAL;
}

static char *place_of(struct challenge *ch, const char *name, size_t n, char spare[CHALLENGE_TEXT])
{
	if (named(name, n, "realm"))
		return ch->realm;
	if (named(name, n, "service"))
		return ch->service;
	return named(name, n, "scope") ? ch->scope : spare;
}

/* One "name = value". 1: what stands there is no parameter, and the cursor is where it was. */
static int parameter(struct cursor *c, struct challenge *ch)
{
	struct cursor was = *c;
	char spare[CHALLENGE_TEXT] = "", *dst;
	const char *name;
	size_t n = token(c, &name);

	blanks(c);
	if (n == 0 || c->at == c->end || *c->at != '=') {
		*c = was;
		return 1;
	}
	c->at++;
	dst = place_of(ch, name, n, spare);
	return dst[0] ? -EINVAL : value(c, dst);
}

/* A token68 stands alone after the scheme: it ends at a comma or the field's end, and is passed over. */
static bool token68(struct cursor *c)
{
	struct cursor was = *c;

	while (c->at < c->end && (httpmsg_is_token(c->at, 1) || *c->at == '/'))
		c->at++;
	while (c->at < c->end && *c->at == '=')
		c->at++;
	if (c->at > was.at) {
		blanks(c);
		if (c->at == c->end || *c->at == ',')
			return true;
	}
	*c = was;
	return false;
}

static int parameters(struct cursor *c, struct challenge *ch)
{
	int r;

	do {
		separators(c);
		if (c->at == c->end)
			return 0;
		r = parameter(c, ch);
		if (r == 0) {
			blanks(c);
			if (c->at < c->end && *c->at != ',')
				return -EINVAL;
		}
	} while (r == 0);
	return r < 0 ? r : 0;
}

static int challenge(struct cursor *c, struct challenge *ch)
{
	const char *scheme;
	size_t n = token(c, &scheme);

	if (n == 0)
		return -EINVAL;
	ch->scheme = named(scheme, n, "basic") ? CHALLENGE_BASIC : named(scheme, n, "bearer") ? CHALLENGE_BEARER : CHALLENGE_OTHER;
	if (c->at < c->end && *c->at != ' ' && *c->at != '\t' && *c->at != ',')
		return -EINVAL;
	blanks(c);
	if (c->at == c->end || *c->at == ',' || token68(c))
		return 0;
	return parameters(c, ch);
}

int challenge_add(struct challenges *list, const char *value_text, size_t n)
{
	struct cursor c = { value_text, value_text + n };
	struct challenges more = *list;

	for (separators(&c); c.at < c.end; separators(&c)) {
		if (more.n == CHALLENGE_MAX)
			return -E2BIG;
		memset(&more.of[more.n], 0, sizeof(more.of[0]));
		if (challenge(&c, &more.of[more.n]) < 0)
			return -EINVAL;
		more.n++;
	}
	*list = more;
	return 0;
}

const struct challenge *challenge_find(const struct challenges *list, enum challenge_scheme scheme)
{
	for (size_t i = 0; i < list->n; i++)
		if (list->of[i].scheme == scheme)
			return &list->of[i];
	return NULL;
}
