/* SPDX-License-Identifier: Apache-2.0
 *
 * opens: see opens.h. One object for the machine's life. A program's connection reads one line and is answered once; then it is closed.
 */
#include "guest/opens.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/own.h"
#include "base/pump.h"
#include "base/str.h"
#include "guest/root.h"
#include "wire/openmsg.h"

#define BIN "/usr/local/bin"
#define READ_MS 10000
#define ANSWER_MS 60000
#define TICK_MS 1000
#define REPLY_MAX 1200
#define QUEUE_MAX (OPENS_MAX * OPENMSG_LINE_MAX)

struct opens {
	struct ctl_stream cs;
	struct guest *guest;      /* borrowed */
	struct h2_stream *stream; /* NULL while there is none */
	struct buf in;            /* the host's lines */
	struct buf out;           /* what the stream did not take */
	uv_poll_t listener;
	uv_timer_t tick;
	int fd; /* owned */
	struct asker *askers;
	size_t naskers;
	uint32_t last_id;
};

/* A program that asks. */
struct asker {
	struct pump pump;
	struct opens *opens; /* borrowed */
	struct asker *prev, *next;
	uint32_t id; /* 0: its URL is not complete */
	uint64_t deadline_ms;
	struct buf in;
	char reply[REPLY_MAX];
	size_t reply_n; /* 0: none yet */
	bool told;
};

/* ---- the programs ---- */

static void reply(struct asker *a, const char *text, size_t n)
{
	if (a->reply_n > 0)
		return;
	(void)str_format(a->reply, sizeof(a->reply), "%.*s\n", (int)(n < REPLY_MAX - 2 ? n : REPLY_MAX - 2), text);
	a->reply_n = strlen(a->reply);
	pump_kick(&a->pump);
}

static void refuse(struct asker *a, const char *why)
{
	char text[300];

	(void)str_format(text, sizeof(text), "no %s", why);
	reply(a, text, strlen(text));
}

static void flush_out(struct opens *o)
{
	if (o->stream && buf_len(&o->out) > 0)
		buf_consume(&o->out, h2_write(o->stream, buf_bytes(&o->out), buf_len(&o->out)));
	ctl_kick(o->guest);
}

static void ask(struct asker *a, size_t n)
{
	struct opens *o = a->opens;
	uint32_t id = o->last_id == UINT32_MAX ? 1 : o->last_id + 1;
	int r;

	a->deadline_ms = io_now_ms() + ANSWER_MS;
	if (!o->stream) {
		refuse(a, "the host takes no URLs now");
		return;
	}
	r = openmsg_put(&o->out, id, (const char *)buf_bytes(&a->in), n);
	if (r == -EINVAL) {
		refuse(a, n > OPENMSG_TEXT_MAX ? "it is longer than 8 KiB" : "it is empty or has control bytes");
		return;
	}
	if (r < 0) {
		refuse(a, "too many URLs wait");
		return;
	}
	o->last_id = a->id = id;
	flush_out(o);
}

static int asker_bytes(struct pump *p, const uint8_t *bytes, size_t n)
{
	struct asker *a = p->user;
	const uint8_t *end;

	if (a->id || a->reply_n)
		return 0;
	if (buf_append(&a->in, bytes, n) < 0) {
		refuse(a, "it is longer than 8 KiB");
		return 0;
	}
	end = memchr(buf_bytes(&a->in), '\n', buf_len(&a->in));
	if (end)
		ask(a, (size_t)(end - buf_bytes(&a->in)));
	return 0;
}

static long asker_pull(struct pump *p, const uint8_t **ret)
{
	struct asker *a = p->user;

	if (a->reply_n == 0)
		return 0;
	if (a->told)
		return -ESHUTDOWN;
	a->told = true;
	*ret = (const uint8_t *)a->reply;
	return (long)a->reply_n;
}

static void drop(struct asker *a)
{
	struct opens *o = a->opens;

	if (a->prev)
		a->prev->next = a->next;
	else
		o->askers = a->next;
	if (a->next)
		a->next->prev = a->prev;
	o->naskers--;
	if (!o->askers)
		(void)uv_timer_stop(&o->tick);
}

static void asker_end(struct pump *p, int error)
{
	drop(p->user);
}

static void asker_closed(struct pump *p)
{
	struct asker *a = p->user;

	buf_done(&a->in);
	free(a);
}

static const struct pump_ops asker_ops = {
	.bytes = asker_bytes, .pull = asker_pull, .end = asker_end, .closed = asker_closed,
};

static void on_tick(uv_timer_t *t)
{
	struct opens *o = t->data;
	uint64_t now = io_now_ms();

	for (struct asker *a = o->askers, *next; a; a = next) {
		next = a->next;
		if (now < a->deadline_ms)
			continue;
		if (a->reply_n > 0 || !a->id) {
			drop(a);
			pump_stop(&a->pump);
			continue;
		}
		a->deadline_ms = now + READ_MS;
		refuse(a, "the host did not answer");
	}
}

static void add(struct opens *o, int fd)
{
	struct asker *a = o->naskers < OPENS_MAX ? calloc(1, sizeof(*a)) : NULL;

	if (!a) {
		(void)close(fd);
		return;
	}
	if (pump_start(&a->pump, &o->guest->loop, fd, &asker_ops, a) < 0) {
		free(a);
		return;
	}
	buf_init(&a->in, OPENMSG_TEXT_MAX + 2);
	a->opens = o;
	a->deadline_ms = io_now_ms() + READ_MS;
	a->next = o->askers;
	if (a->next)
		a->next->prev = a;
	o->askers = a;
	o->naskers++;
	if (!uv_is_active((uv_handle_t *)&o->tick))
		(void)uv_timer_start(&o->tick, on_tick, TICK_MS, TICK_MS);
}

static void on_connect(uv_poll_t *h, int status, int events)
{
	struct opens *o = h->data;
	int fd = accept4(o->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0)
		add(o, fd);
}

/* ---- the stream ---- */

static struct opens *of(struct ctl_stream *cs)
{
	return container_of(cs, struct opens, cs);
}

static void answered(struct opens *o, const struct openmsg *m)
{
	for (struct asker *a = o->askers; a; a = a->next)
		if (a->id == m->id) {
			reply(a, m->text, m->n);
			return;
		}
}

static void stream_data(struct ctl_stream *cs, const uint8_t *bytes, size_t n)
{
	struct opens *o = of(cs);
	struct openmsg m;
	long used = 0;
	int r = buf_append(&o->in, bytes, n);

	h2_consume(o->stream, n);
	while (r == 0 && (used = openmsg_take(buf_bytes(&o->in), buf_len(&o->in), &m)) > 0) {
		answered(o, &m);
		buf_consume(&o->in, (size_t)used);
	}
	if (r < 0 || used < 0)
		h2_reset(o->stream, H2_INTERNAL_ERROR);
	ctl_kick(o->guest);
}

static void stream_eof(struct ctl_stream *cs)
{
	struct opens *o = of(cs);

	h2_shutdown(o->stream);
	ctl_kick(o->guest);
}

static void stream_writable(struct ctl_stream *cs)
{
	flush_out(of(cs));
}

static void stream_closed(struct ctl_stream *cs, uint32_t error)
{
	struct opens *o = of(cs);

	o->stream = NULL;
	buf_done(&o->in);
	buf_done(&o->out);
	for (struct asker *a = o->askers; a; a = a->next)
		if (a->id)
			refuse(a, "the host takes no URLs any more");
}

static const struct ctl_stream_ops stream_ops = {
	.data = stream_data, .eof = stream_eof, .writable = stream_writable, .closed = stream_closed,
};

struct ctl_stream *opens_stream(struct guest *g, struct h2_stream *s)
{
	struct opens *o = g->opens;

	if (!o || o->stream || h2_respond(s, 200) < 0)
		return NULL;
	o->stream = s;
	return &o->cs;
}

/* ---- the beginning ---- */

int opens_prepare(struct err *err)
{
	static const char *const names[] = { "xdg-open", "sensible-browser", "www-browser" };
	int r;

	if (mkdir(OPENS_DIR, 0755) < 0 && errno != EEXIST)
		return err_errno(err, errno, "cannot make " OPENS_DIR);
	r = root_lend(OPENS_PROGRAM, err);
	if (r < 0)
		return r;
	/* What is there already is somebody's own, or ours of an earlier start. */
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char path[64];

		(void)str_format(path, sizeof(path), BIN "/%s", names[i]);
		if (symlink(OPENS_PROGRAM, path) < 0 && errno != EEXIST)
			return err_errno(err, errno, "cannot make %s", path);
	}
	return 0;
}

static int listen_here(struct opens *o)
{
	auto_fd int dir = open(OPENS_DIR, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (dir < 0)
		return -errno;
	o->fd = io_unix_listen(dir, OPENS_SOCKET, OPENS_MAX);
	if (o->fd < 0)
		return o->fd;
	/* Every user of the machine. */
	if (fchmodat(dir, OPENS_SOCKET, 0666, 0) < 0)
		return -errno;
	r = io_set_nonblock(o->fd, true);
	if (r == 0)
		r = uv_poll_init(&o->guest->loop, &o->listener, o->fd);
	if (r == 0)
		o->listener.data = o;
	return r == 0 ? uv_poll_start(&o->listener, UV_READABLE, on_connect) : r;
}

int opens_start(struct guest *g, struct err *err)
{
	struct opens *o = calloc(1, sizeof(*o));
	int r;

	if (!o)
		return err_errno(err, ENOMEM, "opening of URLs");
	o->cs.ops = &stream_ops;
	o->guest = g;
	o->fd = -1;
	buf_init(&o->in, 2 * OPENMSG_LINE_MAX + H2_PULL_MAX);
	buf_init(&o->out, QUEUE_MAX);
	(void)uv_timer_init(&g->loop, &o->tick);
	o->tick.data = o;
	r = listen_here(o);
	/* It stays: libuv may know its handles. */
	if (r < 0)
		return err_errno(err, -r, "cannot listen in " OPENS_DIR);
	g->opens = o;
	return 0;
}

int opens_vars(struct vars *v)
{
	return vars_set(v, "BROWSER", BIN "/xdg-open");
}
