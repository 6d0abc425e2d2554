/* SPDX-License-Identifier: Apache-2.0
 *
 * upstream: the proxies that the host's user has configured for the host itself (https_proxy and the like, told by sbx-vm). Where one
 * applies, everything goes through it; nothing goes past it because it fails.
 */
#ifndef SBX_PROXY_UPSTREAM_H
#define SBX_PROXY_UPSTREAM_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "policy/address.h"
#include "proxy/journal.h"
#include "wire/dest.h"

#define UPSTREAM_EXCEPTIONS_MAX 128
#define UPSTREAM_CREDENTIAL_MAX 512

struct upstream_proxy {
	bool set;
	struct dest dest;
	char credential[2 * UPSTREAM_CREDENTIAL_MAX]; /* base64 of user:password; never logged; "": none */
};

/* An entry of no_proxy: everything, a range, or a name and all below it; port 0: every port. */
struct upstream_exception {
	bool all;
	struct cidr range; /* net.bits 0: not a range */
	char name[DEST_HOST_MAX + 1];
	uint16_t port;
};

struct upstream {
	struct upstream_proxy http, https;
	struct upstream_exception exceptions[UPSTREAM_EXCEPTIONS_MAX];
	size_t nexceptions;
};

/* {"http": "http://user:password@host:port", "https": ..., "no_proxy": "a,b"}, each may be null or absent. json NULL or null: none.
 * On failure *ret is as before, and the message names no credential. */
int upstream_read(const json_t *json, struct upstream *ret, struct err *err);
/* The proxy for this flow; NULL: dial directly. Addresses: those of the flow's name, as far as known. */
const struct upstream_proxy *upstream_for(const struct upstream *u, const struct flow *f, const struct address *addresses,
					  size_t n);

#endif
