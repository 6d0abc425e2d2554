/* SPDX-License-Identifier: Apache-2.0
 *
 * clienthello: reads the first message of a TLS client, from the bytes of a connection as they come, and tells what the
 * network policy must know: the server name, the protocols offered, whether the name is hidden (ECH, ESNI). Records may
 * split the message anywhere; the records read take at most CLIENTHELLO_MAX bytes together. Nothing is repaired: every
 * length must be exact, no extension may come twice, so that a server behind us cannot read another name from the same bytes.
 *
 * RFC 8446 4.1.2 and 5.1, RFC 5246 7.4.1.2, RFC 6066 3 (server_name), RFC 7301 (ALPN), RFC 9849 (encrypted_client_hello,
 * and its drafts' numbers), draft-ietf-tls-esni-02 (ESNI).
 *
 *	struct clienthello *ch = calloc(1, sizeof(*ch));          // zero is the state at the beginning
 *	switch (clienthello_feed(ch, bytes, n)) { ... }           // only bytes it has not seen yet
 *
 * The bytes themselves are the caller's to keep: a spliced connection forwards them as they came. After anything other than
 * MORE the reader only repeats its answer. No allocation, no I/O, libc only.
 */
#ifndef SBX_WIRE_CLIENTHELLO_H
#define SBX_WIRE_CLIENTHELLO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/dest.h"

#define CLIENTHELLO_MAX 16384 /* bytes on the wire, record headers included */
#define CLIENTHELLO_ALPN_MAX 32
#define CLIENTHELLO_EXTENSIONS_MAX 128

enum clienthello_result {
	CLIENTHELLO_MORE = 0,
	CLIENTHELLO_OK,
	CLIENTHELLO_NOT_TLS, /* the first bytes are no TLS handshake record */
	CLIENTHELLO_BAD,     /* TLS, but not acceptable: reason and alert say why */
};

/* TLS alert descriptions (RFC 8446 6) that a refusal can carry. */
enum clienthello_alert {
	CLIENTHELLO_ALERT_UNEXPECTED_MESSAGE = 10,
	CLIENTHELLO_ALERT_RECORD_OVERFLOW = 22,
	CLIENTHELLO_ALERT_ILLEGAL_PARAMETER = 47,
	CLIENTHELLO_ALERT_DECODE_ERROR = 50,
	CLIENTHELLO_ALERT_PROTOCOL_VERSION = 70,
	CLIENTHELLO_ALERT_UNRECOGNIZED_NAME = 112,
};

struct clienthello {
	/* Valid after OK. */
	bool has_sni;
	char sni[DEST_HOST_MAX + 1]; /* canonical (wire/dest), always a name */
	size_t alpn_count;
	bool has_alpn;
	bool alpn_h2;         /* "h2" is offered */
	bool alpn_http11;     /* "http/1.1" is offered */
	uint16_t max_version; /* the highest of 0x0301-0x0304 offered; 0 where it offers none of them */
	bool tls12, tls13;
	bool ech;       /* an encrypted ClientHello or encrypted SNI extension, GREASE or real */
	bool ech_inner; /* it says that it is an inner ClientHello */
	bool early_data;
	/* Valid after BAD and NOT_TLS. */
	const char *reason; /* static text */
	enum clienthello_alert alert;
	/* The reader. */
	enum clienthello_result result;
	size_t taken; /* bytes taken from the connection, all of them part of the ClientHello's records */
	uint8_t record[5];
	size_t record_head; /* bytes of the record's header seen */
	size_t record_left; /* bytes of the record's payload to come */
	size_t n;           /* bytes of msg */
	uint16_t alpn_at[CLIENTHELLO_ALPN_MAX];
	uint8_t msg[CLIENTHELLO_MAX]; /* the handshake message, 4-byte header included */
};

/* Takes the next n bytes. After OK, ch->taken says how many bytes of the connection the ClientHello took in all; what follows
 * them in `bytes` was not looked at. */
enum clienthello_result clienthello_feed(struct clienthello *ch, const uint8_t *bytes, size_t n);
/* The i-th protocol offered, i < alpn_count; borrowed from ch, not terminated. */
const uint8_t *clienthello_alpn(const struct clienthello *ch, size_t i, size_t *ret_n);

#endif
