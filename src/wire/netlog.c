/* SPDX-License-Identifier: Apache-2.0
 *
 * netlog: see netlog.h.
 */
#include "wire/netlog.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/own.h"
#include "base/str.h"

#define REPEATED_MAX 1000000000

DEFINE_AUTO(json, json_t *, json_decref);

static const char *text_of(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* n digits as a number; -1 where they are none. */
static int digits(const char *s, int n)
{
	int v = 0;

	for (int i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -1;
		v = v * 10 + (s[i] - '0');
	}
	return v;
}

/* "2026-11-24T10:15:25.123Z" */
static int read_time(const char *s, uint64_t *ret_ms)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ";
	struct tm tm = { .tm_isdst = 0 };
	time_t t;

	if (strlen(s) != sizeof(form) - 1)
		return -EINVAL;
	for (size_t i = 0; form[i]; i++)
		if (form[i] == 'd' ? s[i] < '0' || s[i] > '9' : s[i] != form[i])
			return -EINVAL;
	tm.tm_year = digits(s, 4) - 1900;
	tm.tm_mon = digits(s + 5, 2) - 1;
	tm.tm_mday = digits(s + 8, 2);
	tm.tm_hour = digits(s + 11, 2);
	tm.tm_min = digits(s + 14, 2);
	tm.tm_sec = digits(s + 17, 2);
	if (tm.tm_year < 70 || tm.tm_mon < 0 || tm.tm_mon > 11 || tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 ||
	    tm.tm_min > 59 || tm.tm_sec > 60)
		return -EINVAL;
	t = timegm(&tm);
	if (t < 0)
		return -EINVAL;
	*ret_ms = (uint64_t)t * 1000 + (uint64_t)digits(s + 20, 3);
	return 0;
}

static int read_name(const json_t *o, const char *key, char dst[NETLOG_NAME_MAX + 1])
{
	const char *s = text_of(o, key);
	size_t n = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-");

	if (n == 0 || s[n])
		return -EINVAL;
	return str_format(dst, NETLOG_NAME_MAX + 1, "%s", s) < 0 ? -EINVAL : 0;
}

static int read_dest(const json_t *o, struct netlog *ret)
{
	const char *host = text_of(o, "host");
	json_int_t port = json_integer_value(json_object_get(o, "port"));
	struct dest d;

	if (!host[0] && port == 0)
		return 0;
	if (port < 1 || port > UINT16_MAX || dest_make(host, strlen(host), (uint16_t)port, DEST_TCP, &d) != DEST_OK ||
	    strcmp(d.host, host) != 0)
		return -EINVAL;
	memcpy(ret->host, d.host, sizeof(ret->host));
	ret->kind = d.kind;
	ret->port = d.port;
	return 0;
}

static int read_way(const json_t *o, struct netlog *ret)
{
	const char *entry = text_of(o, "entry"), *inspect = text_of(o, "inspect"), *protocol = text_of(o, "protocol");
	bool seen = str_eq(inspect, "intercept") || str_eq(protocol, "http");

	if (!str_eq(inspect, "none") && !str_eq(inspect, "splice") && !str_eq(inspect, "intercept"))
		return -EINVAL;
	if (!str_eq(protocol, "tcp") && !str_eq(protocol, "tls") && !str_eq(protocol, "http"))
		return -EINVAL;
	if (str_eq(entry, "forward"))
		ret->way = seen || ret->verdict == NETLOG_DENY ? NETLOG_FORWARD : NETLOG_FORWARD_BYPASS;
	else if (str_eq(entry, "transparent"))
		ret->way = NETLOG_TRANSPARENT;
	else
		return -EINVAL;
	return 0;
}

static int read_decision(const json_t *o, struct netlog *ret)
{
	const char *verdict = text_of(o, "verdict");
	const json_t *repeated = json_object_get(o, "repeated");

	if (!str_eq(verdict, "allow") && !str_eq(verdict, "deny"))
		return -EINVAL;
	ret->verdict = verdict[0] == 'a' ? NETLOG_ALLOW : NETLOG_DENY;
	if (read_way(o, ret) < 0 || read_dest(o, ret) < 0 || read_name(o, "reason", ret->reason) < 0 ||
	    read_name(o, "rule", ret->rule) < 0)
		return -EINVAL;
	ret->count = 1;
	if (!repeated)
		return 0;
	if (!json_is_integer(repeated) || json_integer_value(repeated) < 0 || json_integer_value(repeated) > REPEATED_MAX)
		return -EINVAL;
	ret->count += (uint64_t)json_integer_value(repeated);
	return 0;
}

int netlog_parse(const char *line, size_t n, struct netlog *ret, json_t **ret_json)
{
	auto_(json) json_t *o = NULL;
	struct netlog l = { .event = NETLOG_END };
	json_error_t at;

	if (n > NETLOG_LINE_MAX)
		return -EINVAL;
	o = json_loadb(line, n, JSON_REJECT_DUPLICATES, &at);
	if (!o && json_error_code(&at) == json_error_out_of_memory)
		return -ENOMEM;
	if (!json_is_object(o) || json_integer_value(json_object_get(o, "v")) != 1 || read_time(text_of(o, "time"), &l.time_ms) < 0)
		return -EINVAL;
	if (str_eq(text_of(o, "event"), "decision")) {
		l.event = NETLOG_DECISION;
		if (read_decision(o, &l) < 0)
			return -EINVAL;
	} else if (!str_eq(text_of(o, "event"), "end")) {
		return -EINVAL;
	}
	*ret = l;
	if (ret_json)
		*ret_json = TAKE_PTR(o);
	return 0;
}

const char *netlog_way_name(enum netlog_way way)
{
	return way == NETLOG_FORWARD ? "forward" : way == NETLOG_FORWARD_BYPASS ? "forward-bypass" : "transparent";
}
