/* SPDX-License-Identifier: Apache-2.0
 *
 * openurl: a URL that a program in a sandbox asks the host to open. It is read in one way only and written anew, so that the browser,
 * the policy and we mean the same; what could be read in two ways is refused. No allocation, no I/O.
 *
 * Taken: http and https with "://", a host as wire/dest.h has it (no user name), 8 KiB at most. Refused: control bytes and blanks anywhere,
 * a backslash (browsers take it for a slash), a host that is not ASCII. In what follows the host, bytes that no URL has are
 * percent-encoded; percent signs stay as they are.
 *
 * A URL of a sign-in may say where the browser is sent afterwards: a query member redirect_uri (redirect_url, callback, callback_url) with
 * http://localhost:PORT/PATH, 127.0.0.1 or [::1]. That is the callback. A port below 1024 is none.
 */
#ifndef SBX_WIRE_OPENURL_H
#define SBX_WIRE_OPENURL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/dest.h"

#define OPENURL_MAX 8192
#define OPENURL_CALLBACK_PATH_MAX 255
#define OPENURL_CALLBACK_PORT_MIN 1024

struct openurl_callback {
	uint16_t port;  /* 0: there is none */
	char host[16];  /* "localhost", "127.0.0.1", "::1" */
	char path[OPENURL_CALLBACK_PATH_MAX + 1]; /* begins with a slash; without a query */
};

struct openurl {
	struct dest dest;            /* DEST_HTTP or DEST_HTTPS */
	char text[OPENURL_MAX + 1];  /* the whole, canonical; printable ASCII */
	size_t path_at;              /* where in text the path begins, with its slash; the end is text's */
	struct openurl_callback callback;
};

enum openurl_refusal {
	OPENURL_OK = 0,
	OPENURL_LONG,
	OPENURL_BYTE,      /* a control byte or a blank */
	OPENURL_BACKSLASH,
	OPENURL_SCHEME,    /* neither http nor https */
	OPENURL_HOST,      /* *ret_why says what is wrong with it */
	OPENURL_REFUSALS,
};

/* n bytes. On refusal *ret is undefined; *ret_why is a static text, for every result. */
enum openurl_refusal openurl_parse(const char *s, size_t n, struct openurl *ret, const char **ret_why);
/* Where the answer to the callback leads on to, of n bytes, a Location field's: to the callback's own host and port. *dst is what is asked for there, "/PATH?QUERY",
 * without a fragment. -EINVAL: to another place, or it cannot be read for certain. */
int openurl_next(const struct openurl_callback *from, const char *location, size_t n, char dst[OPENURL_MAX + 1]);
/* Leads it to another host and port (an IPv6 address without brackets), everything else as it is. -EINVAL: no host; -EMSGSIZE. */
int openurl_move(struct openurl *u, const char *host, uint16_t port);
/* The machine that a program runs on: localhost, a loopback address, 0.0.0.0 or ::. */
bool openurl_is_local(const struct openurl *u);
/* "https://host:port", the path with its query and without a fragment: what the policy is asked. Both terminated. */
void openurl_origin(const struct openurl *u, char dst[DEST_PRINT_MAX + 8]);
void openurl_request(const struct openurl *u, char dst[OPENURL_MAX + 1]);

#endif
