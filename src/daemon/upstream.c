/* SPDX-License-Identifier: Apache-2.0
 *
 * upstream: see upstream.h.
 */
#include "daemon/upstream.h"

#include <string.h>
#include <strings.h>

#include "base/env.h"
#include "base/log.h"
#include "base/own.h"
#include "base/str.h"

#define SCHEME "http://"
#define NONE "none"

bool upstream_is_url(const char *text)
{
	return strncasecmp(text, SCHEME, strlen(SCHEME)) == 0 && text[strlen(SCHEME)] && !strpbrk(text, " \t\r\n");
}

/* Owned; NULL where there is none. */
static char *from_environment(const char *name, const char *capitals)
{
	const char *v = env_get(name);

	if (!v)
		v = env_get(capitals);
	if (!v)
		return NULL;
	if (upstream_is_url(v))
		return strdup(v);
	/* As curl takes it. */
	if (!strstr(v, "://") && !strpbrk(v, " \t\r\n"))
		return str_new(SCHEME "%s", v);
	log_warn("event=proxy_ignored variable=%s: only http:// proxies are supported", capitals);
	return NULL;
}

static char *choose(const char *setting, const char *name, const char *capitals)
{
	if (str_eq(setting, NONE))
		return NULL;
	return setting[0] ? strdup(setting) : from_environment(name, capitals);
}

json_t *upstream_json(const struct settings *set)
{
	auto_free char *http = choose(set->http_proxy, "http_proxy", "HTTP_PROXY"),
		       *https = choose(set->https_proxy, "https_proxy", "HTTPS_PROXY");
	const char *except = set->no_proxy[0] ? set->no_proxy : env_get("no_proxy");

	if (!except)
		except = env_get("NO_PROXY");
	if (!http && !https)
		return json_null();
	return json_pack("{s:s?, s:s?, s:s?}", "http", http, "https", https, "no_proxy",
			 except && !str_eq(except, NONE) ? except : NULL);
}
