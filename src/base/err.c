/* SPDX-License-Identifier: Apache-2.0
 *
 * err: see err.h. No allocation, no I/O.
 */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	int http;
	int errnum;
} kinds[] = {
	[ERR_NONE] = { "none", 200, EIO },
	[ERR_INVALID] = { "invalid", 400, EINVAL },
	[ERR_NOT_FOUND] = { "not_found", 404, ENOENT },
	[ERR_DENIED] = { "denied", 403, EACCES },
	[ERR_CONFLICT] = { "conflict", 409, EEXIST },
	[ERR_UNAVAILABLE] = { "unavailable", 503, EAGAIN },
	[ERR_TIMEOUT] = { "timeout", 504, ETIMEDOUT },
	[ERR_INTERNAL] = { "internal", 500, EIO },
};
_Static_assert(sizeof(kinds) / sizeof(kinds[0]) == ERR_INTERNAL + 1, "a row for each kind");

static int code_of(enum err_kind kind, int errnum)
{
	return errnum > 0 ? -errnum : -kinds[kind].errnum;
}

int err_set(struct err *err, enum err_kind kind, int errnum, const char *fmt, ...)
{
	if (err) {
		struct err e = { .kind = kind, .errnum = errnum };
		va_list ap;

		va_start(ap, fmt);
		(void)vsnprintf(e.msg, sizeof(e.msg), fmt, ap);
		va_end(ap);
		*err = e;
	}
	return code_of(kind, errnum);
}

static enum err_kind kind_of_errno(int errnum)
{
	switch (errnum) {
	case ENOENT:
		return ERR_NOT_FOUND;
	case EACCES:
	case EPERM:
		return ERR_DENIED;
	case ENOSPC:
	case EDQUOT:
	case EROFS:
	case ENOMEM:
	case EMFILE:
	case ENFILE:
		return ERR_UNAVAILABLE;
	case ETIMEDOUT:
		return ERR_TIMEOUT;
	default:
		return ERR_INTERNAL;
	}
}

int err_errno(struct err *err, int errnum, const char *fmt, ...)
{
	enum err_kind kind = kind_of_errno(errnum);

	if (err) {
		char text[sizeof(err->msg)];
		va_list ap;

		va_start(ap, fmt);
		(void)vsnprintf(text, sizeof(text), fmt, ap);
		va_end(ap);
		return err_set(err, kind, errnum, "%.380s: %s", text, strerror(errnum));
	}
	return code_of(kind, errnum);
}

int err_wrap(struct err *err, const char *fmt, ...)
{
	struct err inner;
	char prefix[sizeof(inner.msg)];
	va_list ap;

	if (!err)
		return -EIO;
	inner = *err;
	va_start(ap, fmt);
	(void)vsnprintf(prefix, sizeof(prefix), fmt, ap);
	va_end(ap);
	return err_set(err, inner.kind, inner.errnum, "%.120s: %.380s", prefix, inner.msg);
}

int err_code(const struct err *err)
{
	return code_of(err->kind, err->errnum);
}

const char *err_kind_name(enum err_kind kind)
{
	return kinds[kind].name;
}

enum err_kind err_kind_from_name(const char *s)
{
	for (int k = ERR_INVALID; k <= ERR_INTERNAL; k++)
		if (s && strcmp(kinds[k].name, s) == 0)
			return (enum err_kind)k;
	return ERR_INTERNAL;
}

int err_kind_http(enum err_kind kind)
{
	return kinds[kind].http;
}
