/* SPDX-License-Identifier: Apache-2.0
 *
 * report: the results of `sbx diagnose`, gathered and then printed as text or JSON.
 */
#ifndef SBX_CLI_REPORT_H
#define SBX_CLI_REPORT_H

#include <jansson.h>

enum report_status { REPORT_PASS, REPORT_WARN, REPORT_FAIL };

struct report {
	json_t *checks;     /* owned list of {"group", "name", "status", "message", "try"?} */
	const char *group;  /* of the checks to come; borrowed */
	unsigned counts[3]; /* by status */
};

int report_init(struct report *r);
void report_done(struct report *r);
void report_add(struct report *r, enum report_status status, const char *name, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* What helps against the check that was added last. */
void report_try(struct report *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* One more line below the check that was added last, text only. */
void report_detail(struct report *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void report_print(const struct report *r);
/* {"summary": {"pass", "warn", "fail"}, "checks": [...]}; owned. */
json_t *report_json(const struct report *r);

#endif
