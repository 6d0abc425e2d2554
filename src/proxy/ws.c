/* SPDX-License-Identifier: Apache-2.0
 *
 * ws: see ws.h. RFC 6455 section 4, RFC 7692 for the one extension that may be agreed.
 */
#include "proxy/ws.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

/* The value that the server must give for the key. */
static bool accept_of(const char *key, char dst[32])
{
	uint8_t hash[SHA_DIGEST_LENGTH];
	char both[128];

	if (str_format(both, sizeof(both), "%s%s", key, GUID) < 0 ||
	    EVP_Digest(both, strlen(both), hash, NULL, EVP_sha1(), NULL) != 1)
		return false;
	(void)EVP_EncodeBlock((uint8_t *)dst, hash, sizeof(hash));
	return true;
}

/* The next element of a comma-separated list; false at the end. Advances *s. */
static bool next_item(const char **s, const char **ret, size_t *ret_n)
{
	const char *p = *s + strspn(*s, ", \t"), *end = p + strcspn(p, ",");

	*s = end;
	*ret = p;
	while (end > p && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*ret_n = (size_t)(end - p);
	return *ret_n > 0;
}

/* Whether any of the request's fields of that id lists the item; up to ';' where parameters do not count. */
static bool offered(const struct httpmsg *req, enum httpmsg_field id, const char *item, size_t n)
{
	for (int i = httpmsg_find(req, id, 0); i >= 0; i = httpmsg_find(req, id, (uint32_t)i + 1)) {
		const char *s = httpmsg_value(req, i), *one;
		size_t len;

		while (next_item(&s, &one, &len)) {
			size_t bare = strcspn(one, "; \t");

			if (bare > len)
				bare = len;
			if (bare == n && strncasecmp(one, item, n) == 0)
				return true;
		}
	}
	return false;
}

static const char *check_protocol(const struct httpmsg *req, const struct httpmsg *res)
{
	int i = httpmsg_find(res, HTTPMSG_F_SEC_WEBSOCKET_PROTOCOL, 0);

	if (i < 0)
		return NULL;
	if (httpmsg_find(res, HTTPMSG_F_SEC_WEBSOCKET_PROTOCOL, (uint32_t)i + 1) >= 0 ||
	    !offered(req, HTTPMSG_F_SEC_WEBSOCKET_PROTOCOL, httpmsg_value(res, i), strlen(httpmsg_value(res, i))))
		return "the WebSocket subprotocol was not offered";
	return NULL;
}

static const char *check_extensions(const struct httpmsg *req, const struct httpmsg *res, bool *ret_deflate)
{
	for (int i = httpmsg_find(res, HTTPMSG_F_SEC_WEBSOCKET_EXTENSIONS, 0); i >= 0;
	     i = httpmsg_find(res, HTTPMSG_F_SEC_WEBSOCKET_EXTENSIONS, (uint32_t)i + 1)) {
		const char *s = httpmsg_value(res, i), *one;
		size_t len, bare;

		while (next_item(&s, &one, &len)) {
			bare = strcspn(one, "; \t");
			if (bare > len)
				bare = len;
			if (bare != strlen("permessage-deflate") || strncasecmp(one, "permessage-deflate", bare) != 0 || *ret_deflate ||
			    !offered(req, HTTPMSG_F_SEC_WEBSOCKET_EXTENSIONS, one, bare))
				return "the WebSocket extension was not offered";
			*ret_deflate = true;
		}
	}
	return NULL;
}

const char *ws_accept(const struct httpmsg *req, const struct httpmsg *res, struct ws *ret)
{
	int key = httpmsg_find(req, HTTPMSG_F_SEC_WEBSOCKET_KEY, 0);
	int accept = httpmsg_find(res, HTTPMSG_F_SEC_WEBSOCKET_ACCEPT, 0);
	const char *wrong;
	char want[32];
	bool deflate = false;

	if (!req->websocket || key < 0)
		return "the server switched protocols without being asked to";
	if (!res->websocket || accept < 0 || httpmsg_find(res, HTTPMSG_F_SEC_WEBSOCKET_ACCEPT, (uint32_t)accept + 1) >= 0 ||
	    !accept_of(httpmsg_value(req, key), want) || !str_eq(want, httpmsg_value(res, accept)))
		return "the WebSocket handshake's answer does not fit its key";
	wrong = check_protocol(req, res);
	if (!wrong)
		wrong = check_extensions(req, res, &deflate);
	if (wrong)
		return wrong;
	wsframe_init(&ret->from_client, WSFRAME_CLIENT, deflate);
	wsframe_init(&ret->from_server, WSFRAME_SERVER, deflate);
	return NULL;
}

struct wsframe *ws_direction(struct ws *w, bool client)
{
	return client ? &w->from_client : &w->from_server;
}
