/* SPDX-License-Identifier: Apache-2.0
 *
 * http: see http.h. libcurl parses HTTP; what a body or a challenge says is for wire/.
 */
#include "login/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/own.h"
#include "base/str.h"
#include "wire/oidc.h"

#define CONNECT_MS 10000L
#define FIELD_MAX 8192

struct http {
	CURL *curl; /* owned */
	char why[CURL_ERROR_SIZE];
};

static size_t take_body(char *bytes, size_t one, size_t n, void *to)
{
	return buf_append(&((struct http_reply *)to)->body, bytes, n) < 0 ? 0 : n;
}

/* One line of the head, its end included. */
static size_t take_field(char *bytes, size_t one, size_t n, void *to)
{
	static const char name[] = "WWW-Authenticate:";
	struct http_reply *reply = to;
	size_t len = n;

	/* A status line: what came before was an interim response's. */
	if (n > 5 && strncmp(bytes, "HTTP/", 5) == 0)
		reply->challenges.n = 0;
	if (n <= strlen(name) || strncasecmp(bytes, name, strlen(name)) != 0)
		return n;
	while (len > 0 && (bytes[len - 1] == '\r' || bytes[len - 1] == '\n'))
		len--;
	/* One that is not of the form is as none. */
	if (len >= strlen(name) && len <= FIELD_MAX)
		(void)challenge_add(&reply->challenges, bytes + strlen(name), len - strlen(name));
	return n;
}

static bool set_always(CURL *c, const struct http_host *host)
{
	struct curl_blob trust = { .data = (void *)(uintptr_t)host->trust, .len = host->trust_len, .flags = CURL_BLOB_NOCOPY };
	CURLcode r = curl_easy_setopt(c, CURLOPT_CAINFO_BLOB, &trust);

	r |= curl_easy_setopt(c, CURLOPT_CAPATH, NULL);
	r |= curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
	r |= curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
	r |= curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	r |= curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "https");
	r |= curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	r |= curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
	r |= curl_easy_setopt(c, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	r |= curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	r |= curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)HTTP_TIME_MS);
	r |= curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	r |= curl_easy_setopt(c, CURLOPT_USERAGENT, "sbx/" SBX_VERSION);
	r |= curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body);
	r |= curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_field);
	if (host->proxy[0])
		r |= curl_easy_setopt(c, CURLOPT_PROXY, str_eq(host->proxy, "none") ? "" : host->proxy);
	if (host->no_proxy[0])
		r |= curl_easy_setopt(c, CURLOPT_NOPROXY, str_eq(host->no_proxy, "none") ? "" : host->no_proxy);
	return r == CURLE_OK;
}

struct http *http_new(const struct http_host *host, struct err *err)
{
	struct http *h = calloc(1, sizeof(*h));

	if (h && (h->curl = curl_easy_init()) && set_always(h->curl, host) &&
	    curl_easy_setopt(h->curl, CURLOPT_ERRORBUFFER, h->why) == CURLE_OK)
		return h;
	http_free(h);
	(void)err_set(err, ERR_INTERNAL, ENOMEM, "libcurl cannot be set up");
	return NULL;
}

void http_free(struct http *h)
{
	if (!h)
		return;
	curl_easy_cleanup(h->curl);
	free(h);
}

void http_wipe(struct buf *b)
{
	if (b->data)
		explicit_bzero(b->data, b->cap);
	buf_done(b);
}

void http_reply_done(struct http_reply *r)
{
	http_wipe(&r->body);
}

/* --- form --- */

int http_form(struct buf *form, const char *name, const char *value)
{
	int r = buf_printf(form, "%s%s=", buf_len(form) ? "&" : "", name);

	for (; *value && r == 0; value++) {
		bool plain = (*value >= 'a' && *value <= 'z') || (*value >= 'A' && *value <= 'Z') || (*value >= '0' && *value <= '9') ||
			     strchr("-._~", *value);

		r = plain ? buf_append(form, value, 1) : buf_printf(form, "%%%02X", (unsigned char)*value);
	}
	return r;
}

/* --- a request --- */

static int failed(CURLcode code, const char *url, const char *why, struct err *err)
{
	struct dest to = { 0 };
	char shown[200];

	(void)oidc_url(url, &to);
	/* It may quote a certificate or a response. */
	str_escape(shown, sizeof(shown), why[0] ? why : curl_easy_strerror(code), strlen(why[0] ? why : curl_easy_strerror(code)));
	if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_ISSUER_ERROR)
		return err_set(err, ERR_DENIED, EACCES,
			       "%s has no certificate that this host trusts (%s); for an authority of your own there is the setting network.extraCaFile",
			       to.host, shown);
	if (code == CURLE_OPERATION_TIMEDOUT)
		return err_set(err, ERR_TIMEOUT, ETIMEDOUT, "%s does not answer in time", to.host);
	if (code == CURLE_WRITE_ERROR)
		return err_set(err, ERR_INVALID, EMSGSIZE, "%s answers with more than %u KiB", to.host, HTTP_MAX_BYTES >> 10);
	if (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_PROXY ||
	    code == CURLE_SSL_CONNECT_ERROR || code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR)
		return err_set(err, ERR_UNAVAILABLE, ENOTCONN, "%s cannot be reached: %s", to.host, shown);
	return err_set(err, ERR_INVALID, EPROTO, "%s: %s", to.host, shown);
}

static struct curl_slist *fields(const char *authorization)
{
	struct curl_slist *list = curl_slist_append(NULL, "Accept: application/json"), *more;
	char *line;

	if (!list || !authorization)
		return list;
	line = str_new("Authorization: %s", authorization);
	more = line ? curl_slist_append(list, line) : NULL;
	if (line)
		explicit_bzero(line, strlen(line));
	free(line);
	if (!more)
		curl_slist_free_all(list);
	return more;
}

static void free_fields(struct curl_slist *list)
{
	for (struct curl_slist *at = list; at; at = at->next)
		explicit_bzero(at->data, strlen(at->data));
	curl_slist_free_all(list);
}

static CURLcode set_request(struct http *h, const char *url, const struct buf *form, struct curl_slist *list, struct http_reply *reply)
{
	CURLcode r = curl_easy_setopt(h->curl, CURLOPT_URL, url);

	if (form) {
		r |= curl_easy_setopt(h->curl, CURLOPT_POST, 1L);
		r |= curl_easy_setopt(h->curl, CURLOPT_POSTFIELDSIZE, (long)buf_len(form));
		r |= curl_easy_setopt(h->curl, CURLOPT_POSTFIELDS, buf_bytes(form));
	} else {
		r |= curl_easy_setopt(h->curl, CURLOPT_HTTPGET, 1L);
	}
	r |= curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, list);
	r |= curl_easy_setopt(h->curl, CURLOPT_WRITEDATA, reply);
	r |= curl_easy_setopt(h->curl, CURLOPT_HEADERDATA, reply);
	return r == CURLE_OK ? CURLE_OK : CURLE_OUT_OF_MEMORY;
}

int http_ask(struct http *h, const char *url, const char *authorization, const struct buf *form, struct http_reply *ret,
	     struct err *err)
{
	struct curl_slist *list = fields(authorization);
	CURLcode r = CURLE_OUT_OF_MEMORY;

	memset(ret, 0, sizeof(*ret));
	buf_init(&ret->body, HTTP_MAX_BYTES);
	h->why[0] = 0;
	if (list)
		r = set_request(h, url, form, list, ret);
	if (r == CURLE_OK)
		r = curl_easy_perform(h->curl);
	if (r == CURLE_OK)
		r = curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &ret->status);
	(void)curl_easy_setopt(h->curl, CURLOPT_HTTPHEADER, NULL);
	(void)curl_easy_setopt(h->curl, CURLOPT_POSTFIELDS, NULL);
	free_fields(list);
	return r == CURLE_OK ? 0 : failed(r, url, h->why, err);
}
