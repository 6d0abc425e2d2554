/* SPDX-License-Identifier: Apache-2.0
 *
 * session_inner: what session.c and detached.c share; nobody else includes it. The states stand in session.h.
 */
#ifndef SBX_GUEST_SESSION_INNER_H
#define SBX_GUEST_SESSION_INNER_H

#include <uv.h>

#include "base/buf.h"
#include "base/pump.h"
#include "guest/session.h"
#include "wire/record.h"

enum session_state { SESSION_WAITING, SESSION_STARTING, SESSION_RUNNING, SESSION_DRAINING, SESSION_OVER };

/* A pump with its place in life. For a terminal `out` carries both directions and the other two are unused. */
struct channel {
	struct pump pump;
	struct session *session;
	bool open;    /* the descriptor is there */
	size_t owed;  /* bytes that stood in the pipe when the process ended */
};

struct session {
	struct ctl_stream cs;
	struct guest *guest; /* borrowed */
	struct session *prev, *next;
	struct h2_stream *stream; /* NULL once closed */
	enum session_state state;
	unsigned handles; /* that libuv still knows */

	struct buf in;            /* undecoded bytes of records */
	struct buf wait, sending; /* stdin: not pulled yet; pulled */
	size_t piece;             /* bytes of `sending` that the pump has */
	bool in_eof, in_dead;     /* the host's last byte came; the process takes no more */
	uint8_t eof_byte;
	struct buf out;

	struct channel ch_in, ch_out, ch_err;
	uv_timer_t timer;
	uv_poll_t status;
	int status_fd; /* owned; of proc_start */
	int master;    /* owned; of the terminal, see attach */

	char *program, *cwd, *user; /* owned; for messages */
	bool tty;
	pid_t pid; /* leads its own group; only while `alive` is it certainly still ours */
	bool alive, exited;
	bool detached;      /* no stream, but it goes on */
	uint64_t turn;      /* when it was attached last, in the guest's count */
	struct session *heir; /* borrowed, in the START's turn only: who took its stream over */
	size_t old_input;   /* of wait and sending: bytes that came on an earlier stream, whose window is no more */
	int wait_status;
	uint64_t exited_at_ms;
};

/* session.c */
void session_set_reading(struct session *s, bool on);
void session_say_started(struct session *s);
/* The process is gone: what it wrote goes out, then its end. */
void session_drain(struct session *s);
void session_try_finish(struct session *s);
/* FAILED, with what err says. */
void session_fail(struct session *s, const struct err *err);
/* Without a word to the host: HUP, and everything is closed. */
void session_end(struct session *s);
void session_handle_closed(uv_handle_t *h);

/* detached.c */
void session_detach(struct session *s);
/* Whether the START takes over a detached session, which has the stream then. */
bool session_attach(struct session *s, const struct record *rec);

#endif
