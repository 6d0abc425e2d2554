/* SPDX-License-Identifier: Apache-2.0
 *
 * storemsg: what is said to sbx-keeper about how its store is kept, and the store's key file. Framing and errors are those of
 * keepermsg.h; docs/secrets.md tells what the protections are.
 *
 *   {"op":"store-status"}                                     {"ok":true,"protection":P,"locked":B,"id":"..","kdf":KDF|null,"why":".."}
 *   {"op":"store-unlock","key":"<64 hex digits>","expires":N} {"ok":true}
 *   {"op":"store-lock"}                                       {"ok":true}
 *   {"op":"store-protect","protection":P,"id":"..","kdf":KDF|null,"key":"<64 hex digits>"|null}     {"ok":true}
 *   {"op":"store-reset"}                                      {"ok":true}: everything in it is gone
 *
 *   P    "undecided" (no key was ever found), "none" (by choice), "service", "passphrase"
 *   KDF  {"salt":"<32 hex digits>","n":131072,"r":8,"p":1}, scrypt (RFC 7914); with "passphrase" only
 *
 * The key of these messages opens the store's key, which lies in STATE/keeper/secrets/key.json:
 *   {"v":1,"protection":P,"id":"..","kdf":KDF|null,"wrapped":"<hex of a container, wire/sealed.h>"|null}
 * Strict, fixed sizes, no I/O.
 */
#ifndef SBX_WIRE_STOREMSG_H
#define SBX_WIRE_STOREMSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "wire/keepermsg.h"
#include "wire/sealed.h"

#define STOREMSG_KEY 32
#define STOREMSG_ID 33 /* 32 hexadecimal digits and NUL */
#define STOREMSG_SALT 16
#define STOREMSG_WRAPPED (SEALED_HEAD + STOREMSG_KEY)
/* scrypt takes 128 * n * r bytes: 256 MiB at most. */
#define STOREMSG_KDF_N_MAX (1U << 18)

enum storemsg_protection { STOREMSG_UNDECIDED, STOREMSG_NONE, STOREMSG_SERVICE, STOREMSG_PASSPHRASE };
enum storemsg_op { STOREMSG_STATUS, STOREMSG_UNLOCK, STOREMSG_LOCK, STOREMSG_PROTECT, STOREMSG_RESET };

struct storemsg_kdf {
	uint8_t salt[STOREMSG_SALT];
	uint32_t n, r, p; /* n 0: none */
};

/* By what the store's key is kept. */
struct storemsg_lock {
	enum storemsg_protection protection;
	char id[STOREMSG_ID]; /* of the key: service, passphrase; else "" */
	struct storemsg_kdf kdf; /* passphrase */
};

struct storemsg_request {
	enum storemsg_op op;
	struct storemsg_lock lock; /* protect */
	uint8_t key[STOREMSG_KEY]; /* unlock; protect with service or passphrase */
	uint64_t expires_s;        /* unlock: of CLOCK_BOOTTIME; 0: never */
};

struct storemsg_status {
	struct storemsg_lock lock;
	bool locked;
	char why[513]; /* it is locked */
};

struct storemsg_file {
	struct storemsg_lock lock;
	uint8_t wrapped[STOREMSG_WRAPPED]; /* service, passphrase */
};

const char *storemsg_protection_name(enum storemsg_protection p);

/* -ENOENT: its op is none of these. Wipe what holds a key. */
int storemsg_decode(const char *json, size_t n, struct storemsg_request *ret, struct err *err);
int storemsg_encode(const struct storemsg_request *r, struct buf *out);
/* Of an error reply secretmsg_decode_ok tells. */
int storemsg_decode_status(const char *json, size_t n, struct storemsg_status *ret, struct err *err);
int storemsg_encode_status(const struct storemsg_status *s, struct buf *out);
int storemsg_decode_file(const char *json, size_t n, struct storemsg_file *ret, struct err *err);
int storemsg_encode_file(const struct storemsg_file *f, struct buf *out);

/* Of str_hex: exactly n bytes, lower case: 0 or -EINVAL. */
int storemsg_unhex(const char *s, size_t n, uint8_t *dst);

#endif
