/* SPDX-License-Identifier: Apache-2.0
 *
 * httpmsg: the head of one HTTP request or response, whatever version carried it: what the proxy decides on, changes, and
 * writes anew. HTTP/1 (httphead.h) and HTTP/2 fronts fill the same struct by the same functions, so both meet the same checks.
 *
 * All bytes of a message stand in one arena that grows up to a maximum given at the start; spans are offsets into it, so they
 * stay valid when it grows, and pointers got from them do not. Each span is followed by a NUL in the arena and holds none.
 *
 * What frames a message is never among its fields: Host is `authority`, Content-Length and Transfer-Encoding are `body` and `length`,
 * Connection, Upgrade, TE, Expect are flags. So a message that was completed can be written in one way only, and no field that
 * a peer sent can change where it ends. Field names keep their spelling; they compare without case.
 *
 * Filling, whoever does it: httpmsg_init once; per message httpmsg_reset, the spans (httpmsg_set_*), httpmsg_add per field,
 * httpmsg_complete. A refusal is a status and a short static text; the message is then good for nothing but a reset.
 */
#ifndef SBX_WIRE_HTTPMSG_H
#define SBX_WIRE_HTTPMSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/dest.h"

#define HTTPMSG_REQUEST_HEAD_MAX (64U << 10)
#define HTTPMSG_REQUEST_FIELDS_MAX 128
#define HTTPMSG_TARGET_MAX (16U << 10)
#define HTTPMSG_RESPONSE_HEAD_MAX (128U << 10)
#define HTTPMSG_RESPONSE_FIELDS_MAX 256
#define HTTPMSG_METHOD_MAX 32

enum httpmsg_kind { HTTPMSG_REQUEST, HTTPMSG_RESPONSE };
enum httpmsg_version { HTTPMSG_1_0, HTTPMSG_1_1, HTTPMSG_2 };

/* Methods that anything depends on; all others are OTHER and have only a name. */
enum httpmsg_method { HTTPMSG_OTHER, HTTPMSG_GET, HTTPMSG_HEAD, HTTPMSG_POST, HTTPMSG_OPTIONS, HTTPMSG_CONNECT };

/* How a request names its target (RFC 9112 3.2). HTTP/2 requests are ORIGIN, AUTHORITY (CONNECT) or ASTERISK. */
enum httpmsg_form { HTTPMSG_ORIGIN, HTTPMSG_ABSOLUTE, HTTPMSG_AUTHORITY, HTTPMSG_ASTERISK };

/* What ends the body. */
enum httpmsg_body {
	HTTPMSG_BODY_NONE,
	HTTPMSG_BODY_LENGTH,  /* after `length` bytes; may be 0 */
	HTTPMSG_BODY_CHUNKED, /* the last chunk; in HTTP/2 the stream's end without a known length */
	HTTPMSG_BODY_EOF,     /* the connection's end; responses only */
};

/* Fields that something here depends on. */
enum httpmsg_field {
	HTTPMSG_F_OTHER,
	HTTPMSG_F_HOST,
	HTTPMSG_F_CONTENT_LENGTH,
	HTTPMSG_F_TRANSFER_ENCODING,
	HTTPMSG_F_CONNECTION,
	HTTPMSG_F_UPGRADE,
	HTTPMSG_F_EXPECT,
	HTTPMSG_F_TE,
	HTTPMSG_F_TRAILER,
	HTTPMSG_F_KEEP_ALIVE,
	HTTPMSG_F_PROXY_CONNECTION,
	HTTPMSG_F_PROXY_AUTHORIZATION,
	HTTPMSG_F_PROXY_AUTHENTICATE,
	HTTPMSG_F_PROXY_AUTHENTICATION_INFO,
	HTTPMSG_F_HTTP2_SETTINGS,
	HTTPMSG_F_ALT_SVC,
	HTTPMSG_F_AUTHORIZATION,
	HTTPMSG_F_COOKIE,
	HTTPMSG_F_CONTENT_TYPE,
	HTTPMSG_F_CONTENT_ENCODING,
	HTTPMSG_F_SEC_WEBSOCKET_KEY,
	HTTPMSG_F_SEC_WEBSOCKET_VERSION,
	HTTPMSG_F_SEC_WEBSOCKET_ACCEPT,
	HTTPMSG_F_SEC_WEBSOCKET_PROTOCOL,
	HTTPMSG_F_SEC_WEBSOCKET_EXTENSIONS,
	HTTPMSG_F_COUNT,
};

struct httpmsg_span {
	uint32_t at, n; /* n 0: not there, or empty */
};

struct httpmsg_entry {
	struct httpmsg_span name, value; /* the value without white space around it */
	uint16_t id;                     /* enum httpmsg_field */
	uint16_t hop;                    /* ends at this hop; httpmsg_strip removes it */
};

/* Why a message is refused. status is what a client is told: 400, 405, 413, 414, 417, 431, 501; 502 for every response. */
struct httpmsg_refusal {
	uint16_t status;
	const char *reason; /* static: "two Host fields" */
};

struct httpmsg {
	enum httpmsg_kind kind;
	enum httpmsg_version version;

	/* Requests. */
	enum httpmsg_method method_id;
	enum httpmsg_form form;
	enum dest_scheme scheme; /* of the connection, or of an absolute-form target */
	struct httpmsg_span method;
	struct httpmsg_span authority; /* as it came: the target's where it has one, else Host */
	struct httpmsg_span path;      /* "/path?query" or "*"; of CONNECT nothing */
	struct dest dest;              /* what authority means; by it everything is decided */

	/* Responses. */
	uint16_t status; /* 100-599 */
	struct httpmsg_span phrase; /* of one that is written: instead of the standard reason phrase */

	enum httpmsg_body body;
	bool has_length;  /* length was told; also where there is no body (HEAD, 304) */
	uint64_t length;
	bool close;           /* no message follows this one on its connection */
	bool expect_continue; /* the client waits for 100 before it sends its body */
	bool te_trailers;     /* TE: trailers */
	bool websocket;       /* request: a valid WebSocket handshake; response: 101 to one */

	/* Kept by the functions below. */
	struct httpmsg_entry *entries; /* owned */
	uint32_t nentries, entries_cap, entries_max;
	char *arena; /* owned */
	uint32_t arena_n, arena_cap, arena_max;
	struct httpmsg_span host; /* of the Host field */
	uint8_t seen[HTTPMSG_F_COUNT]; /* how often each known field came, up to 255 */
	bool to_head;                  /* response: to HEAD */
	bool to_connect;               /* response: to CONNECT */
	bool to_websocket;             /* response: to a WebSocket handshake */
};

/* Nothing is allocated yet. */
void httpmsg_init(struct httpmsg *m, enum httpmsg_kind kind);
void httpmsg_done(struct httpmsg *m);
/* Ready for the next message; scheme is the connection's. Keeps small allocations, gives large ones back. */
void httpmsg_reset(struct httpmsg *m, enum dest_scheme scheme);
/* Before a response: the request that it answers; it decides about the body. */
void httpmsg_answers(struct httpmsg *res, const struct httpmsg *req);

/* Of a span: its bytes, terminated; valid until bytes are added to the message. "" where there are none. */
static inline const char *httpmsg_str(const struct httpmsg *m, struct httpmsg_span s)
{
	return s.n ? m->arena + s.at : "";
}

/* Each copies its bytes (which may not stand in the message's own arena) and checks them; the method comes before the path: 0, -EPROTO (refused: *why), -ENOMEM (*why: 431 past the arena's bound). Methods are
 * upper-case tokens; TRACE and TRACK are refused with 405. */
int httpmsg_set_method(struct httpmsg *m, const char *s, size_t n, struct httpmsg_refusal *why);
int httpmsg_set_authority(struct httpmsg *m, const char *s, size_t n, struct httpmsg_refusal *why);
int httpmsg_set_path(struct httpmsg *m, const char *s, size_t n, struct httpmsg_refusal *why);
/* A reason phrase of our own, printable ASCII: 0, -EINVAL, -ENOMEM. HTTP/2 has none. */
int httpmsg_set_phrase(struct httpmsg *m, const char *s);
/* A field: the name must be a token, the value free of control bytes other than tab. Not for pseudo-headers. */
int httpmsg_add(struct httpmsg *m, const char *name, size_t name_n, const char *value, size_t value_n,
		struct httpmsg_refusal *why);
/* For a parser that puts bytes into the arena itself: appends n of them, and pushes a field of which both spans stand there already. The byte
 * behind each span becomes its terminator, so it must not be needed any more. As httpmsg_add otherwise. */
int httpmsg_raw(struct httpmsg *m, const void *bytes, size_t n, struct httpmsg_refusal *why);
int httpmsg_push(struct httpmsg *m, struct httpmsg_span name, struct httpmsg_span value, struct httpmsg_refusal *why);

/* All fields are there: decides host, framing and connection, or refuses. Removes the framing fields from the array and marks hop-by-hop ones,
 * those that Connection lists included; Connection may not list what frames or routes. In HTTP/2: -EPROTO on
 * connection-specific fields, TE other than trailers, a Host that is not :authority. end_stream: HTTP/2, no body follows. */
int httpmsg_complete(struct httpmsg *m, bool end_stream, struct httpmsg_refusal *why);

/* Removes the fields that end at this hop (RFC 9110 7.6.1), Proxy-* and, of responses, Alt-Svc. The flags stay. */
void httpmsg_strip(struct httpmsg *m);
/* Index of the first field of that id (not OTHER) at or after from, or -1. */
int httpmsg_find(const struct httpmsg *m, enum httpmsg_field id, uint32_t from);
/* The same by name, any case. */
int httpmsg_find_name(const struct httpmsg *m, const char *name, size_t n, uint32_t from);
static inline const char *httpmsg_value(const struct httpmsg *m, int index)
{
	return httpmsg_str(m, m->entries[index].value);
}
/* Removes all fields of that name; how many there were. */
unsigned int httpmsg_remove(struct httpmsg *m, const char *name);
/* Replaces all fields of that name by one (value not in the message's own arena), checked as httpmsg_add does; framing names are -EINVAL. */
int httpmsg_put(struct httpmsg *m, const char *name, const char *value, size_t value_n);
/* Replaces the path by its canonical form, query included. */
int httpmsg_replace_path(struct httpmsg *m, const char *s, size_t n);
/* Lower-case field names, as HTTP/2 writes them. */
void httpmsg_lower(struct httpmsg *m);

/* Whether the request means d: same host, same port. */
bool httpmsg_is_for(const struct httpmsg *m, const struct dest *d);
/* How a response must be framed for the client of req: an HTTP/1.0 client gets no chunks, an HTTP/1.1 client no body that only the
 * connection's end ends; close where the request said so. */
void httpmsg_frame_for(struct httpmsg *res, const struct httpmsg *req);

enum httpmsg_field httpmsg_field_id(const char *name, size_t n);
bool httpmsg_is_token(const char *s, size_t n);
bool httpmsg_is_value(const char *s, size_t n);

#endif
