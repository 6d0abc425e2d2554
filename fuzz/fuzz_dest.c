/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_dest: an authority. What is taken prints to a text that is taken again, as the same destination in every byte.
 */
#include <assert.h>
#include <string.h>

#include "wire/dest.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	char text[DEST_PRINT_MAX];
	struct dest d, again;

	if (dest_parse_authority((const char *)bytes, n, 443, DEST_HTTPS, &d) != DEST_OK)
		return 0;
	assert(d.port != 0 && strlen(d.host) > 0 && strlen(d.host) <= DEST_HOST_MAX);
	for (const char *p = d.host; *p; p++)
		assert((*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9') || strchr("-_.", *p) || (*p == ':' && d.kind == DEST_V6));
	dest_print(&d, text);
	assert(dest_parse_authority(text, strlen(text), 0, DEST_HTTPS, &again) == DEST_OK);
	assert(dest_equal(&d, &again) && memcmp(d.host, again.host, sizeof(d.host)) == 0 &&
	       memcmp(d.addr, again.addr, sizeof(d.addr)) == 0);
	return 0;
}
