/* SPDX-License-Identifier: Apache-2.0
 *
 * ytree: a text of YAML 1.1 as a tree that knows its lines. Only the plain subset: one document; mappings, lists and
 * scalars, all of which are strings; no anchor, alias or tag, no key twice, no key that is not a scalar, at most
 * YTREE_DEPTH levels and YTREE_NODES nodes, so that the tree is never larger than the text by more than a constant. No I/O.
 */
#ifndef SBX_WIRE_YTREE_H
#define SBX_WIRE_YTREE_H

#include <stddef.h>

#include "base/err.h"

#define YTREE_DEPTH 16
#define YTREE_NODES 8192

enum ytree_kind { YTREE_SCALAR, YTREE_LIST, YTREE_MAP };

struct ytree {
	enum ytree_kind kind;
	unsigned line;      /* where it begins, from 1 */
	char *key;          /* owned; of a member of a mapping: its name; else NULL */
	unsigned key_line;  /* of the key */
	char *text;         /* owned; of a scalar: UTF-8 without NUL; else NULL */
	size_t len;
	struct ytree *first; /* owned; what is in a list or mapping, in its order */
	struct ytree *next;
	size_t n; /* how many of them */
};

/* The tree of n bytes (owned: ytree_free), or NULL with ERR_INVALID and "line N: ..." (or ENOMEM). */
struct ytree *ytree_parse(const char *text, size_t n, struct err *err);
void ytree_free(struct ytree *y);
/* The member of a mapping; NULL where there is none, or y is none. */
const struct ytree *ytree_get(const struct ytree *y, const char *key);

#endif
