/* SPDX-License-Identifier: Apache-2.0
 *
 * policy_log: POST /v1/policy/log: what the sandboxes' proxies decided, summed up, or as it happens.
 */
#include <errno.h>
#include <time.h>

#include "base/str.h"
#include "daemon/api/api.h"
#include "daemon/field.h"
#include "daemon/sandbox.h"
#include "daemon/traffic.h"

#define TIME_SIZE 32

static void print_time(uint64_t ms, char dst[TIME_SIZE])
{
	time_t t = (time_t)(ms / 1000);
	char date[TIME_SIZE];
	struct tm tm;

	if (!gmtime_r(&t, &tm) || strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		date[0] = 0;
	(void)str_format(dst, TIME_SIZE, "%.24s.%03uZ", date, (unsigned)(ms % 1000));
}

static json_t *row_json(const struct traffic_row *row)
{
	char since[TIME_SIZE], last[TIME_SIZE], host[DEST_PRINT_MAX];
	const struct netlog *l = &row->like;

	print_time(row->since_ms, since);
	print_time(row->last_ms, last);
	if (l->port)
		(void)str_format(host, sizeof(host), l->kind == DEST_V6 ? "[%s]:%u" : "%s:%u", l->host, l->port);
	else
		(void)str_format(host, sizeof(host), "-");
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I}", "sandbox", row->sandbox, "type", "network", "host", host,
			 "proxy", netlog_way_name(l->way), "rule", l->rule, "reason", l->reason, "since", since, "last_seen",
			 last, "count", (json_int_t)row->count);
}

static void on_sum(void *user, const struct traffic *t, int error)
{
	struct request *r = user;
	json_t *blocked = json_array(), *allowed = json_array();

	for (size_t i = 0; i < t->n; i++)
		(void)json_array_append_new(t->rows[i].like.verdict == NETLOG_DENY ? blocked : allowed, row_json(&t->rows[i]));
	request_reply(r, 200, json_pack("{s:o, s:o, s:I, s:I}", "blocked", blocked, "allowed", allowed, "unreadable",
					(json_int_t)t->unreadable, "left_out", (json_int_t)t->left_out));
}

static bool on_line(void *user, const char *sandbox, json_t *record)
{
	struct request *r = user;
	json_t *o = json_pack("{s:s, s:O}", "sandbox", sandbox, "record", record);

	if (o)
		request_line(r, o);
	json_decref(o);
	return r->conn != NULL;
}

static bool on_idle(void *user)
{
	return ((const struct request *)user)->conn != NULL;
}

static void on_end(void *user)
{
	json_t *last = json_pack("{s:b}", "ended", 1);

	request_end(user, last);
	json_decref(last);
}

static const struct traffic_follow_ops follow_ops = { .line = on_line, .idle = on_idle, .end = on_end };

void api_policy_log(struct request *r)
{
	static const char *const keys[] = { "sandbox", "follow", NULL };
	const char *name = NULL;
	struct sandbox *s = NULL;
	bool follow = false;
	struct err err;
	int e = field_only(r->body, "the request", keys, &err);

	if (e == 0)
		e = field_string(r->body, "sandbox", false, &name, &err);
	if (e == 0)
		e = field_bool(r->body, "follow", false, &follow, &err);
	if (e == 0 && name && !(s = sandbox_find(r->daemon, name, &err)))
		e = -ENOENT;
	if (e == 0 && !follow)
		e = traffic_sum(r->daemon, s ? s->row.id : NULL, on_sum, r, &err);
	if (e == 0 && follow) {
		request_stream(r);
		e = traffic_follow(r->daemon, s ? s->row.id : NULL, &follow_ops, r, &err);
		if (e < 0)
			on_end(r);
		return;
	}
	if (e < 0)
		request_fail(r, &err);
}
