/* SPDX-License-Identifier: Apache-2.0
 *
 * target: the path of an HTTP request in its one canonical form, and the patterns that rules compare it with.
 *
 * Canonical: each percent escape decoded once and written back only where the byte cannot stand for itself, its digits in
 * upper case; segments neither empty (but for a trailing slash) nor "." nor "..". A path that two servers could read as two paths
 * has no canonical form: dots and empty segments, escaped slashes between dots, backslashes, an escape of an escape, control
 * bytes, ';' parameters. Then `fault` says why, and rules with a path treat the request as refused. A request that a path rule let
 * pass is sent on in the canonical form, never as it came.
 *
 * A pattern is a canonical path in which `*` stands for any bytes within one segment (at least one where it is the whole segment)
 * and `**`, alone in its segment, for any number of segments, none included: "/v1/" + "**" is /v1, /v1/ and all below.
 * An escaped slash (%2F) in a path is matched only by a pattern that writes one, and by no wildcard.
 */
#ifndef SBX_POLICY_TARGET_H
#define SBX_POLICY_TARGET_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

#define TARGET_MAX 16384       /* bytes of a request target */
#define TARGET_PATTERN_MAX 1024

enum target_fault {
	TARGET_OK = 0,
	TARGET_FORM,          /* does not begin with '/' */
	TARGET_LONG,
	TARGET_BYTE,          /* a byte outside printable ASCII, or '#' */
	TARGET_ESCAPE,        /* '%' without two hexadecimal digits */
	TARGET_CONTROL,       /* an escaped control byte */
	TARGET_TWICE,         /* an escape of an escape */
	TARGET_BACKSLASH,
	TARGET_PARAMETER,     /* ';' */
	TARGET_DOTS,          /* a "." or ".." segment */
	TARGET_EMPTY_SEGMENT, /* "//" */
	TARGET_FAULTS,
};

/* Zero is a target that was not given. */
struct target {
	char *path; /* owned: canonical, terminated; NULL where there is a fault */
	size_t path_n;
	bool escaped_slash; /* the path has a %2F */
	bool changed;       /* the path is not what was sent */
	/* It begins a git push (GET .../info/refs?service=git-receive-pack): decided as the POST that it leads to. */
	bool git_push;
	char *push_path; /* owned: that POST's path; NULL without git_push or path */
	enum target_fault fault;
};

/* Reads an origin-form target ("/path?query"), n bytes. 0 also where it has no canonical form (fault); -ENOMEM. */
int target_parse(const char *s, size_t n, struct target *ret);
void target_done(struct target *t);
const char *target_fault_text(enum target_fault fault);

/* The canonical form of a pattern, owned; err says what is wrong with it. */
int target_pattern(const char *s, char **ret, struct err *err);
/* Whether a target's path (push_path where there is one) matches a canonical pattern; false where it has no path. */
bool target_match(const char *pattern, const struct target *t);

#endif
