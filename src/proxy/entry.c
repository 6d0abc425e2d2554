/* SPDX-License-Identifier: Apache-2.0
 *
 * entry: see entry.h. What was looked at stays in `head` and is given back to the chan before anybody else owns it, so a spliced
 * ClientHello leaves as it came.
 */
#include "proxy/entry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "proxy/decide.h"
#include "proxy/dial.h"
#include "proxy/intercept.h"
#include "proxy/page.h"
#include "proxy/proxy.h"
#include "proxy/splice.h"
#include "wire/clienthello.h"
#include "wire/httphead.h"

#define HEAD_MAX (HTTPMSG_REQUEST_HEAD_MAX + CHAN_CHUNK)
#define HTTPS_PORT 443
#define ALERT_ACCESS_DENIED 49
#define ALERT_INTERNAL_ERROR 80

/* A connection, from its beginning until it is intercept's or gone. */
enum conn_state {
	CONN_PROXY,    /* forward: reads the first request's head */
	CONN_LOOKING,  /* the destination is known; waits for first bytes */
	CONN_ASKING,   /* the policy is asked, perhaps a person (wait) */
	CONN_DIALLING, /* allowed; no byte is taken */
	CONN_SPLICED,
};

struct conn {
	struct conn *prev, *next;
	struct conns *conns;
	struct proxy *proxy;
	enum conn_state state;
	uv_timer_t timer;
	struct chan *chan; /* owned; NULL once it is splice's, intercept's, or gone */
	struct buf head;   /* what was taken from chan */
	struct flow flow;
	bool asked;        /* the user allowed it */
	char rule[RULE_ID_MAX + 1]; /* with asked: by that rule */
	bool raw;          /* bytes that nobody looks into */
	bool ssh;          /* raw, but both sides begin as SSH does */
	struct request *request;   /* owned; NULL before a CONNECT, and after it */
	struct clienthello *hello; /* owned; NULL before a first byte of TLS */
	struct decide_wait *wait;
	struct dial *dial;
	struct splice *splice;
	struct policy_address at; /* with splice: where to */
	struct decide_watch watch;
	bool over;
};

/* A CONNECT request, as far as it was read. */
struct request {
	struct httphead head;
	struct httpmsg msg;
	size_t seen; /* bytes of the conn's head that were fed */
};

struct conns {
	struct proxy *proxy;
	struct conn *first;
	size_t n;
};

static void tunnel_begin(struct conn *c);

/* --- ending --- */

static void request_free(struct request *r)
{
	if (r)
		httpmsg_done(&r->msg);
	free(r);
}

static void conn_freed(uv_handle_t *h)
{
	free(container_of((uv_timer_t *)h, struct conn, timer));
}

/* Whatever is left of it goes; a chan that is still here is reset. */
static void conn_end(struct conn *c)
{
	if (c->over)
		return;
	c->over = true;
	if (c->wait)
		decide_cancel(TAKE_PTR(c->wait));
	dial_cancel(TAKE_PTR(c->dial));
	if (c->splice)
		splice_cut(TAKE_PTR(c->splice), &c->flow.bytes_out, &c->flow.bytes_in);
	decide_end(c->proxy->decide, &c->flow);
	decide_watch_remove(&c->watch);
	chan_free(TAKE_PTR(c->chan));
	free(TAKE_PTR(c->hello));
	request_free(TAKE_PTR(c->request));
	buf_done(&c->head);
	if (c->prev)
		c->prev->next = c->next;
	else
		c->conns->first = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->conns->n--;
	uv_close((uv_handle_t *)&c->timer, conn_freed);
}

/* Says text and ends in order. */
static void say(struct conn *c, const void *bytes, size_t n)
{
	struct chan *chan = TAKE_PTR(c->chan);

	(void)chan_write(chan, bytes, n);
	chan_close(chan);
	conn_end(c);
}

static void say_alert(struct conn *c, uint8_t alert)
{
	const uint8_t record[] = { 21, 3, 3, 0, 2, 2, alert };

	say(c, record, sizeof(record));
}

static void say_status(struct conn *c, int status, const struct decision *dn)
{
	struct buf page;

	buf_init(&page, PAGE_MAX);
	if (page_response(&page, status, &c->flow.dest, dn) == 0)
		say(c, buf_bytes(&page), buf_len(&page));
	else
		conn_end(c);
	buf_done(&page);
}

/* Gives the guest's bytes back. false: the connection is gone. */
static bool give_back(struct conn *c)
{
	int r = chan_unread(c->chan, buf_bytes(&c->head), buf_len(&c->head));

	buf_done(&c->head);
	if (r < 0)
		conn_end(c);
	return r == 0;
}

static void hand_over(struct conn *c, enum intercept_kind kind, const struct decision *refusal)
{
	char rule[RULE_ID_MAX + 1];
	struct intercept_start s = { .kind = kind, .flow = c->flow, .refusal = refusal, .asked = c->asked ? rule : NULL };
	struct proxy *p = c->proxy;

	(void)str_format(rule, sizeof(rule), "%s", c->rule);
	if (!give_back(c))
		return;
	chan_pause(c->chan);
	s.chan = TAKE_PTR(c->chan);
	/* The end of a permission that came to nothing is written here; what follows is a flow of intercept's. */
	conn_end(c);
	s.flow.recorded = false;
	intercept_begin(p, &s);
}

/* Tells a refusal that stands in the log in the best way that the client understands. alert: what TLS says; 0: a page inside TLS, if
 * that can be. */
static void tell_refusal(struct conn *c, const struct decision *dn, uint8_t alert)
{
	if (c->flow.protocol == FLOW_HTTP)
		hand_over(c, INTERCEPT_HTTP, dn);
	else if (c->flow.protocol == FLOW_TLS && alert == 0 && intercept_ready(c->proxy))
		hand_over(c, INTERCEPT_TLS, dn);
	else if (c->flow.protocol == FLOW_TLS)
		say_alert(c, alert ? alert : c->flow.recorded ? ALERT_INTERNAL_ERROR : ALERT_ACCESS_DENIED);
	else
		conn_end(c);
}

static void refuse(struct conn *c, struct decision *dn, uint8_t alert)
{
	(void)decide_record(c->proxy->decide, &c->flow, dn);
	tell_refusal(c, dn, alert);
}

static void refuse_because(struct conn *c, const char *reason, uint8_t alert, const char *what)
{
	char dest[DEST_PRINT_MAX], text[DEST_PRINT_MAX + 256];
	struct decision dn;

	dest_print(&c->flow.dest, dest);
	(void)str_format(text, sizeof(text), "%s: %s", dest, what);
	decide_refuse(c->proxy->decide, reason, text, &dn);
	refuse(c, &dn, alert);
}

/* --- splicing --- */

static const char *error_name(int error)
{
	return error == 0 ? NULL : error == -ETIMEDOUT ? "idle" : error == -EPROTO ? "not_ssh" : error == -ECONNRESET || error == -EPIPE ? "reset" : "failed";
}

static void on_spliced(void *user, int error, uint64_t out, uint64_t in)
{
	struct conn *c = user;

	c->splice = NULL;
	c->flow.bytes_out = out;
	c->flow.bytes_in = in;
	c->flow.error = error_name(error);
	conn_end(c);
}

/* Whether the policy as it is now lets the connection go on as it does. */
static bool is_still_allowed(struct conn *c)
{
	struct decision dn;

	decide_now(c->proxy->decide, &c->flow, c->at.address.bits ? &c->at : NULL, c->asked, &dn);
	return dn.allow && (c->raw || !dn.needs_inspection) && (!dn.ssh || c->ssh);
}

static void on_policy_changed(struct decide_watch *w)
{
	struct conn *c = container_of(w, struct conn, watch);

	/* Before that the decision is still to come, or is made again. */
	if (c->state != CONN_SPLICED || is_still_allowed(c))
		return;
	c->flow.error = "policy_changed";
	conn_end(c);
}

static void on_dialled(void *user, struct dial_result *r)
{
	struct conn *c = user;
	struct chan *guest;

	c->dial = NULL;
	if (!r->chan) {
		tell_refusal(c, &r->decision, 0);
		return;
	}
	c->at = r->at;
	if (!is_still_allowed(c)) {
		chan_free(r->chan);
		c->flow.error = "policy_changed";
		conn_end(c);
		return;
	}
	if (!give_back(c)) {
		chan_free(r->chan);
		return;
	}
	c->state = CONN_SPLICED;
	guest = TAKE_PTR(c->chan);
	c->splice = splice_start(guest, r->chan, c->ssh, on_spliced, c);
	if (!c->splice)
		conn_end(c);
}

static void dial_origin(struct conn *c)
{
	c->state = CONN_DIALLING;
	(void)uv_timer_stop(&c->timer);
	chan_pause(c->chan);
	c->dial = dial_start(c->proxy, &c->flow, c->asked, on_dialled, c);
	if (!c->dial)
		refuse_because(c, "limit", 0, "too many connections are being made");
}

/* --- what was decided --- */

static bool is_name(const struct conn *c)
{
	return c->flow.dest.kind == DEST_NAME;
}

/* Whether the name in a ClientHello to a mere address is one that a rule denies. */
static bool is_denied_name(struct conn *c)
{
	struct flow named = c->flow;
	struct decision dn;

	if (is_name(c) || !c->hello->has_sni ||
	    dest_make(c->hello->sni, strlen(c->hello->sni), c->flow.dest.port, DEST_HTTPS, &named.dest) != DEST_OK)
		return false;
	decide_now(c->proxy->decide, &named, NULL, c->asked, &dn);
	return !dn.allow && dn.by_rule && !dn.asks;
}

static void tls_decided(struct conn *c, struct decision *dn)
{
	const struct clienthello *h = c->hello;
	bool unnamed = is_name(c) && !h->has_sni;

	if (is_name(c) && h->has_sni && !str_eq(h->sni, c->flow.dest.host)) {
		refuse_because(c, "sni_mismatch", CLIENTHELLO_ALERT_UNRECOGNIZED_NAME, "the TLS connection names another server");
	} else if (is_denied_name(c)) {
		refuse_because(c, "sni_mismatch", CLIENTHELLO_ALERT_UNRECOGNIZED_NAME, "the TLS connection names a denied server");
	} else if (dn->needs_inspection || (!dn->splice && (unnamed || h->ech) && intercept_ready(c->proxy))) {
		hand_over(c, INTERCEPT_TLS, NULL);
	} else if (h->ech) {
		refuse_because(c, "ech", CLIENTHELLO_ALERT_UNRECOGNIZED_NAME, "the TLS connection hides its server's name");
	} else if (unnamed) {
		refuse_because(c, "no_sni", CLIENTHELLO_ALERT_UNRECOGNIZED_NAME, "the TLS connection does not name its server");
	} else {
		c->flow.inspect = FLOW_SPLICE;
		dial_origin(c);
	}
}

static void decided(struct conn *c, struct decision *dn)
{
	c->asked = dn->asks && dn->allow;
	c->ssh = dn->ssh;
	(void)str_format(c->rule, sizeof(c->rule), "%s", dn->rule);
	if (!dn->allow)
		refuse(c, dn, 0);
	else if (c->raw)
		dial_origin(c);
	else
		tls_decided(c, dn);
}

static void on_decided(void *user, const struct decision *d)
{
	struct conn *c = user;
	struct decision dn = *d;

	c->wait = NULL;
	decided(c, &dn);
}

static void ask_policy(struct conn *c)
{
	struct decision dn;

	c->state = CONN_ASKING;
	(void)uv_timer_stop(&c->timer);
	chan_pause(c->chan);
	c->wait = decide_start(c->proxy->decide, &c->flow, &dn, on_decided, c);
	if (!c->wait)
		decided(c, &dn);
}

/* --- what it speaks --- */

static void decide_as(struct conn *c, enum dest_scheme scheme, struct decision *ret)
{
	struct flow f = c->flow;

	f.dest.scheme = scheme;
	f.protocol = scheme == DEST_HTTP ? FLOW_HTTP : scheme == DEST_HTTPS ? FLOW_TLS : FLOW_TCP;
	decide_now(c->proxy->decide, &f, NULL, false, ret);
}

static bool may_pass(const struct decision *d)
{
	return d->allow || d->asks;
}

/* Neither TLS nor HTTP, or nothing at all. */
static void other_bytes(struct conn *c)
{
	struct decision tls, http, tcp;

	c->flow.protocol = FLOW_TCP;
	decide_as(c, DEST_HTTPS, &tls);
	decide_as(c, DEST_HTTP, &http);
	decide_as(c, DEST_TCP, &tcp);
	if (may_pass(&tcp)) {
		/* "tcp HOST:PORT" lets any bytes through; they were looked at only because TLS would have been intercepted. */
		c->flow.dest.scheme = DEST_TCP;
		c->raw = true;
		ask_policy(c);
	} else if (may_pass(&tls) || may_pass(&http)) {
		refuse_because(c, "not_tls", 0, "what it speaks is neither TLS nor HTTP");
	} else {
		refuse(c, &tcp, 0);
	}
}

static void http_bytes(struct conn *c)
{
	c->flow.protocol = FLOW_HTTP;
	c->flow.dest.scheme = DEST_HTTP;
	if (c->flow.dest.port == HTTPS_PORT)
		refuse_because(c, "not_tls", 0, "plain HTTP to the port of HTTPS");
	else
		hand_over(c, INTERCEPT_HTTP, NULL);
}

static void tls_bytes(struct conn *c, const uint8_t *bytes, size_t n)
{
	if (!c->hello)
		c->hello = calloc(1, sizeof(*c->hello));
	if (!c->hello) {
		conn_end(c);
		return;
	}
	switch (clienthello_feed(c->hello, bytes, n)) {
	case CLIENTHELLO_MORE:
		return;
	case CLIENTHELLO_OK:
		c->flow.protocol = FLOW_TLS;
		c->flow.dest.scheme = DEST_HTTPS;
		ask_policy(c);
		return;
	case CLIENTHELLO_BAD:
		c->flow.protocol = FLOW_TLS;
		c->flow.dest.scheme = DEST_HTTPS;
		refuse_because(c, "not_tls", (uint8_t)c->hello->alert, c->hello->reason);
		return;
	case CLIENTHELLO_NOT_TLS:
		other_bytes(c);
		return;
	}
}

/* n more bytes, which stand at the end of head already. */
static void look(struct conn *c, const uint8_t *bytes, size_t n)
{
	const uint8_t *all = buf_bytes(&c->head);
	size_t all_n = buf_len(&c->head);

	if (all[0] == 0x16) {
		tls_bytes(c, bytes, n);
		return;
	}
	switch (httphead_sniff(all, all_n)) {
	case 1:
		http_bytes(c);
		return;
	case 0:
		return;
	default:
		other_bytes(c);
	}
}

static void on_look_timeout(uv_timer_t *t)
{
	other_bytes(container_of(t, struct conn, timer));
}

/* The destination is known; bytes may stand in head already. */
static void tunnel_begin(struct conn *c)
{
	struct decision tcp, tls, http;

	c->flow.dest.scheme = DEST_TCP;
	decide_as(c, DEST_TCP, &tcp);
	decide_as(c, DEST_HTTPS, &tls);
	decide_as(c, DEST_HTTP, &http);
	/* Whatever may pass unseen is not looked at: the origin may have to speak first. */
	if (may_pass(&tcp) && !tls.needs_inspection && !http.needs_inspection) {
		c->raw = true;
		ask_policy(c);
		return;
	}
	c->state = CONN_LOOKING;
	(void)uv_timer_start(&c->timer, on_look_timeout,
			     may_pass(&tcp)                       ? ENTRY_SILENCE_MS
			     : may_pass(&tls) || may_pass(&http) ? ENTRY_LOOK_MS
								  : ENTRY_REFUSED_MS,
			     0);
	if (buf_len(&c->head) > 0)
		look(c, buf_bytes(&c->head), buf_len(&c->head));
	else
		chan_resume(c->chan);
}

/* --- the forward proxy's first request --- */

static void bad_request(struct conn *c, int status, const char *why)
{
	struct decision dn;

	c->flow.protocol = FLOW_HTTP;
	decide_refuse(c->proxy->decide, "bad_request", why, &dn);
	(void)decide_record(c->proxy->decide, &c->flow, &dn);
	say_status(c, status, &dn);
}

/* What the CONNECT's port most likely means, for a refusal before a byte of the tunnel. */
static void refuse_connect(struct conn *c)
{
	struct decision dn;

	c->flow.protocol = c->flow.dest.port == 80 ? FLOW_HTTP : FLOW_TLS;
	c->flow.dest.scheme = c->flow.dest.port == 80 ? DEST_HTTP : DEST_HTTPS;
	decide_now(c->proxy->decide, &c->flow, NULL, false, &dn);
	(void)decide_record(c->proxy->decide, &c->flow, &dn);
	say_status(c, 403, &dn);
}

static void connect_request(struct conn *c)
{
	static const char yes[] = "HTTP/1.1 200 Connection established\r\n\r\n";
	struct decision tcp, tls, http;

	decide_as(c, DEST_TCP, &tcp);
	decide_as(c, DEST_HTTPS, &tls);
	decide_as(c, DEST_HTTP, &http);
	/* A page inside the tunnel reaches more clients than a refused tunnel. */
	if (!may_pass(&tcp) && !may_pass(&tls) && !may_pass(&http) && !intercept_ready(c->proxy)) {
		refuse_connect(c);
		return;
	}
	(void)uv_timer_stop(&c->timer);
	(void)chan_write(c->chan, yes, sizeof(yes) - 1);
	tunnel_begin(c);
}

static bool is_plain_connect(const struct httpmsg *m)
{
	return m->body == HTTPMSG_BODY_NONE && !m->has_length && !m->expect_continue && !m->websocket &&
	       !m->seen[HTTPMSG_F_CONTENT_LENGTH] && !m->seen[HTTPMSG_F_TRANSFER_ENCODING] && !m->seen[HTTPMSG_F_UPGRADE];
}

/* head begins as a CONNECT request does. */
static void read_connect(struct conn *c)
{
	struct httpmsg_refusal why = { .status = 400, .reason = "" };
	struct request *q = c->request;
	bool plain;
	long r;

	if (!q) {
		q = c->request = calloc(1, sizeof(*q));
		if (!q) {
			conn_end(c);
			return;
		}
		httpmsg_init(&q->msg, HTTPMSG_REQUEST);
		httphead_init(&q->head, &q->msg, DEST_HTTP);
	}
	r = httphead_feed(&q->head, buf_bytes(&c->head) + q->seen, buf_len(&c->head) - q->seen, &why);
	if (r < 0) {
		bad_request(c, why.status, why.reason);
		return;
	}
	q->seen += (size_t)r;
	if (!q->head.done)
		return;
	c->flow.dest = q->msg.dest;
	plain = is_plain_connect(&q->msg);
	/* What follows the head are the tunnel's first bytes, and nothing else. */
	buf_consume(&c->head, q->seen);
	request_free(TAKE_PTR(c->request));
	if (plain)
		connect_request(c);
	else
		bad_request(c, 400, "CONNECT with a body or an upgrade");
}

static void proxy_bytes(struct conn *c)
{
	static const char connect[] = "CONNECT ";
	/* One empty line before a request is none. */
	size_t skip = buf_len(&c->head) >= 2 && memcmp(buf_bytes(&c->head), "\r\n", 2) == 0 ? 2 : 0;
	size_t n = buf_len(&c->head) - skip;

	if (memcmp(buf_bytes(&c->head) + skip, connect, n < sizeof(connect) - 1 ? n : sizeof(connect) - 1) != 0) {
		c->flow.protocol = FLOW_HTTP;
		hand_over(c, INTERCEPT_FORWARD, NULL);
	} else if (n >= sizeof(connect) - 1) {
		read_connect(c);
	}
}

static void on_head_timeout(uv_timer_t *t)
{
	struct conn *c = container_of(t, struct conn, timer);

	if (buf_len(&c->head) > 0)
		bad_request(c, 408, "the request's head did not come in time");
	else
		conn_end(c);
}

/* --- the chan's owner --- */

static size_t on_bytes(void *owner, struct chan *chan, const uint8_t *bytes, size_t n)
{
	struct conn *c = owner;

	if (c->state != CONN_PROXY && c->state != CONN_LOOKING)
		return 0;
	if (buf_append(&c->head, bytes, n) < 0) {
		conn_end(c);
		return n;
	}
	if (c->state == CONN_PROXY)
		proxy_bytes(c);
	else
		look(c, bytes, n);
	return n;
}

static void on_eof(void *owner, struct chan *chan)
{
	struct conn *c = owner;

	if (c->state == CONN_LOOKING && buf_len(&c->head) > 0) {
		other_bytes(c);
	} else if (c->state == CONN_LOOKING) {
		struct decision tls, http;

		/* It said nothing: worth a record only where nothing would have been allowed. */
		decide_as(c, DEST_HTTPS, &tls);
		decide_as(c, DEST_HTTP, &http);
		if (may_pass(&tls) || may_pass(&http))
			conn_end(c);
		else
			other_bytes(c);
	} else if (c->state == CONN_PROXY) {
		conn_end(c);
	}
}

static void on_closed(void *owner, struct chan *chan, int error)
{
	struct conn *c = owner;

	c->flow.error = error_name(error);
	conn_end(c);
}

static const struct chan_ops chan_ops = { .bytes = on_bytes, .eof = on_eof, .closed = on_closed };

struct conns *conns_new(struct proxy *p)
{
	struct conns *cs = calloc(1, sizeof(*cs));

	if (cs)
		cs->proxy = p;
	return cs;
}

void conns_free(struct conns *cs)
{
	if (!cs)
		return;
	while (cs->first)
		conn_end(cs->first);
	free(cs);
}

void entry_begin(struct proxy *p, struct chan *chan, const struct dest *dest)
{
	struct conns *cs = p->conns;
	struct conn *c = cs->n < ENTRY_CONNS_MAX ? calloc(1, sizeof(*c)) : NULL;

	if (!c) {
		chan_free(chan);
		return;
	}
	*c = (struct conn){ .conns = cs, .proxy = p, .chan = chan, .next = cs->first };
	if (cs->first)
		cs->first->prev = c;
	cs->first = c;
	cs->n++;
	buf_init(&c->head, HEAD_MAX);
	(void)uv_timer_init(p->loop, &c->timer);
	c->watch.changed = on_policy_changed;
	decide_watch_add(p->decide, &c->watch);
	chan_own(chan, &chan_ops, c);
	c->flow.conn = journal_new_conn(p->journal);
	c->flow.entry = dest ? FLOW_TRANSPARENT : FLOW_FORWARD;
	if (dest) {
		c->flow.dest = *dest;
		tunnel_begin(c);
		return;
	}
	(void)uv_timer_start(&c->timer, on_head_timeout, ENTRY_HEAD_MS, 0);
	chan_resume(chan);
}
