/* SPDX-License-Identifier: Apache-2.0
 *
 * keepermsg: what is said to sbx-keeper and what it says: one JSON object per SOCK_SEQPACKET message, at most
 * KEEPERMSG_MAX_BYTES, one reply per request in order. docs/network.md has the table.
 *
 *   {"op":"attach","sandbox":"ID"}                 {"ok":true,"ca":"PEM","ca_hash":"0123abcd"}
 *   {"op":"leaf","host":"HOST","spki":"BASE64"}    {"ok":true,"cert":"BASE64"}
 *   {"op":"forget","sandbox":"ID"}                 {"ok":true}
 *   {"op":"version"}                               {"ok":true,"version":"0.1.0","pid":1,"landlock":true,"netns":true}
 *                                                  {"error":{"kind":"not_found","message":"..."}}
 *
 * Both directions are decoded strictly: a member that is not of the form, a missing one, one twice, a string with NUL, a
 * host that is not spelt as wire/dest.h spells it, base64 with anything but its alphabet and full padding: -EINVAL with
 * a message, and the output is untouched. What decodes, encodes again to a message that decodes to the same. No I/O.
 */
#ifndef SBX_WIRE_KEEPERMSG_H
#define SBX_WIRE_KEEPERMSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "wire/dest.h"

#define KEEPERMSG_MAX_BYTES 65536
#define KEEPERMSG_ID 37 /* a UUID in lower case and NUL */
#define KEEPERMSG_SPKI_MAX 1024
#define KEEPERMSG_CERT_MAX 8192
#define KEEPERMSG_PEM_MAX 8192
#define KEEPERMSG_HASH 9 /* 8 hexadecimal digits in lower case and NUL */

enum keepermsg_op { KEEPERMSG_ATTACH, KEEPERMSG_LEAF, KEEPERMSG_FORGET, KEEPERMSG_VERSION };

struct keepermsg_request {
	enum keepermsg_op op;
	char sandbox[KEEPERMSG_ID];       /* attach, forget */
	struct dest host;                 /* leaf; port and scheme mean nothing */
	uint8_t spki[KEEPERMSG_SPKI_MAX]; /* leaf: DER SubjectPublicKeyInfo, not looked into here */
	size_t spki_len;
};

struct keepermsg_reply {
	struct err error;                 /* kind ERR_NONE: ok */
	char ca[KEEPERMSG_PEM_MAX];       /* attach; else "" */
	char ca_hash[KEEPERMSG_HASH];     /* attach: as OpenSSL names it in a directory; "" from a keeper of before; else "" */
	uint8_t cert[KEEPERMSG_CERT_MAX]; /* leaf: DER */
	size_t cert_len;
	char version[32]; /* version; else "" */
	int64_t pid;      /* version; else 0 */
	bool landlock, netns;
};

int keepermsg_decode(const char *json, size_t n, struct keepermsg_request *ret, struct err *err);
/* Whether it begins as keepermsg_encode writes a request for a leaf: what does can decode as no other. */
bool keepermsg_begins_leaf(const char *json, size_t n);
/* Appends the message. -EINVAL where r breaks a rule; -ENOMEM, -EMSGSIZE. */
int keepermsg_encode(const struct keepermsg_request *r, struct buf *out);

/* The reply to a request of kind op. An error reply is 0, too: ret->error says it, its text made printable. */
int keepermsg_decode_reply(enum keepermsg_op op, const char *json, size_t n, struct keepermsg_reply *ret,
			   struct err *err);
int keepermsg_encode_reply(enum keepermsg_op op, const struct keepermsg_reply *r, struct buf *out);

/* Whether s names a sandbox: also what keeps an id from being a path. */
bool keepermsg_id_ok(const char *s);

/* Base64 (RFC 4648, section 4) with padding: an owned string, NULL on -ENOMEM; and back, the one spelling only: bytes, or -EINVAL. */
char *keepermsg_base64(const uint8_t *bytes, size_t n);
ssize_t keepermsg_unbase64(const char *s, size_t n, uint8_t *dst, size_t max);

#endif
