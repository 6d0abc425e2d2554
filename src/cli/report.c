/* SPDX-License-Identifier: Apache-2.0
 *
 * report: see report.h. Text is cleaned of control characters, because paths and a guest's words may be in it.
 */
#include "cli/report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"
#include "cli/cmd.h"
#include "cli/table.h"

#define TEXT_MAX 8192

static const char *const names[] = { [REPORT_PASS] = "pass", [REPORT_WARN] = "warn", [REPORT_FAIL] = "fail" };
static const char *const marks[] = {
	[REPORT_PASS] = "\xe2\x9c\x93", [REPORT_WARN] = "!", [REPORT_FAIL] = "\xe2\x9c\x97"
};

int report_init(struct report *r)
{
	*r = (struct report){ .checks = json_array(), .group = "" };
	return r->checks ? 0 : -ENOMEM;
}

void report_done(struct report *r)
{
	json_decref(r->checks);
	r->checks = NULL;
}

static json_t *text(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));
static json_t *text(const char *fmt, va_list ap)
{
	char s[TEXT_MAX];
	json_t *v;

	(void)vsnprintf(s, sizeof(s), fmt, ap);
	table_clean(s);
	v = json_string(s);
	return v ? v : json_string("(not UTF-8)");
}

void report_add(struct report *r, enum report_status status, const char *name, const char *fmt, ...)
{
	va_list ap;
	json_t *v;

	va_start(ap, fmt);
	v = json_pack("{s:s, s:s, s:s, s:o}", "group", r->group, "name", name, "status", names[status], "message",
		      text(fmt, ap));
	va_end(ap);
	r->counts[status]++;
	if (v)
		(void)json_array_append_new(r->checks, v);
}

static json_t *last(const struct report *r)
{
	size_t n = json_array_size(r->checks);

	return n ? json_array_get(r->checks, n - 1) : NULL;
}

void report_try(struct report *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)json_object_set_new(last(r), "try", text(fmt, ap));
	va_end(ap);
}

void report_detail(struct report *r, const char *fmt, ...)
{
	json_t *v = last(r), *list = json_object_get(v, "details");
	va_list ap;

	if (!list) {
		list = json_array();
		(void)json_object_set_new(v, "details", list);
	}
	va_start(ap, fmt);
	(void)json_array_append_new(list, text(fmt, ap));
	va_end(ap);
}

static const char *mark_of(const json_t *check)
{
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq(names[i], cli_str(check, "status")))
			return marks[i];
	return "?";
}

void report_print(const struct report *r)
{
	const char *group = "";
	const json_t *v, *d;
	size_t i, k;

	json_array_foreach(r->checks, i, v) {
		if (!str_eq(group, cli_str(v, "group"))) {
			(void)printf("%s%s\n", i ? "\n" : "", cli_str(v, "group"));
			group = cli_str(v, "group");
		}
		(void)printf("  %s %s: %s\n", mark_of(v), cli_str(v, "name"), cli_str(v, "message"));
		json_array_foreach(json_object_get(v, "details"), k, d)
			(void)printf("      %s\n", json_string_value(d));
		if (cli_str(v, "try")[0])
			(void)printf("      try: %s\n", cli_str(v, "try"));
	}
	(void)printf("\n%u passed", r->counts[REPORT_PASS]);
	if (r->counts[REPORT_WARN])
		(void)printf(", %u %s", r->counts[REPORT_WARN], r->counts[REPORT_WARN] == 1 ? "warning" : "warnings");
	if (r->counts[REPORT_FAIL])
		(void)printf(", %u failed", r->counts[REPORT_FAIL]);
	(void)putchar('\n');
}

json_t *report_json(const struct report *r)
{
	return json_pack("{s:{s:i, s:i, s:i}, s:O}", "summary", "pass", (int)r->counts[REPORT_PASS], "warn",
			 (int)r->counts[REPORT_WARN], "fail", (int)r->counts[REPORT_FAIL], "checks", r->checks);
}
