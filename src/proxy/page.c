/* SPDX-License-Identifier: Apache-2.0
 *
 * page: see page.h.
 */
#include "proxy/page.h"

#include <errno.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"
#include "wire/httphead.h"

static const struct {
	const char *reason;
	int status;
} statuses[] = {
	{ "bad_request", 400 },	  { "host_mismatch", 421 }, { "upstream_cert", 502 }, { "unresolved", 502 },
	{ "unreachable", 502 },	  { "bad_response", 502 },  { "timeout", 504 },	      { "limit", 503 },
	{ "log", 503 },		  { "keeper", 503 },
};

int page_status(const struct decision *dn)
{
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
		if (str_eq(dn->reason, statuses[i].reason))
			return statuses[i].status;
	return 403;
}

static int line(struct buf *out, const char *name, const char *value)
{
	return value[0] ? buf_printf(out, "%s: %s\n", name, value) : 0;
}

int page_text(struct buf *out, int status, const struct dest *dest, const struct decision *dn)
{
	char host[DEST_PRINT_MAX] = "";
	int r;

	if (dest)
		dest_print(dest, host);
	if (status == 403)
		r = buf_printf(out, "Blocked by network policy: domain %s\n", host);
	else
		r = buf_printf(out, "%d %s%s%s\n", status, httphead_phrase((unsigned int)status), host[0] ? ": " : "", host);
	if (r == 0 && (r = line(out, "rule", dn->rule)) == 0 && (r = line(out, "origin", dn->origin)) == 0 &&
	    (r = line(out, "reason", dn->reason)) == 0 && (r = line(out, "detail", dn->text)) == 0)
		r = line(out, "remedy", dn->remedy);
	return r;
}

static int add(struct httpmsg *m, const char *name, const char *value)
{
	struct httpmsg_refusal why;

	return httpmsg_add(m, name, strlen(name), value, strlen(value), &why);
}

int page_head(struct httpmsg *m, int status, const struct decision *dn, size_t n, bool to_head)
{
	char phrase[RULE_ID_MAX + 64];

	httpmsg_init(m, HTTPMSG_RESPONSE);
	httpmsg_reset(m, DEST_HTTP);
	m->version = HTTPMSG_1_1;
	m->status = (uint16_t)status;
	m->body = to_head ? HTTPMSG_BODY_NONE : HTTPMSG_BODY_LENGTH;
	m->has_length = true;
	m->length = n;
	m->to_websocket = status == 426;
	(void)str_format(phrase, sizeof(phrase), "Blocked by network policy: rule %s", dn->rule[0] ? dn->rule : dn->reason);
	if ((status == 403 && httpmsg_set_phrase(m, phrase) < 0) || add(m, "Content-Type", "text/plain; charset=utf-8") < 0 || add(m, "Cache-Control", "no-store") < 0) {
		httpmsg_done(m);
		return -ENOMEM;
	}
	return 0;
}

int page_response(struct buf *out, int status, const struct dest *dest, const struct decision *dn)
{
	struct httpmsg m = { 0 };
	struct buf text;
	int r;

	buf_init(&text, PAGE_MAX);
	r = page_text(&text, status, dest->port ? dest : NULL, dn);
	if (r == 0)
		r = page_head(&m, status, dn, buf_len(&text), false);
	m.close = true;
	if (r == 0)
		r = httphead_write_response(out, &m);
	if (r == 0)
		r = buf_append(out, buf_bytes(&text), buf_len(&text));
	httpmsg_done(&m);
	buf_done(&text);
	return r;
}
