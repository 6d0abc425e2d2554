/* SPDX-License-Identifier: Apache-2.0
 *
 * idn: see idn.h.
 */
#include "policy/idn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#ifdef SBX_HAVE_IDN
#include <idn2.h>
#endif

#include "base/own.h"
#include "base/str.h"

static bool is_ascii(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)s[i] >= 0x80)
			return false;
	return true;
}

static bool has_a_label(const char *s, size_t n)
{
	for (size_t i = 0; i + 4 <= n; i++)
		if ((i == 0 || s[i - 1] == '.') && strncasecmp(s + i, "xn--", 4) == 0)
			return true;
	return false;
}

/* Where the name stands in a resource: behind `tcp ` and wildcards, before the port. */
static void find_name(const char *s, size_t *ret_from, size_t *ret_n)
{
	size_t from = str_starts(s, "tcp ") ? 4 + strspn(s + 4, " ") : 0;

	from += str_starts(s + from, "**.") ? 3 : str_starts(s + from, "*.") ? 2 : 0;
	*ret_from = from;
	*ret_n = strcspn(s + from, ":");
}

static int refuse(struct err *err, const char *resource, const char *why)
{
	char shown[160];

	str_escape(shown, sizeof(shown), resource, strnlen(resource, RULE_RESOURCE_MAX));
	return err_set(err, ERR_INVALID, EINVAL, "\"%s\": %s", shown, why);
}

#ifdef SBX_HAVE_IDN
bool idn_available(void)
{
	return true;
}

static void free_idn(char **s)
{
	idn2_free(*s);
}

/* The A-label form of n bytes of UTF-8; NULL where there is none, or where a given A-label is not the one of its name. */
static char *convert(const char *s, size_t n)
{
	auto_free char *in = strndup(s, n);
	__attribute__((cleanup(free_idn))) char *text = NULL;
	__attribute__((cleanup(free_idn))) char *out = NULL;

	if (!in || idn2_to_unicode_8z8z(in, &text, IDN2_NONTRANSITIONAL) != IDN2_OK ||
	    idn2_to_ascii_8z(text, &out, IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT) != IDN2_OK)
		return NULL;
	if (is_ascii(s, n) && strcasecmp(in, out) != 0)
		return NULL;
	return strdup(out);
}
#else
bool idn_available(void)
{
	return false;
}

static char *convert(const char *s, size_t n)
{
	return is_ascii(s, n) ? strndup(s, n) : NULL;
}
#endif

int idn_to_ascii(const char *resource, char dst[RULE_RESOURCE_MAX], struct err *err)
{
	auto_free char *name = NULL;
	size_t from, n;

	if (strlen(resource) >= RULE_RESOURCE_MAX)
		return refuse(err, resource, "it is too long");
	find_name(resource, &from, &n);
	if (!is_ascii(resource + from, n) || has_a_label(resource + from, n)) {
		name = convert(resource + from, n);
		if (!name && !idn_available())
			return refuse(err, resource, "this build converts no names: write the A-label (xn--...)");
		if (!name)
			return refuse(err, resource, "it is no internationalised name by IDNA 2008");
	}
	if (str_format(dst, RULE_RESOURCE_MAX, "%.*s%.*s%s", (int)from, resource, name ? RULE_RESOURCE_MAX : (int)n,
		       name ? name : resource + from, resource + from + n) < 0)
		return refuse(err, resource, "it is too long");
	return 0;
}
