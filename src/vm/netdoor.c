/* SPDX-License-Identifier: Apache-2.0
 *
 * netdoor: see netdoor.h. Every start of a proxy is the same: a new connection to the door and to the keeper, then config,
 * trust, resolver, log and policy in one go. The proxy reads bytes of a hostile guest; what it says is counted, bounded
 * and checked here.
 */
#include "vm/netdoor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "vm/keeperlink.h"
#include "vm/netasks.h"
#include "vm/netctl.h"
#include "vm/netfiles.h"
#include "vm/netproc.h"
#include "vm/netsock.h"
#include "vm/resolvconf.h"

#define ANSWER_MS 15000 /* for "ready", and for the answer to a policy */
#define REST_MS 1000    /* between two starts at least */
#define REST_MAX_MS 30000
#define STEADY_MS 10000 /* who lived that long is started again without further delay */
#define PORT_MS 2000    /* how long the guest may take to open its port anew */
#define RESOLVER_MS 5000 /* between two looks at resolv.conf */
#define KEEPER_MS 2000
#define ATTACH_MS 10000 /* for the keeper, before a proxy is started without it */
/* What netdoor_pending tells must fit into one record. */
#define PENDING_MAX_BYTES (60 * 1024)
#define TURNS_MAX 32 /* policies that wait for an answer */
#define RESOLV_CONF "/etc/resolv.conf"
#define RESOLV_MAX_BYTES 65536

/* What may be wrong at the same time, the worst first. */
enum problem { PROBLEM_PROXY, PROBLEM_POLICY, PROBLEM_FILES, PROBLEM_KEEPER, PROBLEMS };

enum netdoor_state { NETDOOR_ATTACHING, NETDOOR_STARTING, NETDOOR_READY, NETDOOR_RESTING };

struct netdoor {
	uv_loop_t *loop;               /* borrowed */
	const struct spec *spec;       /* borrowed */
	const struct netdoor_ops *ops; /* borrowed */
	void *user;
	enum netdoor_state state;
	bool was_ready; /* ops.ready was called */
	bool freed;
	unsigned handles;     /* not yet closed */
	int dir, path_fd;     /* owned */
	struct netproc proc;  /* none while ATTACHING and RESTING */
	struct netctl *ctl;   /* owned */
	char ca_hash[KEEPERMSG_HASH]; /* of the sandbox's own CA; "": not known */
	json_t *signed_in;    /* owned; the sign-ins in force when the keeper was first there; NULL: it was not yet */
	char *ca;             /* owned; what the guest is to trust; NULL: nothing */
	char problems[PROBLEMS][400]; /* "" where all is well */
	struct keeperlink_try *attaching; /* borrowed; NULL: not just now. Always there while ATTACHING */
	uv_timer_t rest, answer, resolver, keeper;
	uint64_t started_ms, ended_ms, rest_ms;
	bool port_opened; /* by the guest, since the last proxy ended */
	bool port_left, port_back; /* by the guest, which noticed the end of a proxy before it was seen here */
	bool hello;       /* this proxy said "ready" */
	uint64_t sent, answered; /* policies; the proxy answers in order */
	bool took, fell_back;    /* this proxy has taken one; was given its predecessor's */
	int tried, good;         /* the policy sent last, the one taken last; owned */
	struct stat resolv;      /* of resolv.conf when it was read */
	struct netasks *asks;    /* owned */
};

static void begin(struct netdoor *n);
static void start(struct netdoor *n, int keeper);
static void on_answer_late(uv_timer_t *t);
static void on_keeper_time(uv_timer_t *t);
static void on_rest_over(uv_timer_t *t);

/* --- telling the proxy --- */

static void kill_proxy(struct netdoor *n, const char *why)
{
	log_warn("event=proxy_killed why=\"%s\"", why);
	netproc_kill(&n->proc);
}

/* The message is stolen. A proxy that does not take it is of no use any more; its end leads to the next one. */
static void tell(struct netdoor *n, json_t *message, int fd)
{
	int r = n->ctl ? netctl_send(n->ctl, message, fd) : -EPIPE;

	if (!n->ctl)
		json_decref(message);
	if (r < 0 && r != -EPIPE)
		kill_proxy(n, strerror(-r));
}

static void set_problem(struct netdoor *n, enum problem which, const char *text)
{
	char now[sizeof(n->problems[0])];

	(void)str_format(now, sizeof(now), "%s", text);
	if (str_eq(now, n->problems[which]))
		return;
	memcpy(n->problems[which], now, sizeof(now));
	if (text[0])
		log_warn("event=network_problem %s", text);
	n->ops->changed(n->user);
}

static void tell_resolver(struct netdoor *n)
{
	auto_free char *text = NULL;
	struct stat st = { 0 };

	(void)stat(RESOLV_CONF, &st);
	if (io_read_file(AT_FDCWD, RESOLV_CONF, RESOLV_MAX_BYTES, &text, NULL) < 0)
		text = strdup("");
	n->resolv = st;
	if (text)
		tell(n, json_pack("{s:s, s:o}", "op", "resolver", "servers", resolvconf_servers(text)), -1);
}

static void on_resolver(uv_timer_t *t)
{
	struct netdoor *n = t->data;
	struct stat st = { 0 };

	(void)stat(RESOLV_CONF, &st);
	if (st.st_ino != n->resolv.st_ino || st.st_size != n->resolv.st_size || st.st_mtim.tv_sec != n->resolv.st_mtim.tv_sec ||
	    st.st_mtim.tv_nsec != n->resolv.st_mtim.tv_nsec)
		tell_resolver(n);
}

static void tell_log(struct netdoor *n)
{
	struct err err = { 0 };
	auto_fd int fd = netfiles_log(n->dir, &err);

	if (fd < 0)
		set_problem(n, PROBLEM_FILES, err.msg); /* without a log the proxy forwards nothing */
	else
		tell(n, json_pack("{s:s}", "op", "log"), fd);
}

static void tell_trust(struct netdoor *n)
{
	struct err err;
	auto_fd int fd = netfiles_trust(n->spec->extra_ca, &err);

	if (fd < 0)
		set_problem(n, PROBLEM_FILES, err.msg);
	else
		tell(n, json_pack("{s:s}", "op", "trust"), fd);
}

/* fd is taken over. */
static void send_policy(struct netdoor *n, int fd)
{
	own_close_p(&n->tried);
	n->tried = fd;
	n->sent++;
	(void)uv_timer_start(&n->answer, on_answer_late, ANSWER_MS, 0);
	tell(n, json_pack("{s:s}", "op", "policy"), fd);
}

static void tell_policy(struct netdoor *n)
{
	struct err err;
	int fd = netfiles_policy(n->dir, &err);

	if (fd >= 0)
		send_policy(n, fd);
	else
		log_warn("event=no_policy everything is denied: %s", err.msg);
}

static void tell_everything(struct netdoor *n)
{
	json_t *upstream = n->spec->upstream ? json_incref(n->spec->upstream) : json_null();

	tell(n, json_pack("{s:s, s:s, s:s, s:o, s:I, s:b}", "op", "config", "id", n->spec->id, "name", n->spec->name, "upstream", upstream,
			  "last_ask", netasks_last(n->asks), "keeper", 1), -1);
	tell_trust(n);
	tell_resolver(n);
	tell_log(n);
	tell_policy(n);
}

/* --- the keeper --- */

/* The proxy must get something as descriptor 5: without a keeper the end of a connection that is over. */
static int dead_end(void)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	(void)close(pair[1]);
	return pair[0];
}

static void no_keeper(struct netdoor *n, const char *why)
{
	char text[sizeof(n->problems[0])];

	(void)str_format(text, sizeof(text), "connections that must be looked into fail, because sbx-keeper cannot be reached (%.250s)", why);
	set_problem(n, PROBLEM_KEEPER, text);
	(void)uv_timer_start(&n->keeper, on_keeper_time, KEEPER_MS, 0);
}

/* Where the proxy does not look into a connection, the guest meets the upstream certificates itself. */
static void add_extra_ca(struct netdoor *n)
{
	auto_free char *extra = NULL, *own = TAKE_PTR(n->ca);
	struct err err;

	if (n->spec->extra_ca && netfiles_certificates(n->spec->extra_ca, &extra, &err) < 0)
		set_problem(n, PROBLEM_FILES, err.msg);
	if (own || extra)
		n->ca = str_new("%s%s", own ? own : "", extra ? extra : "");
}

/* The connection, or -1. What is there already, stays: the guest trusts and has what it was started with. */
static int take_keeper(struct netdoor *n, struct keeperlink_got *got, const struct err *err)
{
	if (!got) {
		no_keeper(n, err->msg);
		return -1;
	}
	set_problem(n, PROBLEM_KEEPER, "");
	if (!n->ca)
		n->ca = TAKE_PTR(got->ca);
	memcpy(n->ca_hash, got->ca_hash, KEEPERMSG_HASH);
	if (!n->signed_in)
		n->signed_in = TAKE_PTR(got->signed_in);
	free(got->ca);
	json_decref(got->signed_in);
	return got->fd;
}

static void on_keeper(void *user, struct keeperlink_got *got, const struct err *err)
{
	struct netdoor *n = user;
	auto_fd int fd = -1;

	n->attaching = NULL;
	fd = take_keeper(n, got, err);
	if (n->state == NETDOOR_ATTACHING)
		start(n, TAKE_FD(fd));
	else if (fd >= 0)
		tell(n, json_pack("{s:s}", "op", "keeper"), fd);
}

/* A keeper that hangs must not make the machine's loop wait. */
static bool try_keeper(struct netdoor *n)
{
	n->attaching = keeperlink_start(n->loop, n->spec->id, n->spec->signins, on_keeper, n);
	if (!n->attaching)
		no_keeper(n, "out of memory");
	return n->attaching;
}

static void on_keeper_time(uv_timer_t *t)
{
	struct netdoor *n = t->data;

	if (n->state == NETDOOR_ATTACHING) {
		keeperlink_cancel(TAKE_PTR(n->attaching));
		no_keeper(n, "it does not answer in time");
		start(n, -1);
	} else if (n->ctl && !n->attaching) {
		(void)try_keeper(n);
	}
}

/* --- what the proxy says --- */

/* A number that was shown before is refused: the user's answer could be meant for what it was. */
static void on_ask(struct netdoor *n, const json_t *message)
{
	const json_t *number = json_object_get(message, "ask");

	if (json_is_integer(number) && !netasks_add(n->asks, message))
		tell(n, json_pack("{s:s, s:I, s:b}", "op", "answer", "ask", json_integer_value(number), "allow", 0), -1);
}

static void on_log_full(struct netdoor *n)
{
	int r = netfiles_rotate(n->dir);

	if (r == 0)
		tell_log(n);
	else
		log_warn("event=log_not_rotated error=\"%s\"", strerror(-r));
}

static void check_ready(struct netdoor *n)
{
	if (!n->hello || n->answered < n->sent)
		return;
	(void)uv_timer_stop(&n->answer);
	if (n->state != NETDOOR_STARTING)
		return;
	n->state = NETDOOR_READY;
	log_info("event=proxy_ready pid=%d after_ms=%llu", (int)n->proc.pid, (unsigned long long)(io_now_ms() - n->started_ms));
	set_problem(n, PROBLEM_PROXY, "");
	if (n->was_ready) {
		n->ops->changed(n->user);
		return;
	}
	n->was_ready = true;
	n->ops->ready(n->user);
}

static void on_policy(struct netdoor *n, const json_t *message, bool taken)
{
	struct err err = { 0 };

	if (n->answered >= n->sent) {
		kill_proxy(n, "it answered a policy that it was not given");
		return;
	}
	n->answered++;
	if (taken) {
		n->took = true;
		set_problem(n, PROBLEM_POLICY, "");
		if (n->answered == n->sent) {
			own_close_p(&n->good);
			n->good = TAKE_FD(n->tried);
		}
		log_info("event=policy generation=%lld", (long long)json_integer_value(json_object_get(message, "generation")));
	} else {
		const char *said = json_string_value(json_object_get(message, "message"));
		char text[300];

		str_escape(text, sizeof(text), said ? said : "?", said ? strlen(said) : 1);
		(void)err_set(&err, ERR_INVALID, EINVAL, "the network policy is not valid: %s", text);
		log_error("event=policy_refused %s", err.msg);
	}
	n->ops->policy(n->user, n->answered, json_integer_value(json_object_get(message, "generation")), taken ? NULL : &err);
	if (!taken && !n->took && !n->fell_back && n->good >= 0 && n->answered == n->sent) {
		int fd = netfiles_again(n->good);

		/* A new proxy goes on with what its predecessor had. */
		n->fell_back = true;
		if (fd >= 0)
			send_policy(n, fd);
	} else if (!taken && !n->took) {
		char text[sizeof(n->problems[0])];

		(void)str_format(text, sizeof(text), "everything is denied: %.300s", err.msg);
		set_problem(n, PROBLEM_POLICY, text);
	}
}

static void on_message(void *user, const json_t *message)
{
	struct netdoor *n = user;
	const char *event = json_string_value(json_object_get(message, "event"));

	if (!event)
		return;
	if (str_eq(event, "ready"))
		n->hello = true;
	else if (str_eq(event, "policy") || str_eq(event, "policy_error"))
		on_policy(n, message, str_eq(event, "policy"));
	else if (str_eq(event, "ask"))
		on_ask(n, message);
	else if (str_eq(event, "ask_over"))
		(void)netasks_remove(n->asks, json_integer_value(json_object_get(message, "ask")));
	else if (str_eq(event, "log_full"))
		on_log_full(n);
	else if (str_eq(event, "keeper_lost") && !uv_is_active((uv_handle_t *)&n->keeper))
		(void)uv_timer_start(&n->keeper, on_keeper_time, KEEPER_MS, 0);
	check_ready(n);
}

static void on_ctl_end(void *user, int error)
{
	struct netdoor *n = user;

	if (error)
		log_warn("event=proxy_control error=\"%s\"", strerror(-error));
	netctl_free(TAKE_PTR(n->ctl));
	netproc_kill(&n->proc);
}

static const struct netctl_ops ctl_ops = { .message = on_message, .end = on_ctl_end };

/* --- its life --- */

/* Nothing of the process is left afterwards; its last words are in words. */
static void bury(struct netdoor *n, char *words, size_t size)
{
	netctl_free(TAKE_PTR(n->ctl));
	netproc_bury(&n->proc, words, size);
	n->hello = n->took = n->fell_back = false;
	n->answered = n->sent;
	(void)uv_timer_stop(&n->answer);
	(void)uv_timer_stop(&n->resolver);
	(void)uv_timer_stop(&n->keeper);
	keeperlink_cancel(TAKE_PTR(n->attaching));
}

/* A second after the last start, or later; and not before the guest knows of the old one's end. */
static void rest(struct netdoor *n)
{
	uint64_t now = io_now_ms(), at = n->started_ms + n->rest_ms;

	if (!n->port_opened && at < n->ended_ms + PORT_MS)
		at = n->ended_ms + PORT_MS;
	(void)uv_timer_start(&n->rest, on_rest_over, at > now ? at - now : 0, 0);
}

static void fail_start(struct netdoor *n, const char *words)
{
	struct err err;

	(void)err_set(&err, ERR_INTERNAL, 0, "the network door's process ended while it started (%.200s): see %.200s/vm.log", words,
		      n->spec->state_dir);
	n->state = NETDOOR_RESTING;
	n->ops->failed(n->user, &err);
}

/* The proxy is no more, or could not be started. */
static void ended(struct netdoor *n, const char *words)
{
	uint64_t now = io_now_ms();
	char text[sizeof(n->problems[0])];

	if (!n->was_ready) {
		fail_start(n, words);
		return;
	}
	n->ended_ms = now;
	n->rest_ms = now - n->started_ms >= STEADY_MS ? REST_MS : n->rest_ms * 2 > REST_MAX_MS ? REST_MAX_MS : n->rest_ms * 2;
	n->state = NETDOOR_RESTING;
	n->port_opened = n->port_back;
	n->port_left = n->port_back = false;
	(void)netasks_clear(n->asks);
	(void)str_format(text, sizeof(text), "nothing leaves the sandbox: the network door's process ended (%s) and is started again",
			 words);
	set_problem(n, PROBLEM_PROXY, text);
	rest(n);
}

static void on_exit_seen(uv_poll_t *h, int status, int events)
{
	struct netdoor *n = h->data;
	char words[300];

	bury(n, words, sizeof(words));
	ended(n, words);
}

static void on_rest_over(uv_timer_t *t)
{
	begin(t->data);
}

static void on_answer_late(uv_timer_t *t)
{
	kill_proxy(t->data, "it did not answer in time");
}

/* keeper is taken over; -1: none, so that the proxy gets the end of a connection that is over. */
static int try_start(struct netdoor *n, int keeper, struct err *err)
{
	auto_fd int door = -1, mine = -1, theirs = -1, link = keeper >= 0 ? keeper : dead_end();
	int pair[2], r;

	if (link < 0)
		return err_errno(err, -link, "cannot make a socket pair");
	door = netsock_connect(n->path_fd);
	if (door < 0)
		return err_errno(err, -door, "cannot connect to the network door");
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, errno, "cannot make a socket pair");
	mine = pair[0];
	theirs = pair[1];
	r = netproc_start(&n->proc, n->spec->id, (const int[]){ door, theirs, link }, on_exit_seen, n, err);
	if (r < 0)
		return r;
	n->ctl = netctl_new(n->loop, TAKE_FD(mine), &ctl_ops, n);
	return n->ctl ? 0 : err_errno(err, ENOMEM, "cannot speak to sbx-proxy");
}

static void start(struct netdoor *n, int keeper)
{
	struct err err;
	char words[300];

	n->started_ms = io_now_ms();
	n->state = NETDOOR_STARTING;
	if (keeper >= 0)
		(void)uv_timer_stop(&n->keeper);
	if (!n->was_ready)
		add_extra_ca(n);
	if (try_start(n, keeper, &err) < 0) {
		bury(n, words, sizeof(words));
		ended(n, err.msg);
		return;
	}
	(void)uv_timer_start(&n->answer, on_answer_late, ANSWER_MS, 0);
	(void)uv_timer_start(&n->resolver, on_resolver, RESOLVER_MS, RESOLVER_MS);
	tell_everything(n);
}

static void begin(struct netdoor *n)
{
	n->state = NETDOOR_ATTACHING;
	(void)uv_timer_start(&n->keeper, on_keeper_time, ATTACH_MS, 0);
	if (!try_keeper(n))
		start(n, -1);
}

static void asks_changed(void *user)
{
	struct netdoor *n = user;

	n->ops->changed(n->user);
}

static void init_timer(struct netdoor *n, uv_timer_t *t)
{
	(void)uv_timer_init(n->loop, t);
	t->data = n;
	n->handles++;
}

struct netdoor *netdoor_new(uv_loop_t *loop, const struct spec *spec, int path_fd, const struct netdoor_ops *ops, void *user,
			    struct err *err)
{
	struct netdoor *n = calloc(1, sizeof(*n));

	if (!n || !(n->asks = netasks_new(loop, asks_changed, n))) {
		free(n);
		(void)close(path_fd);
		(void)err_errno(err, ENOMEM, "the network door");
		return NULL;
	}
	n->loop = loop;
	n->spec = spec;
	n->ops = ops;
	n->user = user;
	n->path_fd = path_fd;
	n->tried = n->good = -1;
	netproc_init(&n->proc, loop);
	n->rest_ms = REST_MS;
	n->dir = open(spec->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	init_timer(n, &n->rest);
	init_timer(n, &n->answer);
	init_timer(n, &n->resolver);
	init_timer(n, &n->keeper);
	if (n->dir < 0) {
		(void)err_errno(err, errno, "cannot open %s", spec->state_dir);
		netdoor_free(n);
		return NULL;
	}
	/* From the loop, so that every callback comes from there. */
	(void)uv_timer_start(&n->rest, on_rest_over, 0, 0);
	return n;
}

static void handle_closed(uv_handle_t *h)
{
	struct netdoor *n = h->data;

	if (--n->handles == 0)
		free(n);
}

void netdoor_free(struct netdoor *n)
{
	char words[300];

	if (!n || n->freed)
		return;
	n->freed = true;
	bury(n, words, sizeof(words));
	own_close_p(&n->dir);
	own_close_p(&n->path_fd);
	own_close_p(&n->tried);
	own_close_p(&n->good);
	netasks_free(n->asks);
	json_decref(n->signed_in);
	free(n->ca);
	uv_close((uv_handle_t *)&n->rest, handle_closed);
	uv_close((uv_handle_t *)&n->answer, handle_closed);
	uv_close((uv_handle_t *)&n->resolver, handle_closed);
	uv_close((uv_handle_t *)&n->keeper, handle_closed);
}

/* --- questions --- */

bool netdoor_is_ready(const struct netdoor *n)
{
	return n && n->was_ready;
}

pid_t netdoor_pid(const struct netdoor *n)
{
	return n && n->proc.pid > 0 ? n->proc.pid : 0;
}

const char *netdoor_ca(const struct netdoor *n)
{
	return n ? n->ca : NULL;
}

const json_t *netdoor_signed_in(const struct netdoor *n)
{
	return n ? n->signed_in : NULL;
}

const char *netdoor_ca_hash(const struct netdoor *n)
{
	return n && n->ca_hash[0] ? n->ca_hash : NULL;
}

const char *netdoor_problem(const struct netdoor *n)
{
	for (size_t i = 0; n && i < PROBLEMS; i++)
		if (n->problems[i][0])
			return n->problems[i];
	return NULL;
}

void netdoor_guest_port(struct netdoor *n, bool open)
{
	if (!n || n->freed || !n->was_ready || n->state == NETDOOR_ATTACHING)
		return;
	/* The guest may be heard of before the end of the proxy that it has noticed. */
	if (n->state != NETDOOR_RESTING) {
		n->port_left = n->port_left || !open;
		n->port_back = n->port_left && open;
		return;
	}
	if (!open || n->port_opened)
		return;
	n->port_opened = true;
	rest(n);
}

int netdoor_policy(struct netdoor *n, uint64_t *ret_turn, struct err *err)
{
	int fd = netfiles_policy(n->dir, err);

	if (fd < 0)
		return fd;
	if (n->sent - n->answered >= TURNS_MAX) {
		(void)close(fd);
		return err_set(err, ERR_UNAVAILABLE, EAGAIN, "the network door is busy with earlier policies: try again");
	}
	if (n->ctl) {
		send_policy(n, fd);
		*ret_turn = n->sent;
	} else {
		/* The next proxy begins with it. */
		(void)close(fd);
		*ret_turn = n->sent + 1;
	}
	return 0;
}

json_t *netdoor_pending(const struct netdoor *n)
{
	return n ? netasks_list(n->asks, PENDING_MAX_BYTES) : json_array();
}

size_t netdoor_asks(const struct netdoor *n)
{
	return n ? netasks_count(n->asks) : 0;
}

int netdoor_answer(struct netdoor *n, json_int_t ask, bool allow, struct err *err)
{
	if (!n || !netasks_remove(n->asks, ask))
		return err_set(err, ERR_NOT_FOUND, ENOENT, "question %lld is not open any more", (long long)ask);
	tell(n, json_pack("{s:s, s:I, s:b}", "op", "answer", "ask", ask, "allow", allow), -1);
	n->ops->changed(n->user);
	return 0;
}
