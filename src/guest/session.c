/* SPDX-License-Identifier: Apache-2.0
 *
 * session: see session.h. Records come in through `in`; what is for the process waits in `wait` and `sending` and opens
 * the host's window only when the process took it. What the process writes goes to the stream at once; the part of
 * one record that the stream did not take waits in `out`, and until it is gone nothing more is read.
 */
#include "guest/session.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/own.h"
#include "base/pump.h"
#include "base/str.h"
#include "guest/launch.h"
#include "guest/proc.h"
#include "guest/pty.h"
#include "guest/start.h"
#include "guest/session_inner.h"
#include "wire/record.h"

#define START_TIMEOUT_MS 30000
#define QUIET_MS 250       /* after the exit: how long an open descriptor may be silent */
#define LINGER_MS 2000     /* after the exit: how long a process left behind may keep talking */
#define STDIN_PIECE 65536
#define IN_MAX (RECORD_HEAD + RECORD_MAX + 65536)
#define OUT_MAX (RECORD_HEAD + RECORD_MAX + 8192) /* one record and the last one */

static struct session *of(struct ctl_stream *cs)
{
	return container_of(cs, struct session, cs);
}

/* ---- life ---- */

static void maybe_free(struct session *s)
{
	struct guest *g = s->guest;

	if (s->stream || s->handles)
		return;
	if (s->prev)
		s->prev->next = s->next;
	else
		g->sessions = s->next;
	if (s->next)
		s->next->prev = s->prev;
	g->nsessions--;
	buf_done(&s->in);
	buf_done(&s->wait);
	buf_done(&s->sending);
	buf_done(&s->out);
	free(s->program);
	free(s->cwd);
	free(s->user);
	free(s);
}

void session_handle_closed(uv_handle_t *h)
{
	struct session *s = h->data;

	s->handles--;
	maybe_free(s);
}

static void close_status(struct session *s)
{
	if (s->status_fd < 0)
		return;
	(void)uv_poll_stop(&s->status);
	uv_close((uv_handle_t *)&s->status, session_handle_closed);
	own_close_p(&s->status_fd);
}

static void channel_close(struct channel *ch)
{
	if (!ch->open)
		return;
	ch->open = false;
	pump_stop(&ch->pump);
}

/* The process took n bytes of what it was sent. */
static void took_input(struct session *s, size_t n)
{
	size_t old = n < s->old_input ? n : s->old_input;

	s->old_input -= old;
	if (s->stream && n > old)
		h2_consume(s->stream, n - old);
}

/* ---- to the host ---- */

void session_set_reading(struct session *s, bool on)
{
	if (s->ch_out.open)
		pump_set_reading(&s->ch_out.pump, on);
	if (s->ch_err.open)
		pump_set_reading(&s->ch_err.pump, on);
}

static void reset_stream(struct session *s)
{
	if (s->stream)
		h2_reset(s->stream, H2_INTERNAL_ERROR);
	ctl_kick(s->guest);
}

/* Queues one record. `out` is empty or this is the last record, so that it always has room. */
static void emit(struct session *s, enum record_type type, const void *data, size_t n)
{
	const uint8_t head[RECORD_HEAD] = { (uint8_t)type, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n };
	size_t took = 0;
	int r = 0;

	if (!s->stream)
		return;
	/* A record is only split where its head went whole. */
	if (buf_len(&s->out) == 0 && h2_room(s->stream) >= RECORD_HEAD) {
		if (h2_write(s->stream, head, RECORD_HEAD) < RECORD_HEAD)
			r = -ENOMEM;
		else
			took = n ? h2_write(s->stream, data, n) : 0;
	} else {
		r = buf_append(&s->out, head, RECORD_HEAD);
	}
	if (r == 0 && took < n)
		r = buf_append(&s->out, (const uint8_t *)data + took, n - took);
	if (r < 0) {
		reset_stream(s);
		return;
	}
	if (buf_len(&s->out) > 0)
		session_set_reading(s, false);
	ctl_kick(s->guest);
}

static void flush_out(struct session *s)
{
	size_t n;

	if (!s->stream)
		return;
	n = h2_write(s->stream, buf_bytes(&s->out), buf_len(&s->out));
	buf_consume(&s->out, n);
	if (buf_len(&s->out) > 0)
		return;
	if (s->state == SESSION_OVER)
		h2_shutdown(s->stream);
	else
		session_set_reading(s, true);
	ctl_kick(s->guest);
	session_try_finish(s);
}

/* What the host sent and nobody will take must not keep its window shut. */
static void drop_input(struct session *s)
{
	size_t n = buf_len(&s->wait) + buf_len(&s->sending);

	s->in_dead = true;
	s->piece = 0;
	buf_done(&s->wait);
	buf_done(&s->sending);
	if (n > 0) {
		took_input(s, n);
		ctl_kick(s->guest);
	}
}

static void over(struct session *s, enum record_type type, const void *data, size_t n)
{
	if (s->state == SESSION_OVER)
		return;
	channel_close(&s->ch_in);
	channel_close(&s->ch_out);
	channel_close(&s->ch_err);
	own_close_p(&s->master);
	(void)uv_timer_stop(&s->timer);
	drop_input(s);
	emit(s, type, data, n);
	s->state = SESSION_OVER;
	if (s->stream && buf_len(&s->out) == 0)
		h2_shutdown(s->stream);
	ctl_kick(s->guest);
}

void session_fail(struct session *s, const struct err *err)
{
	json_t *o = json_pack("{s:s, s:i, s:s}", "kind", err_kind_name(err->kind), "errno", err->errnum, "message",
			      err->msg);
	auto_free char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	const char *json = text ? text : "{\"kind\":\"internal\",\"errno\":12,\"message\":\"out of memory\"}";

	json_decref(o);
	over(s, RECORD_FAILED, json, strlen(json));
}

/* ---- between the process and the stream ---- */

static bool readable_now(const struct channel *ch)
{
	struct pollfd p = { .fd = ch->pump.fd, .events = POLLIN };

	return ch->open && poll(&p, 1, 0) > 0;
}

static int channel_bytes(struct pump *p, const uint8_t *bytes, size_t n)
{
	struct channel *ch = container_of(p, struct channel, pump);
	struct session *s = ch->session;
	enum record_type type = ch == &s->ch_err ? RECORD_STDERR : RECORD_STDOUT;

	ch->owed -= n < ch->owed ? n : ch->owed;
	for (size_t at = 0; at < n && s->stream;) {
		size_t piece = n - at < RECORD_MAX ? n - at : RECORD_MAX;

		emit(s, type, bytes + at, piece);
		at += piece;
	}
	if (s->state == SESSION_DRAINING)
		session_try_finish(s);
	return 0;
}

/* The next piece of stdin; the one before was taken by the process. */
static long channel_pull(struct pump *p, const uint8_t **ret)
{
	struct channel *ch = container_of(p, struct channel, pump);
	struct session *s = ch->session;
	struct buf swap;

	if (ch == &s->ch_err || (ch == &s->ch_out && !s->tty))
		return 0;
	if (s->piece > 0) {
		buf_consume(&s->sending, s->piece);
		took_input(s, s->piece);
		s->piece = 0;
		ctl_kick(s->guest);
	}
	if (buf_len(&s->sending) == 0) {
		swap = s->sending;
		s->sending = s->wait;
		s->wait = swap;
	}
	s->piece = buf_len(&s->sending) < STDIN_PIECE ? buf_len(&s->sending) : STDIN_PIECE;
	*ret = buf_bytes(&s->sending);
	if (s->piece > 0 || !s->in_eof || s->in_dead)
		return (long)s->piece;
	s->in_dead = true;
	if (!s->tty) {
		channel_close(ch);
		return 0;
	}
	if (pty_eof_byte(p->fd) < 0)
		return 0;
	s->eof_byte = (uint8_t)pty_eof_byte(p->fd);
	*ret = &s->eof_byte;
	return 1;
}

static void channel_end(struct pump *p, int error)
{
	struct channel *ch = container_of(p, struct channel, pump);
	struct session *s = ch->session;

	ch->open = false;
	ch->owed = 0;
	if (ch == &s->ch_in || s->tty)
		drop_input(s);
	if (s->state == SESSION_DRAINING)
		session_try_finish(s);
}

static void channel_closed(struct pump *p)
{
	struct channel *ch = container_of(p, struct channel, pump);

	ch->session->handles--;
	maybe_free(ch->session);
}

static const struct pump_ops channel_ops = {
	.bytes = channel_bytes, .pull = channel_pull, .end = channel_end, .closed = channel_closed,
};

/* Takes *fd. */
static int channel_open(struct session *s, struct channel *ch, int *fd)
{
	int r;

	if (*fd < 0)
		return 0;
	ch->session = s;
	r = pump_start(&ch->pump, &s->guest->loop, TAKE_FD(*fd), &channel_ops, s);
	if (r < 0)
		return r;
	ch->open = true;
	s->handles++;
	/* Nothing is read before STARTED went out. */
	pump_set_reading(&ch->pump, false);
	return 0;
}

/* ---- the end ---- */

static void send_exit(struct session *s)
{
	bool killed = WIFSIGNALED(s->wait_status);
	const uint8_t end[2] = { killed, (uint8_t)(killed ? WTERMSIG(s->wait_status) : WEXITSTATUS(s->wait_status)) };

	over(s, RECORD_EXIT, end, sizeof(end));
}

static void on_quiet(uv_timer_t *t)
{
	struct session *s = t->data;
	bool linger = io_now_ms() - s->exited_at_ms < LINGER_MS;

	if (s->state != SESSION_DRAINING)
		return;
	/* A slow reader is no silence; and what stood in the pipe at the exit always goes out. */
	if (buf_len(&s->out) > 0 || s->ch_out.owed > 0 || s->ch_err.owed > 0 ||
	    (linger && (readable_now(&s->ch_out) || readable_now(&s->ch_err)))) {
		(void)uv_timer_start(t, on_quiet, QUIET_MS, 0);
		return;
	}
	send_exit(s);
}

void session_try_finish(struct session *s)
{
	bool done = !s->ch_out.open && !s->ch_err.open;

	if (s->state != SESSION_DRAINING || buf_len(&s->out) > 0)
		return;
	if (!done && io_now_ms() - s->exited_at_ms >= LINGER_MS && s->ch_out.owed == 0 && s->ch_err.owed == 0)
		done = true;
	if (done)
		send_exit(s);
	else
		(void)uv_timer_start(&s->timer, on_quiet, QUIET_MS, 0);
}

static void note_owed(struct channel *ch)
{
	int n = 0;

	if (ch->open && ioctl(ch->pump.fd, FIONREAD, &n) == 0 && n > 0)
		ch->owed = (size_t)n;
}

void session_drain(struct session *s)
{
	s->state = SESSION_DRAINING;
	if (!s->tty) {
		channel_close(&s->ch_in);
		drop_input(s);
	}
	note_owed(&s->ch_out);
	note_owed(&s->ch_err);
	session_try_finish(s);
}

void sessions_reaped(struct guest *g, pid_t pid, int status)
{
	for (struct session *s = g->sessions; s; s = s->next) {
		if (!s->alive || s->pid != pid)
			continue;
		s->alive = false;
		s->exited = true;
		s->wait_status = status;
		s->exited_at_ms = io_now_ms();
		if (s->state == SESSION_RUNNING && !s->detached)
			session_drain(s);
		return;
	}
}

bool sessions_all_over(const struct guest *g)
{
	for (const struct session *s = g->sessions; s; s = s->next)
		if (s->stream && (s->state != SESSION_OVER || buf_len(&s->out) > 0))
			return false;
	return true;
}

/* ---- the start ---- */

void session_say_started(struct session *s)
{
	uint8_t pid[4];

	for (int i = 0; i < 4; i++)
		pid[i] = (uint8_t)((uint32_t)s->pid >> (24 - 8 * i));
	emit(s, RECORD_STARTED, pid, sizeof(pid));
}

/* The outcome of exec: a failure, or the end of file when the program runs. */
static void on_status(uv_poll_t *h, int status, int events)
{
	struct session *s = h->data;
	struct proc_failure f;
	struct err err = { 0 };
	ssize_t n = read(s->status_fd, &f, sizeof(f));

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	close_status(s);
	if (s->state != SESSION_STARTING)
		return;
	if (n == (ssize_t)sizeof(f)) {
		s->alive = false; /* its end is nobody's business any more */
		(void)proc_explain(&f, s->program, s->cwd, s->user, &err);
		session_fail(s, &err);
		if (s->detached)
			session_end(s); /* there is nobody to tell */
		return;
	}
	s->state = SESSION_RUNNING;
	if (s->detached)
		return;
	session_say_started(s);
	session_set_reading(s, buf_len(&s->out) == 0);
	if (s->exited)
		session_drain(s);
}

static int watch_status(struct session *s, int fd, struct err *err)
{
	int r = io_set_nonblock(fd, true);

	s->status_fd = fd;
	if (r == 0)
		r = uv_poll_init(&s->guest->loop, &s->status, fd);
	if (r < 0) {
		own_close_p(&s->status_fd);
		return err_errno(err, -r, "cannot watch the start of %.200s", s->program);
	}
	s->status.data = s;
	s->handles++;
	(void)uv_poll_start(&s->status, UV_READABLE, on_status);
	return 0;
}

/* Takes all of l. */
static int attach(struct session *s, struct launched *l, struct err *err)
{
	int r;

	s->pid = l->pid;
	s->turn = ++s->guest->session_turns;
	s->alive = true;
	s->state = SESSION_STARTING;
	s->cwd = TAKE_PTR(l->cwd);
	/* A program that closes its three descriptors before it exits ends the terminal's pump; if that closed the last
	 * master, the kernel would kill the program with HUP before it gets to its exit. */
	s->master = s->tty ? fcntl(l->out, F_DUPFD_CLOEXEC, 3) : -1;
	r = watch_status(s, TAKE_FD(l->status), err);
	if (r == 0 && ((r = channel_open(s, &s->ch_in, &l->in)) < 0 || (r = channel_open(s, &s->ch_out, &l->out)) < 0 ||
		       (r = channel_open(s, &s->ch_err, &l->err)) < 0))
		(void)err_errno(err, -r, "cannot watch %.200s", s->program);
	own_close_p(&l->in);
	own_close_p(&l->out);
	own_close_p(&l->err);
	return r;
}

static void signal_process(struct session *s, int sig)
{
	pid_t group = s->master >= 0 ? pty_foreground(s->master) : 0;

	if (!s->alive || (group > 0 && kill(-group, sig) == 0))
		return;
	/* Before its setsid it has no group yet. */
	if (kill(-s->pid, sig) < 0)
		(void)kill(s->pid, sig);
}

static int start_process(struct session *s, const struct start *st, struct err *err)
{
	struct launched l = { .status = -1, .in = -1, .out = -1, .err = -1 };
	int r;

	s->tty = st->tty;
	s->program = strdup(st->argv[0]);
	s->user = strdup(st->user);
	if (!s->program || !s->user)
		return err_errno(err, ENOMEM, "session");
	r = launch(&s->guest->setup, st, &l, err);
	if (r < 0)
		return r;
	r = attach(s, &l, err);
	if (r < 0)
		signal_process(s, SIGKILL);
	return r;
}

static void on_start(struct session *s, const struct record *rec)
{
	struct err err = { 0 };
	struct start st = { 0 };
	int r;

	(void)uv_timer_stop(&s->timer);
	if (session_attach(s, rec))
		return;
	if (s->guest->quiet)
		r = err_set(&err, ERR_UNAVAILABLE, EAGAIN, "the sandbox is being saved");
	else if (s->guest->state != GUEST_READY)
		r = err_set(&err, ERR_UNAVAILABLE, EAGAIN, "the sandbox is %s",
			    s->guest->state == GUEST_HALTING ? "shutting down" : "not set up yet");
	else if (s->guest->nsessions > SESSIONS_MAX)
		r = err_set(&err, ERR_UNAVAILABLE, EAGAIN, "the sandbox runs %d sessions already, the most it can",
			    SESSIONS_MAX);
	else
		r = start_parse(rec->data, rec->len, &st, &err);
	if (r == 0)
		r = start_process(s, &st, &err);
	start_done(&st);
	if (r < 0) {
		close_status(s);
		s->alive = false;
		session_fail(s, &err);
	}
}

/* ---- from the host ---- */

static void on_stdin(struct session *s, const struct record *rec)
{
	struct channel *ch = s->tty ? &s->ch_out : &s->ch_in;

	if (s->in_eof || s->in_dead)
		h2_consume(s->stream, rec->len);
	else if (buf_append(&s->wait, rec->data, rec->len) < 0)
		reset_stream(s);
	else if (ch->open)
		pump_kick(&ch->pump);
}

static void on_stdin_eof(struct session *s)
{
	struct channel *ch = s->tty ? &s->ch_out : &s->ch_in;

	s->in_eof = true;
	if (ch->open)
		pump_kick(&ch->pump);
}

static void on_resize(struct session *s, const struct record *rec)
{
	if (s->master >= 0)
		pty_resize(s->master, (uint16_t)(rec->data[0] << 8 | rec->data[1]),
			   (uint16_t)(rec->data[2] << 8 | rec->data[3]));
}

static void on_record(struct session *s, const struct record *rec)
{
	if ((rec->type == RECORD_START) != (s->state == SESSION_WAITING)) {
		reset_stream(s);
		return;
	}
	switch (rec->type) {
	case RECORD_START:
		on_start(s, rec);
		break;
	case RECORD_STDIN:
		on_stdin(s, rec);
		break;
	case RECORD_STDIN_EOF:
		on_stdin_eof(s);
		break;
	case RECORD_RESIZE:
		on_resize(s, rec);
		break;
	case RECORD_SIGNAL:
		if (rec->data[0] >= 1 && rec->data[0] < NSIG)
			signal_process(s, rec->data[0]);
		break;
	default:
		reset_stream(s);
	}
}

static void stream_data(struct ctl_stream *cs, const uint8_t *bytes, size_t n)
{
	struct session *s = of(cs);
	struct record rec;
	int used = 0;

	if (s->state == SESSION_OVER) {
		h2_consume(s->stream, n);
		return;
	}
	if (buf_append(&s->in, bytes, n) < 0) {
		reset_stream(s);
		return;
	}
	while (s->stream && s->state != SESSION_OVER &&
	       (used = record_decode(buf_bytes(&s->in), buf_len(&s->in), &rec)) > 0) {
		size_t held = rec.type == RECORD_STDIN ? rec.len : 0;

		/* Stdin opens the window when the process takes it. */
		h2_consume(s->stream, (size_t)used - held);
		on_record(s, &rec);
		buf_consume(&s->in, (size_t)used);
	}
	if (!s->stream) {
		/* What came behind a START that took another session over is for that one. */
		if (s->heir && s->heir->stream && buf_len(&s->in) > 0)
			stream_data(&s->heir->cs, buf_bytes(&s->in), buf_len(&s->in));
		s->heir = NULL;
		return;
	}
	if (used < 0) {
		reset_stream(s);
	} else if (s->state == SESSION_OVER) {
		h2_consume(s->stream, buf_len(&s->in));
		buf_done(&s->in);
	}
}

static void stream_eof(struct ctl_stream *cs)
{
	struct session *s = of(cs);

	if (s->state == SESSION_WAITING)
		reset_stream(s);
	else if (s->state != SESSION_OVER)
		on_stdin_eof(s);
}

static void stream_writable(struct ctl_stream *cs)
{
	struct session *s = of(cs);

	if (buf_len(&s->out) > 0)
		flush_out(s);
}

void session_end(struct session *s)
{
	s->detached = false;
	signal_process(s, SIGHUP);
	signal_process(s, SIGCONT);
	s->alive = false;
	s->state = SESSION_OVER;
	close_status(s);
	channel_close(&s->ch_in);
	channel_close(&s->ch_out);
	channel_close(&s->ch_err);
	own_close_p(&s->master);
	drop_input(s);
	uv_close((uv_handle_t *)&s->timer, session_handle_closed);
}

/* Orderly after the last record; otherwise the host's side of the session died. */
static void stream_closed(struct ctl_stream *cs, uint32_t error)
{
	struct session *s = of(cs);

	s->stream = NULL;
	if (s->guest->host_gone && (s->state == SESSION_STARTING || s->state == SESSION_RUNNING || s->state == SESSION_DRAINING))
		session_detach(s);
	else
		session_end(s);
}

static const struct ctl_stream_ops stream_ops = {
	.data = stream_data, .eof = stream_eof, .writable = stream_writable, .closed = stream_closed,
};

static void on_start_timeout(uv_timer_t *t)
{
	struct session *s = t->data;
	struct err err = { 0 };

	if (s->state != SESSION_WAITING)
		return;
	(void)err_set(&err, ERR_TIMEOUT, ETIMEDOUT, "no START within %d s", START_TIMEOUT_MS / 1000);
	session_fail(s, &err);
}

struct ctl_stream *session_new(struct guest *g, struct h2_stream *stream)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	if (h2_respond(stream, 200) < 0) {
		free(s);
		return NULL;
	}
	s->cs.ops = &stream_ops;
	s->guest = g;
	s->stream = stream;
	s->status_fd = -1;
	s->master = -1;
	buf_init(&s->in, IN_MAX);
	buf_init(&s->wait, H2_STREAM_WINDOW);
	buf_init(&s->sending, H2_STREAM_WINDOW);
	buf_init(&s->out, OUT_MAX);
	(void)uv_timer_init(&g->loop, &s->timer);
	s->timer.data = s;
	s->handles = 1;
	(void)uv_timer_start(&s->timer, on_start_timeout, START_TIMEOUT_MS, 0);
	s->next = g->sessions;
	if (s->next)
		s->next->prev = s;
	g->sessions = s;
	g->nsessions++;
	return &s->cs;
}
