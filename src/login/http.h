/* SPDX-License-Identifier: Apache-2.0
 *
 * http: one request at a time over HTTPS by libcurl. TLS 1.2 or later with the certificates given; redirects are answers, not
 * followed; a response has at most HTTP_MAX_BYTES and HTTP_TIME_MS. The host's own proxy is gone through (https_proxy, NO_PROXY of the
 * environment, or what the settings say).
 */
#ifndef SBX_LOGIN_HTTP_H
#define SBX_LOGIN_HTTP_H

#include "base/buf.h"
#include "base/err.h"
#include "wire/challenge.h"

#define HTTP_MAX_BYTES (256U << 10)
#define HTTP_TIME_MS 20000

struct http;

struct http_host {
	const char *trust; /* PEM; borrowed for the life of a struct http */
	size_t trust_len;
	const char *proxy, *no_proxy; /* "": the environment's; "none" */
};

struct http_reply {
	long status;
	struct buf body; /* wiped by http_reply_done */
	struct challenges challenges;
};

struct http *http_new(const struct http_host *host, struct err *err);
void http_free(struct http *h);

/* authorization: the header's value, or NULL. form: NULL: GET; else POST of application/x-www-form-urlencoded. Fills *ret, which
 * http_reply_done frees in any case; an err names the host. ERR_DENIED: its certificate is not to be trusted; ERR_UNAVAILABLE,
 * ERR_TIMEOUT: it cannot be reached; ERR_INVALID: it does not answer as HTTP does, or too much. */
int http_ask(struct http *h, const char *url, const char *authorization, const struct buf *form, struct http_reply *ret,
	     struct err *err);
void http_reply_done(struct http_reply *r);

/* Appends "&name=value", percent-encoded; without "&" at the beginning of form. */
int http_form(struct buf *form, const char *name, const char *value);
/* Wipes and frees. */
void http_wipe(struct buf *b);

#endif
