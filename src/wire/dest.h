/* SPDX-License-Identifier: Apache-2.0
 *
 * dest: the one canonical form of "where to". Whatever names a destination (CONNECT authority, absolute-form target,
 * Host, :authority, SNI, a policy rule, a DNS question) becomes a struct dest here and nowhere else, and what comes after
 * takes a struct dest, never a string: two spellings of one host cannot meet two different decisions.
 *
 * A host is one of
 *   NAME  1-253 bytes of labels of 1-63 bytes [a-z0-9_-], lower case, without a trailing dot
 *   V4    a dotted quad in plain decimal
 *   V6    as inet_ntop writes it, without brackets and without a zone
 * One trailing dot of a name is dropped. A name whose last label is a number (decimal or 0x) is a V4 or nothing, so that
 * no reader downstream finds an address where we saw a name (WHATWG URL, "ends in a number"). A byte outside ASCII,
 * NUL, '%', '@', blanks: refused, never repaired. Names in other scripts reach us as A-labels (xn--).
 *
 * Equal destinations are equal in every byte of host, kind, addr and port. No allocation, no I/O, libc only.
 */
#ifndef SBX_WIRE_DEST_H
#define SBX_WIRE_DEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DEST_HOST_MAX 253
#define DEST_PRINT_MAX (DEST_HOST_MAX + sizeof("[]:65535"))

enum dest_kind { DEST_NAME, DEST_V4, DEST_V6 };

/* What is spoken there. DEST_TCP: bytes that nobody looks into. */
enum dest_scheme { DEST_TCP, DEST_HTTP, DEST_HTTPS };

struct dest {
	char host[DEST_HOST_MAX + 1]; /* canonical text; zero to the end */
	uint8_t addr[16];             /* V4: 4 bytes in network order, V6: 16, NAME: zero */
	enum dest_kind kind;
	enum dest_scheme scheme;
	uint16_t port; /* 1-65535 */
};

enum dest_refusal {
	DEST_OK = 0,
	DEST_EMPTY,       /* no host */
	DEST_NAME_LENGTH, /* a name of more than 253 bytes */
	DEST_LABEL_EMPTY, /* two dots in a row, or a dot at the beginning */
	DEST_LABEL_LENGTH,
	DEST_NOT_ASCII,
	DEST_BYTE,     /* a byte that no host name has */
	DEST_USERINFO, /* '@' */
	DEST_NUMBER,   /* ends in a number and is no plain dotted quad */
	DEST_IPV6,     /* not an IPv6 address */
	DEST_ZONE,     /* an IPv6 address with a zone */
	DEST_BRACKETS, /* brackets that do not belong, or an IPv6 address without them */
	DEST_PORT_MISSING,
	DEST_PORT, /* not 1-65535 in plain decimal */
	DEST_REFUSALS,
};

/* The host alone, n bytes, an IPv6 address without brackets. port must not be 0. Fills *ret or leaves it as it was. */
enum dest_refusal dest_make(const char *host, size_t n, uint16_t port, enum dest_scheme scheme, struct dest *ret);
/* "host", "host:port", "[v6]", "[v6]:port" (RFC 3986 authority without userinfo). default_port 0: the port is required. */
enum dest_refusal dest_parse_authority(const char *s, size_t n, uint16_t default_port, enum dest_scheme scheme,
				       struct dest *ret);
/* 1-65535: digits only, no leading zero. */
enum dest_refusal dest_parse_port(const char *s, size_t n, uint16_t *ret);

/* Same host and port; the scheme is not compared. */
bool dest_equal(const struct dest *a, const struct dest *b);
bool dest_same_host(const struct dest *a, const struct dest *b);
/* "host:port", an IPv6 address in brackets; always terminated. */
void dest_print(const struct dest *d, char dst[DEST_PRINT_MAX]);
/* Whether the name d is host itself (".host" false) or a name below it at any depth. host is canonical. */
bool dest_is_within(const struct dest *d, const char *host);

const char *dest_refusal_text(enum dest_refusal r);    /* "the port is not a number from 1 to 65535" */
const char *dest_scheme_name(enum dest_scheme scheme); /* "tcp", "http", "https" */

#endif
