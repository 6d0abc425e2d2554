/* SPDX-License-Identifier: Apache-2.0
 *
 * upstream: see upstream.h. What is read here was written by the host's user: strict, but not hostile.
 */
#include "proxy/upstream.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>
#include <strings.h>

#include "base/own.h"
#include "base/str.h"
#include "policy/policy.h"
#include "wire/http1.h"

#define SCHEME "http://"
#define DEFAULT_PORT 80

static int read_credential(const char *userinfo, size_t n, struct upstream_proxy *p, struct err *err)
{
	char user[UPSTREAM_CREDENTIAL_MAX / 2], password[UPSTREAM_CREDENTIAL_MAX / 2 - 2] = "", both[UPSTREAM_CREDENTIAL_MAX];
	const char *colon = memchr(userinfo, ':', n);
	size_t user_n = colon ? (size_t)(colon - userinfo) : n;
	int r = http1_decode(user, sizeof(user), userinfo, user_n);

	if (r >= 0 && colon)
		r = http1_decode(password, sizeof(password), colon + 1, n - user_n - 1);
	if (r < 0 || str_format(both, sizeof(both), "%s:%s", user, password) < 0)
		return err_set(err, ERR_INVALID, 0, "the upstream proxy's user or password cannot be read");
	(void)EVP_EncodeBlock((unsigned char *)p->credential, (const unsigned char *)both, (int)strlen(both));
	return 0;
}

static int read_proxy(const json_t *json, const char *which, struct upstream_proxy *ret, struct err *err)
{
	const char *url = json_string_value(json), *at, *end;
	struct upstream_proxy p = { .set = true };
	int r = 0;

	if (!json || json_is_null(json) || (url && !*url))
		return 0;
	if (!url || strncasecmp(url, SCHEME, strlen(SCHEME)) != 0)
		return err_set(err, ERR_INVALID, 0, "the %s proxy must be an http:// URL", which);
	url += strlen(SCHEME);
	end = url + strcspn(url, "/?#");
	at = memrchr(url, '@', (size_t)(end - url));
	if (at)
		r = read_credential(url, (size_t)(at - url), &p, err);
	if (r < 0)
		return r;
	url = at ? at + 1 : url;
	if (dest_parse_authority(url, (size_t)(end - url), DEFAULT_PORT, DEST_TCP, &p.dest) != DEST_OK)
		return err_set(err, ERR_INVALID, 0, "the %s proxy's address cannot be read", which);
	*ret = p;
	return 0;
}

/* "*", "10.0.0.0/8", ".example.com", "example.com:8080"; what cannot be read matches nothing. */
static void read_exception(const char *s, size_t n, struct upstream *u)
{
	struct upstream_exception e = { .all = n == 1 && s[0] == '*' };
	struct err ignored;
	struct dest d;

	if (u->nexceptions == UPSTREAM_EXCEPTIONS_MAX)
		return;
	if (n > 1 && s[0] == '*')
		s++, n--;
	if (n > 1 && s[0] == '.')
		s++, n--;
	if (!e.all && cidr_parse(s, n, &e.range, &ignored) < 0) {
		/* Without a port the default one stands for every port. */
		if (dest_parse_authority(s, n, UINT16_MAX, DEST_TCP, &d) != DEST_OK)
			return;
		e.range = (struct cidr){ .prefix = 0 };
		(void)str_format(e.name, sizeof(e.name), "%s", d.host);
		e.port = d.port == UINT16_MAX ? 0 : d.port;
	}
	u->exceptions[u->nexceptions++] = e;
}

static void read_exceptions(const char *list, struct upstream *u)
{
	while (*list) {
		size_t n;

		list += strspn(list, ", ");
		n = strcspn(list, ", ");
		if (n > 0)
			read_exception(list, n, u);
		list += n;
	}
}

int upstream_read(const json_t *json, struct upstream *ret, struct err *err)
{
	struct upstream u = { .nexceptions = 0 };
	const char *no_proxy = json_string_value(json_object_get(json, "no_proxy"));
	int r = 0;

	if (json && !json_is_null(json) && !json_is_object(json))
		return err_set(err, ERR_INVALID, 0, "upstream is no object");
	r = read_proxy(json_object_get(json, "http"), "http", &u.http, err);
	if (r == 0)
		r = read_proxy(json_object_get(json, "https"), "https", &u.https, err);
	if (r < 0)
		return r;
	if (no_proxy)
		read_exceptions(no_proxy, &u);
	*ret = u;
	return 0;
}

static bool excepts(const struct upstream_exception *e, const struct dest *d, const struct address *addresses, size_t n)
{
	struct address literal;

	if (e->port != 0 && e->port != d->port)
		return false;
	if (e->all)
		return true;
	if (e->range.net.bits == 0)
		return dest_is_within(d, e->name) || str_eq(d->host, e->name);
	if (address_from_dest(d, &literal))
		return cidr_contains(&e->range, &literal);
	/* A name goes past the proxy only where all of it lies in the range. */
	for (size_t i = 0; i < n; i++)
		if (!cidr_contains(&e->range, &addresses[i]))
			return false;
	return n > 0;
}

const struct upstream_proxy *upstream_for(const struct upstream *u, const struct flow *f, const struct address *addresses,
					  size_t n)
{
	const struct upstream_proxy *p = f->protocol == FLOW_HTTP && f->dest.scheme == DEST_HTTP ? &u->http : &u->https;

	if (!p->set || str_eq(f->dest.host, POLICY_HOST_NAME))
		return NULL;
	for (size_t i = 0; i < u->nexceptions; i++)
		if (excepts(&u->exceptions[i], &f->dest, addresses, n))
			return NULL;
	return p;
}
