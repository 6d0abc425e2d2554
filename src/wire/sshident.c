/* SPDX-License-Identifier: Apache-2.0
 *
 * sshident: see sshident.h. Enters: a side's first bytes, in any pieces. Leaves: a verdict, as soon as there is one.
 */
#include "wire/sshident.h"

#include <string.h>

static const char v20[] = "SSH-2.0-", v199[] = "SSH-1.99-";

void sshident_init(struct sshident *s, enum sshident_from from)
{
	*s = (struct sshident){ .from = from, .result = SSHIDENT_MORE };
}

static size_t prefix_n(const struct sshident *s)
{
	return (s->old ? sizeof(v199) : sizeof(v20)) - 1;
}

/* A byte of what may yet be an identification. */
static enum sshident_result prefix(struct sshident *s, uint8_t b)
{
	/* The versions part after "SSH-". */
	if (s->n == 4 && b == '1' && s->from == SSHIDENT_SERVER)
		s->old = true;
	if (b == (uint8_t)(s->old ? v199 : v20)[s->n])
		return SSHIDENT_MORE;
	if (s->from == SSHIDENT_CLIENT || s->n >= 4)
		return SSHIDENT_NO;
	s->other = true;
	return SSHIDENT_MORE;
}

static enum sshident_result line_end(struct sshident *s)
{
	/* "SSH-2.0-" alone names no software. */
	bool whole = !s->other && s->n - (s->cr ? 1U : 0U) > prefix_n(s);

	if (whole)
		return s->n < SSHIDENT_LINE_MAX ? SSHIDENT_YES : SSHIDENT_NO;
	/* A line that breaks off within "SSH-" is another one. */
	if (s->from == SSHIDENT_CLIENT || (!s->other && s->n >= 4))
		return SSHIDENT_NO;
	s->n = 0;
	s->other = s->cr = s->old = false;
	return SSHIDENT_MORE;
}

static enum sshident_result one(struct sshident *s, uint8_t b)
{
	enum sshident_result r = SSHIDENT_MORE;

	if (++s->all > SSHIDENT_MAX || b == 0)
		return SSHIDENT_NO;
	if (b == '\n')
		return line_end(s);
	if (!s->other && s->n < prefix_n(s))
		r = prefix(s, b);
	else if (!s->other && (s->cr || s->n >= SSHIDENT_LINE_MAX || (b != '\r' && (b < 0x20 || b > 0x7e))))
		return SSHIDENT_NO;
	s->cr = b == '\r';
	s->n++;
	return r;
}

enum sshident_result sshident_feed(struct sshident *s, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n && s->result == SSHIDENT_MORE; i++)
		s->result = one(s, bytes[i]);
	return s->result;
}
