/* SPDX-License-Identifier: Apache-2.0
 *
 * http1: HTTP/1.1 (RFC 9110, RFC 9112) of the daemon's API, without I/O. llhttp in strict mode decodes, behind a
 * guard of ours that refuses whatever two readers could read in two ways. The same parser serves the daemon
 * (HTTP1_REQUEST) and the command line (HTTP1_RESPONSE).
 *
 * Refused, with -EPROTO: Content-Length together with Transfer-Encoding, either of them twice, a Content-Length that is
 * not plain digits, a coding other than `chunked`, a request without exactly one Host, a target that does not start
 * with '/' or holds a byte outside printable ASCII, a version other than 1.1, folded lines, white space before a colon,
 * bare CR or LF, control bytes, CONNECT and Upgrade, chunk extensions and trailers, 1xx responses, a response whose
 *body only the end of the connection would end. -EMSGSIZE: a header block past HTTP1_HEAD_MAX, more than
 *HTTP1_FIELDS_MAX fields, a target that is too long, a body past the parser's maximum.
 *
 * A client, in short:
 *
 *	struct buf out;                                   // to send
 *	http1_request(&out, "POST", "/v1/sandboxes", json, strlen(json));
 *	h = http1_new(HTTP1_RESPONSE, 64 << 20, &ops, me); // ops.head, ops.body, ops.complete
 *	while (!done && (n = read(fd, bytes, sizeof(bytes))) > 0)
 *		if (http1_feed(h, bytes, n, &err) < 0) ...       // refused
 *	if (n == 0 && !done) http1_eof(h, &err);            // cut off in the middle
 *	http1_free(h);
 *
 * A server feeds until `complete` was called, writes its answer, and calls http1_next before it feeds what is left.
 */
#ifndef SBX_WIRE_HTTP1_H
#define SBX_WIRE_HTTP1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define HTTP1_HEAD_MAX 16384
#define HTTP1_FIELDS_MAX 64
#define HTTP1_TARGET_MAX 4096

/* What the parser reads. */
enum http1_role { HTTP1_REQUEST, HTTP1_RESPONSE };

struct http1; /* one connection's parser */

/* The start line and the fields that matter here; lives until `complete` returned or the parser is freed. */
struct http1_head {
	char method[16];               /* request: "GET"; response: "" */
	char target[HTTP1_TARGET_MAX]; /* request: "/v1/...?force=true", still percent-encoded; response: "" */
	int status;                    /* response: 200-599; request: 0 */
	char content_type[128];        /* media type in lower case without parameters; "" where absent */
	bool chunked;                  /* the body comes in chunks */
	uint64_t content_length;       /* 0 where chunked */
	bool close;                    /* Connection: close: no message follows this one */
	bool expect_continue;          /* request: Expect: 100-continue; the server answers http1_continue() first */
};

/* Called from inside http1_feed only. A negative return ends the parse with that code; http1_free is not allowed. */
struct http1_ops {
	/* The header block is complete and accepted. May be NULL. */
	int (*head)(void *user, const struct http1_head *head);
	/* Decoded body bytes, in pieces as they arrive. May be NULL: the body is dropped. */
	int (*body)(void *user, const uint8_t *bytes, size_t n);
	/* The message is complete: exactly once per message. May be NULL. */
	int (*complete)(void *user);
};

/* max_body: most bytes of one message's decoded body. ops is borrowed for the parser's life. NULL: out of memory. */
struct http1 *http1_new(enum http1_role role, uint64_t max_body, const struct http1_ops *ops, void *user);
void http1_free(struct http1 *h);

/* Bytes from the peer, in any portions. Returns how many it took: fewer than n only when the message completed; the
 * rest belongs to the next message. Negative: -EPROTO, -EMSGSIZE, -ENOMEM or a callback's code, err says what
 * was wrong (kind ERR_INVALID; a callback that fails fills its own); the parser is dead then and repeats -EPROTO. */
long http1_feed(struct http1 *h, const uint8_t *bytes, size_t n, struct err *err);
/* The peer ended: 0 between two messages or after a complete one, else -EPROTO (cut off). */
int http1_eof(struct http1 *h, struct err *err);
/* Whether the present message is complete / whether any byte of it was seen. */
bool http1_is_complete(const struct http1 *h);
bool http1_is_started(const struct http1 *h);
/* Makes ready for the next message; only after completion of one. */
void http1_next(struct http1 *h);

/* Serializers. Each appends one whole piece to out or changes nothing: 0, -EMSGSIZE (does not fit out's maximum),
 * -ENOMEM, -EINVAL (a method, target or type that could break the framing). */

/* A request; json NULL: no body (n is ignored then), else Content-Type: application/json. Host is "localhost". */
int http1_request(struct buf *out, const char *method, const char *target, const char *json, size_t n);
/* A response with Content-Length. type NULL: no Content-Type. close adds Connection: close. */
int http1_response(struct buf *out, int status, const char *type, const void *body, size_t n, bool close);
/* A response whose body follows in chunks: the head, each piece (n > 0), the end. */
int http1_response_chunked(struct buf *out, int status, const char *type, bool close);
int http1_chunk(struct buf *out, const void *bytes, size_t n);
int http1_chunk_end(struct buf *out);
/* "100 Continue". */
int http1_continue(struct buf *out);

/* Appends s percent-encoded as one path segment or query value (unreserved characters of RFC 3986 stay): how a client
 * puts a name that a person typed into a target. 0 or -EMSGSIZE/-ENOMEM. */
int http1_encode(struct buf *out, const char *s);
/* Decodes n percent-encoded bytes into dst (NUL-terminated). -EINVAL: a bad escape or a NUL; -ENAMETOOLONG. */
int http1_decode(char *dst, size_t size, const char *s, size_t n);

#endif
