/* SPDX-License-Identifier: Apache-2.0
 *
 * address: what kind of address a connection would be made to, and address ranges. The proxy classifies every address after
 * resolving a name and before dialling it, and dials that very address.
 *
 * Public is what is left over: IPv4 less every block of the IANA IPv4 Special-Purpose Address Registry, multicast, the
 * reserved blocks and the clouds' metadata services; IPv6 only 2000::/3 (the unicast space that IANA assigns from) less its
 * special blocks. An IPv6 address that carries an IPv4 address (mapped, compatible, SIIT, NAT64, 6to4, Teredo) is never public; it has the
 * class of what it carries where that is worse.
 *
 * Pure: what the kernel knows (own addresses, neighbours on the link) is the caller's to add, see policy.h.
 */
#ifndef SBX_POLICY_ADDRESS_H
#define SBX_POLICY_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"
#include "wire/dest.h"

struct address {
	uint8_t bytes[16]; /* IPv4: the first four; the rest is zero */
	uint8_t bits;      /* 32 or 128; 0: none */
};

enum address_class {
	ADDRESS_PUBLIC,
	ADDRESS_PRIVATE,
	ADDRESS_DOCUMENTATION,
	ADDRESS_OTHER_SPECIAL,
	/* From here on a range of the settings does not open it: only a rule that names this very address does. */
	ADDRESS_LOOPBACK,
	ADDRESS_LINK_LOCAL,
	ADDRESS_MULTICAST,
	ADDRESS_METADATA,
	ADDRESS_UNSPECIFIED,
	ADDRESS_CLASSES,
};

struct address_info {
	enum address_class class;
	const char *name;    /* static: the row of the table, "RFC 1918 private use"; "public" for public ones */
	bool embeds;         /* an IPv6 address that carries an IPv4 address */
	bool translated;     /* ... by NAT64's well-known prefix, which a network may really route */
	struct address inner; /* the IPv4 address that it carries */
};

/* A range; an address alone is one of full length. All bits behind the prefix are zero. */
struct cidr {
	struct address net;
	uint8_t prefix;
};

#define ADDRESS_PRINT_MAX 46
#define CIDR_PRINT_MAX (ADDRESS_PRINT_MAX + 4)

/* -EAFNOSUPPORT for anything but AF_INET and AF_INET6, -EINVAL where n is too short, or an IPv6 scope is given. */
int address_from_sockaddr(const struct sockaddr *sa, socklen_t n, struct address *ret);
/* False for a name. */
bool address_from_dest(const struct dest *d, struct address *ret);
bool address_equal(const struct address *a, const struct address *b);
void address_print(const struct address *a, char dst[ADDRESS_PRINT_MAX]);

void address_classify(const struct address *a, struct address_info *ret);
const char *address_class_name(enum address_class class); /* "link_local" */
/* Whether the setting network.permittedRanges can open addresses of this class. */
bool address_class_permittable(enum address_class class);

/* "10.1.0.0/16", "2001:db8::/32", or an address alone; n bytes. Strict: canonical digits, no bit behind the prefix. */
int cidr_parse(const char *s, size_t n, struct cidr *ret, struct err *err);
bool cidr_contains(const struct cidr *c, const struct address *a);
/* Without the prefix where the range is one address. */
void cidr_print(const struct cidr *c, char dst[CIDR_PRINT_MAX]);
/* The range of a's first prefix bits; prefix <= a->bits. */
struct cidr cidr_of(const struct address *a, uint8_t prefix);

#endif
