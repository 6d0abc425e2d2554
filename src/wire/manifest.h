/* SPDX-License-Identifier: Apache-2.0
 *
 * manifest: what a template consists of, as the file CACHE/templates/NAME.json says it. JSON text becomes a
 * struct that holds everything by value, and back; manifest_parse(manifest_print(m)) == m. Every blob is named by
 * the SHA-256 of its content and lies at CACHE/templates/blobs/DIGEST. No I/O.
 *
 *   {"schema":1,"name":"base","inputs":"HEX","created":"RFC 3339",
 *    "layers":[{"digest":"HEX","bytes":N,"format":"squashfs"}, ...],     lowest layer first
 *    "kernel":{"digest":"HEX","bytes":N,"release":"6.12..."},            ELF, started by PVH
 *    "modules":{"digest":"HEX","bytes":N}}                               newc archive, modules/NN-name.ko
 *
 * Members that it does not know are ignored; another schema is refused.
 */
#ifndef SBX_WIRE_MANIFEST_H
#define SBX_WIRE_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define MANIFEST_SCHEMA 1
#define MANIFEST_MAX_BYTES (64U << 10)
#define MANIFEST_MAX_LAYERS 32
#define MANIFEST_DIGEST 65 /* 64 lower-case hex digits and NUL */

struct manifest_blob {
	char digest[MANIFEST_DIGEST];
	uint64_t bytes; /* 1 .. INT64_MAX */
};

struct manifest {
	char name[64];                /* [a-z0-9][a-z0-9._-]* */
	char inputs[MANIFEST_DIGEST]; /* of everything that the template was made from */
	char created[32];
	struct manifest_blob layers[MANIFEST_MAX_LAYERS];
	size_t nlayers; /* >= 1 */
	struct manifest_blob kernel;
	char release[65]; /* of the kernel */
	struct manifest_blob modules;
};

/* ERR_INVALID and a message that names the member for anything but a manifest; *ret is untouched then. */
int manifest_parse(const char *json, size_t n, struct manifest *ret, struct err *err);
/* Appends the JSON text and a newline. -EINVAL where m itself breaks a rule, -ENOMEM, -EMSGSIZE. */
int manifest_print(const struct manifest *m, struct buf *out);
/* Whether s may name a template: also what keeps a name from being a path. */
bool manifest_name_ok(const char *s);

#endif
