/* SPDX-License-Identifier: Apache-2.0
 *
 * calls: see calls.h. The body is gathered up to a maximum, the answer is one JSON object. A call lives as long as its
 * stream or its work, whichever is longer.
 */
#include "guest/calls.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "guest/console.h"
#include "guest/cpus.h"
#include "guest/halt.h"
#include "guest/netgate.h"
#include "guest/network.h"
#include "guest/opens.h"
#include "guest/quiet.h"
#include "guest/relay.h"
#include "guest/session.h"
#include "guest/setup.h"

/* Past this the file door is given up, which ends whatever the setup waits for. */
#define SETUP_TIMEOUT_MS 50000

struct call {
	struct ctl_stream cs;
	struct guest *guest;      /* borrowed */
	struct h2_stream *stream; /* NULL once closed */
	void (*run)(struct call *c);
	bool answered;
	unsigned busy;   /* handles and work that still point here */
	struct buf body; /* of the request */
	struct buf out;  /* the answer's bytes that h2_write did not take */
	uv_work_t work;
	uv_timer_t timer;
	struct err err;
	struct quiet_wake *wake; /* owned; of /wake */
	struct setup trust;      /* of /trust: ca and ca_hash */
};

static void unref(struct call *c)
{
	if (c->stream || c->busy)
		return;
	buf_done(&c->body);
	buf_done(&c->out);
	free(c->wake);
	free(c->trust.ca);
	free(c);
}

static void flush(struct call *c)
{
	size_t n;

	if (!c->stream)
		return;
	n = h2_write(c->stream, buf_bytes(&c->out), buf_len(&c->out));
	buf_consume(&c->out, n);
	if (buf_len(&c->out) == 0)
		h2_shutdown(c->stream);
	ctl_kick(c->guest);
}

static void answer(struct call *c, int status, const char *json)
{
	if (c->answered || !c->stream)
		return;
	c->answered = true;
	if (h2_respond(c->stream, status) < 0 || buf_append_str(&c->out, json) < 0) {
		h2_reset(c->stream, H2_INTERNAL_ERROR);
		ctl_kick(c->guest);
		return;
	}
	flush(c);
}

static void answer_error(struct call *c, int status, const struct err *err)
{
	json_t *o = json_pack("{s:{s:s, s:s}}", "error", "kind", err_kind_name(err->kind), "message", err->msg);
	auto_free char *text = o ? json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;

	json_decref(o);
	answer(c, status, text ? text : "{\"error\":{\"kind\":\"internal\",\"message\":\"out of memory\"}}");
}

static void on_timer_closed(uv_handle_t *h)
{
	struct call *c = h->data;

	c->busy--;
	unref(c);
}

static void on_setup_timeout(uv_timer_t *t)
{
	console_line("setup: giving the file door up after %d s", SETUP_TIMEOUT_MS / 1000);
	relay_abort();
}

static void setup_work(uv_work_t *w)
{
	struct call *c = w->data;

	cpus_one();
	(void)setup_run(&c->guest->setup, &c->err);
	cpus_all();
}

static void setup_finished(uv_work_t *w, int status)
{
	struct call *c = w->data;
	auto_free char *reply = NULL;
	struct err open_err;

	uv_close((uv_handle_t *)&c->timer, on_timer_closed);
	cpus_all();
	c->busy--; /* the timer still holds it */
	if (c->guest->state == GUEST_HALTING)
		return;
	if (c->err.kind == ERR_NONE && !(reply = setup_reply(&c->guest->setup)))
		(void)err_errno(&c->err, ENOMEM, "setup");
	if (c->err.kind == ERR_NONE && c->guest->setup.network)
		(void)network_start(c->guest, &c->err);
	/* Not worth a machine. */
	if (c->err.kind == ERR_NONE && opens_start(c->guest, &open_err) < 0)
		console_line("%s: no URL can be opened on the host", open_err.msg);
	if (c->err.kind == ERR_NONE) {
		c->guest->state = GUEST_READY;
		answer(c, 200, reply);
		return;
	}
	console_line("setup failed: %s", c->err.msg);
	c->guest->state = GUEST_WAITING; /* its thread is done */
	answer_error(c, 500, &c->err);
	halt_start(c->guest);
}

static void run_setup(struct call *c)
{
	struct guest *g = c->guest;
	struct err err = { 0 };

	if (g->state != GUEST_WAITING) {
		(void)err_set(&err, ERR_CONFLICT, EALREADY, "the sandbox was set up already");
		answer_error(c, 409, &err);
		return;
	}
	if (setup_parse(buf_bytes(&c->body), buf_len(&c->body), &g->setup, &err) < 0) {
		console_line("setup refused: %s", err.msg);
		answer_error(c, 500, &err);
		return;
	}
	buf_done(&c->body);
	g->state = GUEST_SETTING;
	c->work.data = c;
	c->timer.data = c;
	(void)uv_timer_init(&g->loop, &c->timer);
	(void)uv_timer_start(&c->timer, on_setup_timeout, SETUP_TIMEOUT_MS, 0);
	c->busy += 2;
	(void)uv_queue_work(&g->loop, &c->work, setup_work, setup_finished);
}

/* ---- being saved ---- */

static void quiet_work(uv_work_t *w)
{
	struct call *c = w->data;

	(void)quiet_begin(&c->guest->setup, &c->err);
}

static void quiet_finished(uv_work_t *w, int status)
{
	struct call *c = w->data;

	c->busy--;
	c->guest->turning = false;
	if (c->err.kind != ERR_NONE) {
		c->guest->quiet = false;
		answer_error(c, 500, &c->err);
	} else {
		answer(c, 200, "{}");
	}
	unref(c);
}

static bool is_ready(struct call *c)
{
	struct err err;

	if (c->guest->state == GUEST_READY && !c->guest->turning)
		return true;
	(void)err_set(&err, ERR_CONFLICT, EAGAIN, "the sandbox is not set up yet, or shuts down, or goes to sleep or wakes up");
	answer_error(c, 409, &err);
	return false;
}

static void run_quiesce(struct call *c)
{
	if (!is_ready(c))
		return;
	c->guest->quiet = c->guest->turning = true;
	c->work.data = c;
	c->busy++;
	(void)uv_queue_work(&c->guest->loop, &c->work, quiet_work, quiet_finished);
}

static void wake_work(uv_work_t *w)
{
	struct call *c = w->data;

	(void)quiet_wake(&c->guest->setup, c->wake, &c->err);
}

static void wake_finished(uv_work_t *w, int status)
{
	struct call *c = w->data;
	auto_free char *reply = NULL;

	c->busy--;
	c->guest->quiet = c->guest->turning = false;
	if (c->err.kind == ERR_NONE && c->wake->again)
		memcpy(c->guest->setup.machine_id, c->wake->who.machine_id, sizeof(c->guest->setup.machine_id));
	if (c->err.kind == ERR_NONE && !(reply = quiet_reply(&c->guest->setup, c->wake, sessions_detached(c->guest))))
		(void)err_errno(&c->err, ENOMEM, "wake");
	if (c->err.kind != ERR_NONE)
		answer_error(c, 500, &c->err);
	else
		answer(c, 200, reply);
	unref(c);
}

static void run_sessions(struct call *c)
{
	auto_free char *text = sessions_list(c->guest);

	answer(c, 200, text ? text : "{\"sessions\":[]}");
}

static void run_wake(struct call *c)
{
	struct err err = { 0 };

	if (!is_ready(c))
		return;
	c->wake = calloc(1, sizeof(*c->wake));
	if (!c->wake)
		(void)err_errno(&err, ENOMEM, "wake");
	if (!c->wake || quiet_parse(buf_bytes(&c->body), buf_len(&c->body), c->wake, &err) < 0) {
		answer_error(c, 500, &err);
		return;
	}
	if (c->wake->again && c->guest->net)
		netgate_renew(c->guest->net);
	c->guest->turning = true;
	c->work.data = c;
	c->busy++;
	(void)uv_queue_work(&c->guest->loop, &c->work, wake_work, wake_finished);
}

/* ---- another CA ---- */

static void trust_work(uv_work_t *w)
{
	struct call *c = w->data;
	int java;

	(void)trust_install(c->trust.ca, c->trust.ca_hash, &java, &c->err);
}

static void trust_finished(uv_work_t *w, int status)
{
	struct call *c = w->data;

	c->busy--;
	if (c->err.kind != ERR_NONE)
		answer_error(c, 500, &c->err);
	else
		answer(c, 200, "{}");
	unref(c);
}

static void run_trust(struct call *c)
{
	json_t *o = json_loadb((const char *)buf_bytes(&c->body), buf_len(&c->body), JSON_REJECT_DUPLICATES, NULL);
	struct err err = { 0 };

	if (!is_ready(c)) {
		json_decref(o);
		return;
	}
	if (setup_network(o, &c->trust, &err) < 0 || !c->trust.ca) {
		if (err.kind == ERR_NONE)
			(void)err_set(&err, ERR_INVALID, EINVAL, "there is no \"ca\"");
		answer_error(c, 500, &err);
	} else {
		c->work.data = c;
		c->busy++;
		(void)uv_queue_work(&c->guest->loop, &c->work, trust_work, trust_finished);
	}
	json_decref(o);
}

static void run_shutdown(struct call *c)
{
	answer(c, 200, "{}");
	halt_start(c->guest);
}

static void on_saved(void *user)
{
	struct call *c = user;

	c->busy--;
	answer(c, 200, "{}");
	unref(c);
}

static void run_discard(struct call *c)
{
	struct err err = { 0 };

	c->busy++;
	if (halt_discard(c->guest, on_saved, c) == 0)
		return;
	c->busy--;
	(void)err_set(&err, ERR_CONFLICT, EBUSY, "the sandbox starts or ends just now");
	answer_error(c, 409, &err);
}

static unsigned long count_processes(void)
{
	auto_dir DIR *d = opendir("/proc");
	unsigned long n = 0;
	struct dirent *e;

	while (d && (e = readdir(d)))
		n += isdigit((unsigned char)e->d_name[0]) != 0;
	return n;
}

static unsigned long long mem_available_kib(void)
{
	static const char key[] = "MemAvailable:";
	auto_free char *text = NULL;
	const char *at;
	uint64_t v;
	char number[24];

	if (io_read_file(AT_FDCWD, "/proc/meminfo", 65536, &text, NULL) < 0 || !(at = strstr(text, key)))
		return 0;
	at += strlen(key);
	at += strspn(at, " ");
	if (str_format(number, sizeof(number), "%.*s", (int)strspn(at, "0123456789"), at) < 0 ||
	    str_u64(number, UINT64_MAX, &v) < 0)
		return 0;
	return v;
}

static void run_health(struct call *c)
{
	struct timespec up = { 0 };
	auto_free char *text = NULL;

	(void)clock_gettime(CLOCK_BOOTTIME, &up);
	/* Whoever wakes a machine waits for this. */
	if (c->guest->state == GUEST_WAITING) {
		answer(c, 200, "{}");
		return;
	}
	text = str_new("{\"uptime_ms\":%llu,\"processes\":%lu,\"mem_available_kib\":%llu}",
		       (unsigned long long)up.tv_sec * 1000 + (unsigned long long)up.tv_nsec / 1000000,
		       count_processes(), mem_available_kib());
	answer(c, 200, text ? text : "{}");
}

static void run_unknown(struct call *c)
{
	struct err err = { 0 };

	(void)err_set(&err, ERR_NOT_FOUND, ENOENT, "no such operation");
	answer_error(c, 404, &err);
}

static struct call *of(struct ctl_stream *cs)
{
	return container_of(cs, struct call, cs);
}

static void on_data(struct ctl_stream *cs, const uint8_t *bytes, size_t n)
{
	struct call *c = of(cs);
	struct err err = { 0 };

	h2_consume(c->stream, n);
	if (c->answered || buf_append(&c->body, bytes, n) == 0)
		return;
	(void)err_set(&err, ERR_INVALID, EMSGSIZE, "the request's body is too large");
	answer_error(c, 413, &err);
}

static void on_eof(struct ctl_stream *cs)
{
	struct call *c = of(cs);

	if (!c->answered)
		c->run(c);
}

static void on_writable(struct ctl_stream *cs)
{
	struct call *c = of(cs);

	if (buf_len(&c->out) > 0)
		flush(c);
}

static void on_closed(struct ctl_stream *cs, uint32_t error)
{
	struct call *c = of(cs);

	c->stream = NULL;
	unref(c);
}

static const struct ctl_stream_ops ops = {
	.data = on_data, .eof = on_eof, .writable = on_writable, .closed = on_closed,
};

struct ctl_stream *calls_new(struct guest *g, struct h2_stream *s, const struct h2_head *head)
{
	static const struct {
		const char *path;
		void (*run)(struct call *c);
	} table[] = { { "/setup", run_setup }, { "/shutdown", run_shutdown }, { "/discard", run_discard }, { "/health", run_health },
		    { "/quiesce", run_quiesce }, { "/wake", run_wake },
		    { "/sessions", run_sessions },
		    { "/trust", run_trust } };
	struct call *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->cs.ops = &ops;
	c->guest = g;
	c->stream = s;
	c->run = run_unknown;
	buf_init(&c->body, SETUP_BODY_MAX);
	buf_init(&c->out, SETUP_BODY_MAX);
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (str_eq(head->method, "POST") && str_eq(head->path, table[i].path))
			c->run = table[i].run;
	return &c->cs;
}
