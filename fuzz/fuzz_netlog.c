/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_netlog: a line of a decision log. What is taken is within its bounds and fit to be printed.
 */
#include <assert.h>
#include <string.h>

#include "wire/netlog.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void printable(const char *s, size_t max)
{
	assert(strlen(s) <= max);
	for (; *s; s++)
		assert(*s > 0x20 && *s < 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct netlog l;
	json_t *o = NULL;

	if (netlog_parse((const char *)bytes, n, &l, &o) < 0) {
		assert(!o);
		return 0;
	}
	assert(json_is_object(o) && (l.event == NETLOG_END || l.count > 0));
	printable(l.host, DEST_HOST_MAX);
	printable(l.reason, NETLOG_NAME_MAX);
	printable(l.rule, NETLOG_NAME_MAX);
	json_decref(o);
	return 0;
}
