/* SPDX-License-Identifier: Apache-2.0
 *
 * journal: see journal.h. A record is put together in one buffer and written at once. A write that the disk cut short leaves half a
 * line; the next record then begins with a line feed, so that it is whole.
 */
#include "proxy/journal.h"

#include <errno.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "proxy/decide.h"

#define RECORD_MAX 16384
#define TALLIES 64
#define WINDOW_MS 1000

/* Refusals of one reason and host. */
struct tally {
	const char *reason; /* static; NULL: free */
	uint64_t since_ms;
	unsigned int written, counted;
	struct flow flow; /* the last one that was counted; without what it borrows */
	char rule[RULE_ID_MAX + 1];
	char origin[EXPLAIN_ORIGIN_MAX];
	uint64_t generation;
};

struct journal {
	uv_timer_t timer; /* runs while something is counted */
	int fd;           /* owned; -1: none */
	bool torn;        /* the last write was cut short */
	bool full_told;
	uint64_t size, seq, conn;
	char prev[2 * JOURNAL_LINK + 1]; /* of the last whole record, in hexadecimal digits */
	char sandbox[128];
	void (*full)(void *user);
	void *user;
	struct tally tallies[TALLIES];
};

/* What a decision's record says besides its flow. */
struct said {
	bool allow;
	const char *reason, *rule, *origin;
	uint64_t generation;
	unsigned int repeated;
};

const char *flow_entry_name(enum flow_entry e)
{
	return e == FLOW_FORWARD ? "forward" : "transparent";
}

const char *flow_protocol_name(enum flow_protocol p)
{
	return p == FLOW_TLS ? "tls" : p == FLOW_HTTP ? "http" : "tcp";
}

const char *flow_inspect_name(enum flow_inspect i)
{
	return i == FLOW_SPLICE ? "splice" : i == FLOW_INTERCEPT ? "intercept" : "none";
}

/* --- text --- */

/* The length of the UTF-8 character at s; 0 where there is none (RFC 3629: no surrogates, no overlong forms). */
static size_t utf8(const uint8_t *s, size_t n)
{
	size_t len = s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;

	if (len == 0 || len > n)
		return 0;
	for (size_t i = 1; i < len; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) ||
	    (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return len;
}

static int put_char(struct buf *b, const uint8_t *s, size_t n, size_t *ret_len)
{
	size_t len;

	*ret_len = 1;
	if (s[0] == '"' || s[0] == '\\')
		return buf_printf(b, "\\%c", s[0]);
	if (s[0] < 0x20 || s[0] == 0x7f)
		return buf_printf(b, "\\u%04x", s[0]);
	if (s[0] < 0x80)
		return buf_append(b, s, 1);
	len = utf8(s, n);
	if (len == 0)
		return buf_append_str(b, "\\ufffd");
	*ret_len = len;
	if (len == 3 && s[0] == 0xe2 && s[1] == 0x80 && (s[2] == 0xa8 || s[2] == 0xa9))
		return buf_printf(b, "\\u20%02x", s[2] - 0x80);
	return buf_append(b, s, len);
}

/* ,"key":"text" or ,"key":null */
static int put(struct buf *b, const char *key, const char *text, size_t n)
{
	const uint8_t *s = (const uint8_t *)text;
	int r = buf_printf(b, ",\"%s\":%s", key, text ? "\"" : "null");

	for (size_t i = 0, len; r >= 0 && text && i < n; i += len)
		r = put_char(b, s + i, n - i, &len);
	if (r >= 0 && text)
		r = buf_append_str(b, "\"");
	return r;
}

static int put_str(struct buf *b, const char *key, const char *text)
{
	return put(b, key, text, text ? strlen(text) : 0);
}

static int put_head(struct journal *j, struct buf *b, const char *event, const struct flow *f)
{
	struct timespec now;
	struct tm tm;
	char date[32];

	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (!gmtime_r(&now.tv_sec, &tm) || strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		date[0] = 0;
	return buf_printf(b, "%s{\"v\":1,\"event\":\"%s\",\"seq\":%llu,\"time\":\"%s.%03ldZ\",\"sandbox\":\"%s\",\"conn\":\"c%llu\",\"req\":%llu,\"prev\":\"%s\"",
			  j->torn ? "\n" : "", event, (unsigned long long)++j->seq, date, now.tv_nsec / 1000000, j->sandbox,
			  (unsigned long long)f->conn, (unsigned long long)f->req, j->prev);
}

/* --- writing --- */

/* A record names the one before it by its hash, so that one that is taken out or changed later shows. */
static void link_next(struct journal *j, const struct buf *b)
{
	const uint8_t *line = buf_bytes(b);
	size_t n = buf_len(b), begin = line[0] == '\n';
	uint8_t digest[SHA256_DIGEST_LENGTH];

	(void)SHA256(line + begin, n - begin - 1, digest);
	str_hex(j->prev, digest, JOURNAL_LINK);
}

static int write_record(struct journal *j, struct buf *b)
{
	ssize_t n;

	if (j->fd < 0)
		return -EBADF;
	do
		n = write(j->fd, buf_bytes(b), buf_len(b));
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	j->size += (size_t)n;
	j->torn = (size_t)n < buf_len(b);
	if (!j->torn)
		link_next(j, b);
	if (j->size >= JOURNAL_MAX_BYTES && !j->full_told) {
		j->full_told = true;
		j->full(j->user);
	}
	return j->torn ? -ENOSPC : 0;
}

static int write_decision(struct journal *j, const struct flow *f, const struct said *d)
{
	const struct target *t = f->target;
	size_t path_n = t && t->path ? t->path_n : 0;
	struct buf b;
	int r;

	buf_init(&b, RECORD_MAX);
	r = put_head(j, &b, "decision", f);
	if (r >= 0)
		r = buf_printf(&b, ",\"entry\":\"%s\",\"protocol\":\"%s\"", flow_entry_name(f->entry),
			       flow_protocol_name(f->protocol));
	if (r >= 0)
		r = put_str(&b, "host", f->dest.host);
	if (r >= 0)
		r = buf_printf(&b, ",\"port\":%u", f->dest.port);
	if (r >= 0)
		r = put_str(&b, "method", f->method);
	if (r >= 0)
		r = put(&b, "path", t && t->path ? t->path : NULL, path_n < JOURNAL_PATH_MAX ? path_n : JOURNAL_PATH_MAX);
	if (r >= 0)
		r = buf_printf(&b, ",\"verdict\":\"%s\",\"reason\":\"%s\"", d->allow ? "allow" : "deny", d->reason);
	if (r >= 0)
		r = put_str(&b, "rule", d->rule);
	if (r >= 0)
		r = put_str(&b, "origin", d->origin);
	if (r >= 0)
		r = buf_printf(&b, ",\"generation\":%llu,\"inspect\":\"%s\"", (unsigned long long)d->generation,
			       flow_inspect_name(f->inspect));
	if (r >= 0)
		r = put_str(&b, "injected", f->injected ? f->injected : "none:no_secret");
	if (r >= 0 && d->repeated > 0)
		r = buf_printf(&b, ",\"repeated\":%u", d->repeated);
	if (r >= 0)
		r = buf_append_str(&b, "}\n");
	if (r >= 0)
		r = write_record(j, &b);
	buf_done(&b);
	return r < 0 ? r : 0;
}

/* --- many refusals --- */

static void tally_flush(struct journal *j, struct tally *t)
{
	const struct said d = {
		.reason = t->reason, .rule = t->rule, .origin = t->origin, .generation = t->generation, .repeated = t->counted,
	};

	if (t->counted > 0)
		(void)write_decision(j, &t->flow, &d);
	t->reason = NULL;
	t->counted = 0;
}

static void on_timer(uv_timer_t *h)
{
	struct journal *j = container_of(h, struct journal, timer);
	uint64_t now = io_now_ms();
	bool more = false;

	for (size_t i = 0; i < TALLIES; i++) {
		struct tally *t = &j->tallies[i];

		if (t->counted > 0 && now - t->since_ms >= WINDOW_MS)
			tally_flush(j, t);
		more |= t->counted > 0;
	}
	if (!more)
		(void)uv_timer_stop(&j->timer);
}

static struct tally *tally_find(struct journal *j, const struct flow *f, const char *reason)
{
	struct tally *oldest = &j->tallies[0];
	uint64_t now = io_now_ms();

	for (size_t i = 0; i < TALLIES; i++) {
		struct tally *t = &j->tallies[i];

		if (t->reason && str_eq(t->reason, reason) && dest_same_host(&t->flow.dest, &f->dest)) {
			oldest = t;
			if (now - t->since_ms < WINDOW_MS)
				return t;
			break;
		}
		if (oldest->reason && (!t->reason || t->since_ms < oldest->since_ms))
			oldest = t;
	}
	tally_flush(j, oldest);
	oldest->reason = reason;
	oldest->since_ms = now;
	oldest->written = 0;
	oldest->flow = *f;
	return oldest;
}

static int write_refusal(struct journal *j, const struct flow *f, const struct decision *d)
{
	const struct said said = { .reason = d->reason, .rule = d->rule, .origin = d->origin, .generation = d->generation };
	struct tally *t = tally_find(j, f, d->reason);

	if (t->written < JOURNAL_BURST) {
		t->written++;
		return write_decision(j, f, &said);
	}
	t->counted++;
	t->flow = *f;
	t->flow.method = NULL;
	t->flow.target = NULL;
	t->flow.injected = NULL;
	t->generation = d->generation;
	(void)str_format(t->rule, sizeof(t->rule), "%s", d->rule);
	(void)str_format(t->origin, sizeof(t->origin), "%s", d->origin);
	if (!uv_is_active((uv_handle_t *)&j->timer))
		(void)uv_timer_start(&j->timer, on_timer, WINDOW_MS, WINDOW_MS / 4);
	return 0;
}

int journal_decision(struct journal *j, struct flow *f, const struct decision *d)
{
	const struct said said = {
		.allow = true, .reason = d->reason, .rule = d->rule, .origin = d->origin, .generation = d->generation,
	};
	int r;

	if (!d->allow)
		return write_refusal(j, f, d);
	r = write_decision(j, f, &said);
	if (r == 0) {
		f->recorded = true;
		f->started_ms = io_now_ms();
	}
	return r;
}

void journal_end(struct journal *j, struct flow *f)
{
	char address[ADDRESS_PRINT_MAX];
	struct buf b;
	int r;

	if (!f->recorded)
		return;
	f->recorded = false;
	buf_init(&b, RECORD_MAX);
	address_print(&f->address, address);
	r = put_head(j, &b, "end", f);
	if (r >= 0)
		r = put_str(&b, "address", f->address.bits ? address : NULL);
	if (r >= 0)
		r = f->status ? buf_printf(&b, ",\"status\":%d", f->status) : buf_append_str(&b, ",\"status\":null");
	if (r >= 0)
		r = buf_printf(&b, ",\"bytes_out\":%llu,\"bytes_in\":%llu,\"duration_ms\":%llu", (unsigned long long)f->bytes_out,
			       (unsigned long long)f->bytes_in, (unsigned long long)(io_now_ms() - f->started_ms));
	if (r >= 0)
		r = put_str(&b, "error", f->error);
	if (r >= 0)
		r = buf_append_str(&b, "}\n");
	if (r >= 0)
		r = write_record(j, &b);
	if (r < 0)
		log_warn("event=log_failed error=%s", strerror(-r));
	buf_done(&b);
}

/* --- life --- */

struct journal *journal_new(uv_loop_t *loop, void (*full)(void *user), void *user)
{
	struct journal *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->fd = -1;
	(void)memset(j->prev, '0', sizeof(j->prev) - 1);
	j->full = full;
	j->user = user;
	(void)uv_timer_init(loop, &j->timer);
	return j;
}

static void on_closed(uv_handle_t *h)
{
	free(container_of((uv_timer_t *)h, struct journal, timer));
}

static void flush_all(struct journal *j)
{
	for (size_t i = 0; i < TALLIES; i++)
		tally_flush(j, &j->tallies[i]);
}

void journal_free(struct journal *j)
{
	if (!j)
		return;
	flush_all(j);
	if (j->fd >= 0)
		(void)close(j->fd);
	uv_close((uv_handle_t *)&j->timer, on_closed);
}

void journal_set_fd(struct journal *j, int fd)
{
	struct stat st;

	if (j->fd >= 0) {
		flush_all(j);
		(void)close(j->fd);
	}
	j->fd = fd;
	j->torn = false;
	j->full_told = false;
	j->size = fd >= 0 && fstat(fd, &st) == 0 && st.st_size > 0 ? (uint64_t)st.st_size : 0;
}

void journal_set_sandbox(struct journal *j, const char *id)
{
	(void)str_format(j->sandbox, sizeof(j->sandbox), "%s", id);
}

uint64_t journal_new_conn(struct journal *j)
{
	return ++j->conn;
}
