/* SPDX-License-Identifier: Apache-2.0
 *
 * attach: see attach.h. One poll(2) loop; signals come through a signalfd, so that nothing runs in a handler. The
 * records that arrive are hostile: record_decode bounds them, and text of the guest is escaped before it is shown.
 *
 * A session goes through: asked (REQUEST and START are on their way; the terminal is untouched, ctrl-C ends us) ->
 * started (STARTED came: the terminal is raw where there is one, signals are forwarded) -> ended (EXIT or FAILED).
 */
#include "cli/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/io.h"
#include "base/str.h"
#include "cli/offers.h"
#include "cli/sink.h"
#include "cli/term.h"
#include "cli/vmcall.h"
#include "wire/record.h"

#define STARTED_MS (3 * 60 * 1000)
#define INPUT_CHUNK 32768
#define SIGNAL_QUEUE 16
#define IMPATIENT_MS 2000
#define STATUS_PIPE (128 + SIGPIPE)

struct session {
	struct cli *cli;
	const struct attach *spec;
	int fd;    /* the supervisor; owned */
	int sigfd; /* owned; -1 before `started` */
	struct offers offers; /* where it opens URLs */
	sigset_t old_mask;
	struct buf in;  /* one record at most is complete in it */
	struct buf out; /* empty before more input is read */
	struct sink sinks[2];
	int sink;              /* where `left` bytes of the record at the head of `in` go */
	size_t done, left;     /* of that record: bytes past, bytes to write */
	bool started, ended, input_open, resize;
	bool killed; /* the program did not end by itself: the screen may be in disorder */
	uint8_t signals[SIGNAL_QUEUE]; /* to forward */
	size_t nsignals;
	uint64_t asked_at, first_break;
	unsigned breaks;
	int status; /* valid when ended */
};

int attach_failed_status(int errnum)
{
	switch (errnum) {
	case ENOENT:
		return CMD_NOT_FOUND;
	case EACCES:
	case EPERM:
	case ENOEXEC:
	case EISDIR:
	case ENOTDIR:
	case ELOOP:
	case ETXTBSY:
	case ELIBBAD:
		return CMD_CANNOT_EXEC;
	default:
		return CMD_OURS;
	}
}

static void finish(struct session *s, int status)
{
	s->ended = true;
	s->status = status;
}

/* ---- to the supervisor ---- */

static int queue(struct session *s, enum record_type type, const void *data, size_t n)
{
	int r = record_encode(&s->out, type, data, n);

	return r < 0 ? err_errno(&s->cli->err, -r, "cannot send to sandbox '%s'", s->spec->name) : 0;
}

static int queue_start(struct session *s)
{
	auto_(json) json_t *start = json_copy((json_t *)(uintptr_t)s->spec->start);
	auto_free char *text = NULL;
	uint16_t rows, cols;
	int r;

	if (s->spec->tty) {
		term_size(STDOUT_FILENO, &rows, &cols);
		(void)json_object_set_new(start, "rows", json_integer(rows));
		(void)json_object_set_new(start, "cols", json_integer(cols));
	}
	text = start ? json_dumps(start, JSON_COMPACT) : NULL;
	if (!text)
		return err_set(&s->cli->err, ERR_INTERNAL, ENOMEM, "out of memory");
	if (strlen(text) > RECORD_MAX)
		return err_set(&s->cli->err, ERR_INVALID, E2BIG,
			       "arguments and environment are too long: at most %d bytes together", RECORD_MAX);
	r = queue(s, RECORD_REQUEST, "{\"op\":\"exec\"}", strlen("{\"op\":\"exec\"}"));
	if (r == 0)
		r = queue(s, RECORD_START, text, strlen(text));
	if (r == 0 && !s->spec->input)
		r = queue(s, RECORD_STDIN_EOF, NULL, 0);
	return r;
}

/* What waits for an empty queue, once the program runs. */
static int queue_control(struct session *s)
{
	uint8_t size[4];
	uint16_t rows, cols;
	int r = 0;

	if (!s->started || s->ended || buf_len(&s->out) > 0)
		return 0;
	for (size_t i = 0; i < s->nsignals && r == 0; i++)
		r = queue(s, RECORD_SIGNAL, &s->signals[i], 1);
	s->nsignals = 0;
	if (r == 0 && s->resize) {
		term_size(STDOUT_FILENO, &rows, &cols);
		size[0] = (uint8_t)(rows >> 8);
		size[1] = (uint8_t)rows;
		size[2] = (uint8_t)(cols >> 8);
		size[3] = (uint8_t)cols;
		s->resize = false;
		r = queue(s, RECORD_RESIZE, size, sizeof(size));
	}
	return r;
}

static int read_input(struct session *s)
{
	uint8_t bytes[INPUT_CHUNK];
	ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));

	if (n > 0)
		return queue(s, RECORD_STDIN, bytes, (size_t)n);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return 0;
	/* A terminal that went away reads as EIO: the end as well. */
	s->input_open = false;
	return queue(s, RECORD_STDIN_EOF, NULL, 0);
}

static int flush_out(struct session *s)
{
	ssize_t n = send(s->fd, buf_bytes(&s->out), buf_len(&s->out), MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n >= 0) {
		buf_consume(&s->out, (size_t)n);
		return 0;
	}
	if (errno == EAGAIN || errno == EINTR)
		return 0;
	/* The end may have come first: what arrived is still to be read, and tells more. */
	buf_consume(&s->out, buf_len(&s->out));
	s->input_open = false;
	return 0;
}

/* ---- from the supervisor ---- */

static int start_signals(struct session *s)
{
	static const int always[] = { SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGWINCH, SIGCONT };
	struct sigaction sa;
	sigset_t set;

	(void)sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_LEN(always); i++) {
		/* What our parent had ignored (nohup, a background job) stays ignored. */
		if (sigaction(always[i], NULL, &sa) == 0 && sa.sa_handler == SIG_IGN)
			continue;
		(void)sigaddset(&set, always[i]);
	}
	if (s->spec->tty)
		(void)sigaddset(&set, SIGTSTP);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	s->sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->sigfd < 0 ? err_errno(&s->cli->err, errno, "cannot watch signals") : 0;
}

static int on_started(struct session *s)
{
	int r = start_signals(s);

	if (r < 0)
		return r;
	s->started = true;
	s->input_open = s->spec->input;
	if (!s->spec->tty)
		return 0;
	s->resize = true; /* the window may have changed since START */
	/* Without input the keys stay the terminal's: ctrl-C is then a signal for us. */
	r = s->spec->input ? term_raw(STDIN_FILENO) : 0;
	return r < 0 ? err_errno(&s->cli->err, -r, "cannot set the terminal") : 0;
}

static int on_failed(struct session *s, const struct record *rec)
{
	auto_(json) json_t *v = json_loadb((const char *)rec->data, rec->len, JSON_REJECT_DUPLICATES, NULL);
	int errnum = (int)json_integer_value(json_object_get(v, "errno"));
	const char *message = cli_str(v, "message");
	char text[400];

	if (!v || !message[0])
		return err_set(&s->cli->err, ERR_INTERNAL, EPROTO, "sandbox '%s' answered with something unreadable",
			       s->spec->name);
	str_escape(text, sizeof(text), message, strlen(message));
	(void)err_set(&s->cli->err, err_kind_from_name(cli_str(v, "kind")), errnum > 0 ? errnum : EIO, "%s", text);
	if (errnum == EAGAIN && !s->started)
		return -EAGAIN; /* it is on its way down: the caller may try again */
	term_restore();
	cli_print_error(s->cli);
	finish(s, attach_failed_status(errnum));
	return 0;
}

static int on_reply(struct session *s, const struct record *rec)
{
	auto_(json) json_t *v = json_loadb((const char *)rec->data, rec->len, JSON_REJECT_DUPLICATES, NULL);
	const json_t *e = json_object_get(v, "error");

	return err_set(&s->cli->err, err_kind_from_name(cli_str(e, "kind")), 0, "%s",
		       cli_str(e, "message")[0] ? cli_str(e, "message") : "the sandbox refused the program");
}

static int on_record(struct session *s, const struct record *rec)
{
	switch (rec->type) {
	case RECORD_REPLY:
		return on_reply(s, rec);
	case RECORD_EVENT:
		return 0;
	case RECORD_STARTED:
		return s->started ? -EPROTO : on_started(s);
	case RECORD_STDOUT:
	case RECORD_STDERR:
		s->sink = rec->type == RECORD_STDERR;
		s->left = rec->len;
		s->done = RECORD_HEAD;
		return s->started ? 0 : -EPROTO;
	case RECORD_EXIT:
		if (rec->data[0] > 1 || (rec->data[0] == 1 && (rec->data[1] == 0 || rec->data[1] > 64)))
			return -EPROTO;
		s->killed = rec->data[0] == 1;
		finish(s, s->killed ? 128 + rec->data[1] : rec->data[1]);
		return 0;
	case RECORD_FAILED:
		return on_failed(s, rec);
	default:
		return -EPROTO;
	}
}

/* Takes records from `in` until one needs a sink, or none is complete. */
static int take_records(struct session *s)
{
	while (s->left == 0 && !s->ended) {
		struct record rec;
		int r, n = record_decode(buf_bytes(&s->in), buf_len(&s->in), &rec);

		if (n == 0)
			return 0;
		r = n < 0 ? n : on_record(s, &rec);
		if (r == -EPROTO && s->cli->err.kind == ERR_NONE)
			return err_set(&s->cli->err, ERR_INTERNAL, EPROTO, "sandbox '%s' broke the protocol of sessions",
				       s->spec->name);
		if (r < 0)
			return r;
		if (s->left == 0)
			buf_consume(&s->in, (size_t)n);
	}
	return 0;
}

static int receive(struct session *s)
{
	uint8_t *room = buf_reserve(&s->in, buf_room(&s->in));
	ssize_t n;

	if (!room)
		return err_set(&s->cli->err, ERR_INTERNAL, ENOMEM, "out of memory");
	n = recv(s->fd, room, buf_room(&s->in), MSG_DONTWAIT);
	if (n > 0) {
		buf_commit(&s->in, (size_t)n);
		return take_records(s);
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	cli_hint(s->cli, "sbx ls");
	return err_set(&s->cli->err, ERR_UNAVAILABLE, ECONNRESET, "sandbox '%s' ended%s", s->spec->name,
		       s->started ? " before the program did (stopped, removed or killed)" : " before it could start the program");
}

static int write_output(struct session *s)
{
	ssize_t n = sink_write(&s->sinks[s->sink], buf_bytes(&s->in) + s->done, s->left);

	if (n == -EAGAIN)
		return 0;
	if (n == -EPIPE || n == -ECONNRESET) {
		finish(s, STATUS_PIPE);
		return 0;
	}
	if (n < 0)
		return err_errno(&s->cli->err, (int)-n, "cannot write to standard %s", s->sink ? "error" : "output");
	s->done += (size_t)n;
	s->left -= (size_t)n;
	if (s->left > 0)
		return 0;
	buf_consume(&s->in, s->done);
	return take_records(s);
}

/* ---- signals ---- */

/* Somebody else may have used the terminal meanwhile. */
static void go_on(struct session *s)
{
	if (s->spec->tty && s->spec->input)
		(void)term_raw(STDIN_FILENO);
	s->resize = s->spec->tty;
}

static void suspend(struct session *s)
{
	term_restore();
	(void)raise(SIGSTOP);
	go_on(s);
}

/* The third interrupt within two seconds means that the person wants to get away. */
static bool impatient(struct session *s, int sig)
{
	uint64_t now = io_now_ms();

	if (sig != SIGINT && sig != SIGTERM)
		return false;
	if (s->breaks == 0 || now - s->first_break > IMPATIENT_MS) {
		s->breaks = 0;
		s->first_break = now;
	}
	return ++s->breaks >= 3;
}

static void on_signal(struct session *s, int sig)
{
	switch (sig) {
	case SIGWINCH:
		s->resize = s->spec->tty;
		return;
	case SIGCONT:
		go_on(s);
		return;
	case SIGTSTP:
		suspend(s);
		return;
	default:
		/* With a terminal the keys are bytes; a signal is meant for us, and the session ends with us. */
		if (s->spec->tty || impatient(s, sig)) {
			s->killed = true;
			finish(s, 128 + sig);
		} else if (s->nsignals < SIGNAL_QUEUE) {
			s->signals[s->nsignals++] = (uint8_t)sig;
		}
	}
}

static void read_signals(struct session *s)
{
	struct signalfd_siginfo si;

	while (!s->ended && read(s->sigfd, &si, sizeof(si)) == (ssize_t)sizeof(si))
		on_signal(s, (int)si.ssi_signo);
}

/* ---- the loop ---- */

enum { P_VM, P_SIGNALS, P_INPUT, P_SINK, P_OFFERS, P_COUNT };

static void want(const struct session *s, struct pollfd p[P_COUNT])
{
	bool wants_out = buf_len(&s->out) > 0, wants_in = s->left == 0;
	short events = (short)((wants_out ? POLLOUT : 0) | (wants_in ? POLLIN : 0));

	/* A descriptor that is not waited for is left out: its POLLHUP would spin. */
	p[P_VM] = (struct pollfd){ .fd = events ? s->fd : -1, .events = events };
	p[P_SIGNALS] = (struct pollfd){ .fd = s->sigfd, .events = POLLIN };
	p[P_INPUT] = (struct pollfd){ .fd = s->input_open && !wants_out ? STDIN_FILENO : -1, .events = POLLIN };
	p[P_SINK] = (struct pollfd){ .fd = wants_in ? -1 : s->sinks[s->sink].fd, .events = POLLOUT };
	p[P_OFFERS] = (struct pollfd){ .fd = s->offers.fd, .events = POLLIN };
}

static int turn(struct session *s)
{
	struct pollfd p[P_COUNT];
	uint64_t waited = io_now_ms() - s->asked_at;
	int r = queue_control(s), timeout = s->started ? -1 : waited >= STARTED_MS ? 0 : (int)(STARTED_MS - waited);

	if (r < 0)
		return r;
	want(s, p);
	r = poll(p, P_COUNT, timeout);
	if (r < 0)
		return errno == EINTR ? 0 : err_errno(&s->cli->err, errno, "cannot wait");
	if (r == 0)
		return err_set(&s->cli->err, ERR_TIMEOUT, ETIMEDOUT, "sandbox '%s' did not start the program in time",
			       s->spec->name);
	r = 0;
	if (p[P_SIGNALS].revents)
		read_signals(s);
	if (p[P_OFFERS].revents && !s->ended)
		offers_read(&s->offers);
	if (p[P_SINK].revents && !s->ended)
		r = write_output(s);
	if (r == 0 && (p[P_VM].revents & (POLLOUT | POLLERR | POLLHUP)) && buf_len(&s->out) > 0)
		r = flush_out(s);
	if (r == 0 && (p[P_VM].revents & (POLLIN | POLLERR | POLLHUP)) && (p[P_VM].events & POLLIN) && !s->ended)
		r = receive(s);
	if (r == 0 && p[P_INPUT].revents && s->input_open && !s->ended && buf_len(&s->out) == 0)
		r = read_input(s);
	return r;
}

static int connect_vm(struct session *s)
{
	s->fd = vmcall_connect(s->cli, s->spec->name, s->spec->socket);
	return s->fd < 0 ? s->fd : io_set_nonblock(s->fd, true);
}

static int run(struct session *s)
{
	int r;

	/* Before the program can ask. */
	if (s->spec->opens)
		offers_connect(&s->offers, s->cli, s->spec->socket);
	r = connect_vm(s);
	if (r == 0)
		r = queue_start(s);
	s->asked_at = io_now_ms();
	while (r == 0 && !s->ended)
		r = turn(s);
	if (s->started && s->spec->tty) {
		term_restore();
		if (r < 0 || s->killed)
			term_reset_modes(STDOUT_FILENO);
	}
	return r < 0 ? r : s->status;
}

int attach_run(struct cli *c, struct attach *a)
{
	struct session s = { .cli = c, .spec = a, .fd = -1, .sigfd = -1 };
	int r;

	(void)fflush(stdout);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)sigprocmask(SIG_SETMASK, NULL, &s.old_mask);
	offers_init(&s.offers, a->name);
	buf_init(&s.in, RECORD_HEAD + RECORD_MAX);
	buf_init(&s.out, 3 * (RECORD_HEAD + RECORD_MAX));
	sink_init(&s.sinks[0], STDOUT_FILENO);
	sink_init(&s.sinks[1], STDERR_FILENO);
	r = run(&s);
	a->started = s.started || s.ended;
	own_close_p(&s.fd);
	own_close_p(&s.sigfd);
	offers_done(&s.offers);
	sink_done(&s.sinks[0]);
	sink_done(&s.sinks[1]);
	buf_done(&s.in);
	buf_done(&s.out);
	(void)sigprocmask(SIG_SETMASK, &s.old_mask, NULL);
	(void)signal(SIGPIPE, SIG_DFL);
	return r;
}
