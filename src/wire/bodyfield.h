/* SPDX-License-Identifier: Apache-2.0
 *
 * bodyfield: one named field of a query, of a form (application/x-www-form-urlencoded, WHATWG URL 5) or of a JSON object (RFC 8259), given
 * another value; every other byte stays as it is. What a server could read in another way than we do is refused, not repaired. No I/O.
 */
#ifndef SBX_WIRE_BODYFIELD_H
#define SBX_WIRE_BODYFIELD_H

#include <stddef.h>

#include "base/buf.h"

/* What is looked for, and what it becomes. */
struct bodyfield {
	const char *name;
	const char *has;   /* the value that it must have; NULL: whatever it has */
	const char *value; /* printable ASCII. Of a query or form NULL: the field is left out, with its '&' */
};

enum bodyfield_kind { BODYFIELD_NEITHER, BODYFIELD_FORM, BODYFIELD_JSON };

/* By Content-Type, parameters aside; JSON: application/json and +json. */
enum bodyfield_kind bodyfield_kind(const char *content_type);

/* Both append to out what s becomes: 1. Or 0: there is no such field, and nothing is appended. -EACCES: it has another value, or is there twice;
 * -EPROTO: s cannot be read for certain; -ENOMEM, -EMSGSIZE. Wipe out. */
int bodyfield_form(const char *s, size_t n, const struct bodyfield *f, struct buf *out);
/* A member of the object that s is, not of one inside it. */
int bodyfield_json(const char *s, size_t n, const struct bodyfield *f, struct buf *out);

#endif
