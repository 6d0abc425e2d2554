/* SPDX-License-Identifier: Apache-2.0
 *
 * err: what went wrong, in words a person can act on.
 *
 * A `struct err` lives on the caller's stack: no allocation on the failure path, valid after fork and on
 * ENOMEM, and it crosses a process boundary as (kind, message). The kind alone decides the HTTP status and
 * the exit code; the errno is for code, the message for people: it names the thing, what was wrong with it,
 * and what to do. On success an err is never touched.
 */
#ifndef SBX_BASE_ERR_H
#define SBX_BASE_ERR_H

#include <stdbool.h>
#include <stddef.h>

enum err_kind {
	ERR_NONE = 0,
	ERR_INVALID,     /* the request itself is wrong: HTTP 400 */
	ERR_NOT_FOUND,   /* the named thing does not exist: HTTP 404 */
	ERR_DENIED,      /* not permitted: HTTP 403 */
	ERR_CONFLICT,    /* exists already, or is in another state: HTTP 409 */
	ERR_UNAVAILABLE, /* something it needs is missing, full or down: HTTP 503 */
	ERR_TIMEOUT,     /* a deadline passed: HTTP 504 */
	ERR_INTERNAL,    /* our fault: HTTP 500 */
};

struct err {
	enum err_kind kind;
	int errnum; /* positive errno, 0 where none applies */
	char msg[512];
};

/* Fills *err (NULL is allowed) and returns -errnum, or -EINVAL.. by kind where errnum is 0. Always negative. */
int err_set(struct err *err, enum err_kind kind, int errnum, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* As err_set with ": strerror(errnum)" appended and the kind taken from errnum (ENOENT: NOT_FOUND, EACCES/EPERM:
 * DENIED, ENOSPC/EDQUOT/EROFS: UNAVAILABLE, ETIMEDOUT: TIMEOUT, else INTERNAL). */
int err_errno(struct err *err, int errnum, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "PREFIX: " before the message; keeps kind and errno; returns the code again. */
int err_wrap(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The code that err_set returned for it. */
int err_code(const struct err *err);

const char *err_kind_name(enum err_kind kind);    /* "not_found" */
enum err_kind err_kind_from_name(const char *s);  /* ERR_INTERNAL for unknown names */
int err_kind_http(enum err_kind kind);            /* 404 */

#endif
