/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_portmap: a published port as text; what is read means the same as text and as JSON, and is found again.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "wire/portmap.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check(const struct portmap *m)
{
	struct portmap_match match;
	struct portmap again;
	struct err err;
	json_t *o = portmap_write(m);

	assert(m->sandbox_port > 0 && o);
	assert(portmap_read(o, "port", &again, &err) == 0);
	assert(again.v6 == m->v6 && again.host_port == m->host_port && again.sandbox_port == m->sandbox_port);
	assert(strcmp(again.host_ip, m->host_ip) == 0);
	if (m->host_port) {
		assert(portmap_read_match(o, "port", &match, &err) == 0);
		assert(portmap_fits(&match, m) && portmap_clash(m, &again));
	}
	json_decref(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	char *text = malloc(n + 1);
	struct portmap_match match;
	struct portmap m;
	struct err err;

	if (!text)
		return 0;
	memcpy(text, bytes, n);
	text[n] = 0;
	if (portmap_parse(text, &m, &err) == 0)
		check(&m);
	if (portmap_parse_match(text, &match, &err) == 0)
		assert(match.map.sandbox_port > 0 && (!match.has_host_port || match.map.host_port > 0));
	free(text);
	return 0;
}
