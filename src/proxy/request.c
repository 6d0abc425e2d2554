/* SPDX-License-Identifier: Apache-2.0
 *
 * request: see request.h.
 */
#include "proxy/request.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/str.h"

static int refuse(struct request_fault *why, int status, const char *reason, const char *text)
{
	*why = (struct request_fault){ .status = status, .reason = reason, .text = text };
	return -EPROTO;
}

int request_check(const struct exchange_env *env, const struct httpmsg *m, struct dest *ret, struct request_fault *why)
{
	struct dest d = m->dest;

	if (m->form == HTTPMSG_AUTHORITY)
		return refuse(why, 405, "bad_request", "CONNECT is not for here");
	if (env->any_dest && m->form != HTTPMSG_ABSOLUTE)
		return refuse(why, 400, "bad_request", "this is a proxy: the target must be a whole URL");
	if (env->any_dest && m->scheme != DEST_HTTP)
		return refuse(why, 400, "bad_request", "for https, a proxy is asked with CONNECT");
	if (env->any_dest && d.port == 443)
		return refuse(why, 400, "not_tls", "plain HTTP to the port of HTTPS");
	if (!env->any_dest && m->scheme != env->dest.scheme)
		return refuse(why, 400, "bad_request", "the target's scheme is not the connection's");
	if (!env->any_dest && !dest_equal(&d, &env->dest))
		return refuse(why, 421, "host_mismatch", "the request is for another host than the connection");
	d.scheme = env->any_dest ? DEST_HTTP : env->dest.scheme;
	*ret = d;
	return 0;
}

static int set_canonical(struct httpmsg *m, const struct target *target)
{
	const char *query = strchr(httpmsg_str(m, m->path), '?');
	struct buf path;
	int r;

	buf_init(&path, HTTPMSG_TARGET_MAX);
	r = buf_append(&path, target->path, target->path_n);
	if (r == 0 && query)
		r = buf_append_str(&path, query);
	if (r == 0)
		r = httpmsg_replace_path(m, (const char *)buf_bytes(&path), buf_len(&path));
	buf_done(&path);
	return r;
}

int request_clean(struct httpmsg *m, const struct target *target, bool canonical)
{
	httpmsg_strip(m);
	m->close = false;
	if (m->expect_continue && httpmsg_put(m, "Expect", "100-continue", strlen("100-continue")) < 0)
		return -ENOMEM;
	return canonical && target->path && target->changed ? set_canonical(m, target) : 0;
}

bool request_repeatable(const struct httpmsg *m)
{
	return m->method_id == HTTPMSG_GET || m->method_id == HTTPMSG_HEAD || m->method_id == HTTPMSG_OPTIONS;
}

bool request_is_slow(const struct httpmsg *m)
{
	int i = httpmsg_find(m, HTTPMSG_F_CONTENT_TYPE, 0);
	const char *type = i >= 0 ? httpmsg_value(m, i) : "";

	return strncasecmp(type, "text/event-stream", 17) == 0 || strncasecmp(type, "application/grpc", 16) == 0;
}

bool request_is_plain(const struct httpmsg *m)
{
	for (int at = -1; (at = httpmsg_find(m, HTTPMSG_F_CONTENT_ENCODING, (uint32_t)(at + 1))) >= 0;)
		if (strcasecmp(httpmsg_value(m, at), "identity") != 0)
			return false;
	return true;
}

const char *request_type(const struct httpmsg *m)
{
	int at = httpmsg_find(m, HTTPMSG_F_CONTENT_TYPE, 0);

	if (at < 0)
		return "";
	return httpmsg_find(m, HTTPMSG_F_CONTENT_TYPE, (uint32_t)at + 1) < 0 ? httpmsg_value(m, at) : NULL;
}

void request_clean_trailers(struct httpmsg *m)
{
	/* Some servers take them for fields of the head, where a credential would have been refused. */
	static const char *const never[] = { "authorization", "cookie", "set-cookie", "host", "content-length", "transfer-encoding",
					     "content-type", "content-encoding", "location", "www-authenticate", "x-api-key",
					     "x-goog-api-key", "api-key", "private-token", "x-auth-token" };

	httpmsg_strip(m);
	for (size_t i = 0; i < ARRAY_LEN(never); i++)
		(void)httpmsg_remove(m, never[i]);
}
