/* SPDX-License-Identifier: Apache-2.0
 *
 * name: see name.h. Pure.
 */
#include "daemon/name.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool is_legal(char c)
{
	return is_alnum(c) || c == '-' || c == '.' || c == '_';
}

int name_check(const char *name, struct err *err)
{
	size_t n = strlen(name);
	char shown[100];
	const char *wrong = NULL;

	if (n < 2 || n >= NAME_SIZE)
		wrong = "it must have 2 to 63 characters";
	else if (!is_alnum(name[0]))
		wrong = "it must start with a letter or a digit";
	else if (name[n - 1] == '-' || name[n - 1] == '.')
		wrong = "it must not end in '-' or '.'";
	else if (str_eq(name, "default"))
		wrong = "it is reserved";
	for (size_t i = 0; i < n && !wrong; i++)
		if (!is_legal(name[i]))
			wrong = "only letters, digits, '-', '.' and '_' are allowed";
	if (!wrong)
		return 0;
	str_escape(shown, sizeof(shown), name, n);
	return err_set(err, ERR_INVALID, 0, "bad sandbox name '%s': %s", shown, wrong);
}

void name_default(char dst[NAME_SIZE], const char *agent, const char *path, unsigned n)
{
	const char *base = strrchr(path, '/');
	char suffix[16] = "";
	size_t at, max;

	base = base ? base + 1 : path;
	if (n > 1)
		(void)snprintf(suffix, sizeof(suffix), "-%u", n);
	max = NAME_SIZE - 1 - strlen(suffix);
	(void)snprintf(dst, NAME_SIZE, "%.30s-", agent);
	at = strlen(dst);
	for (; *base && at < max; base++) {
		/* A run of bytes that may not be there (such as one character of several bytes) becomes one '-'. */
		if (is_legal(*base))
			dst[at++] = *base;
		else if (dst[at - 1] != '-')
			dst[at++] = '-';
	}
	while (at > 0 && (dst[at - 1] == '-' || dst[at - 1] == '.'))
		at--;
	/* Nothing legal in the folder's name: the agent's name alone would read like the agent on a command line. */
	if (at <= strlen(agent))
		at += (size_t)snprintf(dst + at, NAME_SIZE - at, "-workspace");
	(void)snprintf(dst + at, NAME_SIZE - at, "%s", suffix);
}

void name_hostname(char dst[NAME_SIZE], const char *name)
{
	size_t i;

	for (i = 0; name[i] && i < NAME_SIZE - 1; i++)
		dst[i] = (char)(name[i] == '_' ? '-' : name[i]);
	/* A label may not end in '-'. */
	while (i > 0 && dst[i - 1] == '-')
		i--;
	dst[i] = 0;
}
