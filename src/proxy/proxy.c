/* SPDX-License-Identifier: Apache-2.0
 *
 * proxy: see proxy.h.
 */
#include "proxy/proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "proxy/chan.h"
#include "proxy/confine.h"
#include "proxy/control.h"
#include "proxy/decide.h"
#include "proxy/dial.h"
#include "proxy/entry.h"
#include "proxy/front.h"
#include "proxy/intercept.h"
#include "proxy/journal.h"
#include "proxy/listen.h"
#include "proxy/resolve.h"
#include "proxy/route.h"
#include "proxy/upstream.h"

enum { DOOR_FD = 3, CONTROL_FD = 4, KEEPER_FD = 5 };

/* Guest connections and origins, and some to spare. */
#define FDS_MAX 8192

void proxy_event(struct proxy *p, json_t *event)
{
	if (p->control)
		control_send(p->control, event);
	else
		json_decref(event);
}

static void on_decide_event(void *user, json_t *event)
{
	proxy_event(user, event);
}

static const struct decide_ops decide_ops = { .event = on_decide_event };

static void on_log_full(void *user)
{
	proxy_event(user, json_pack("{s:s}", "event", "log_full"));
}

static int prepare_process(struct err *err)
{
	static const char *const names[] = { "the network door", "the control socket", "the keeper's connection" };
	static const struct rlimit no_core = { 0 };
	struct rlimit fds;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	(void)setrlimit(RLIMIT_CORE, &no_core);
	(void)prctl(PR_SET_DUMPABLE, 0);
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (getrlimit(RLIMIT_NOFILE, &fds) == 0) {
		fds.rlim_cur = fds.rlim_max < FDS_MAX ? fds.rlim_max : FDS_MAX;
		(void)setrlimit(RLIMIT_NOFILE, &fds);
	}
	for (int fd = DOOR_FD; fd <= KEEPER_FD; fd++)
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
			return err_set(err, ERR_INVALID, 0, "descriptor %d, %s, is not open", fd, names[fd - DOOR_FD]);
	return 0;
}

/* Everything that opens something comes before the filter; nothing of the guest is read before the filter is there. */
static int start(struct proxy *p, struct err *err)
{
	p->upstream = calloc(1, sizeof(*p->upstream));
	p->journal = journal_new(p->loop, on_log_full, p);
	p->decide = p->journal ? decide_new(p->loop, p->journal, &decide_ops, p) : NULL;
	p->resolve = resolve_new(p->loop, &p->turn);
	p->route = route_new(p->loop);
	p->dials = dials_new();
	p->listens = listens_new(p);
	p->conns = conns_new(p);
	if (!p->upstream || !p->decide || !p->resolve || !p->route || !p->dials || !p->listens || !p->conns)
		return err_errno(err, ENOMEM, "cannot start");
	p->intercept = intercept_new(p);
	if (!p->intercept)
		return err_errno(err, ENOMEM, "cannot start");
	intercept_set_keeper(p, KEEPER_FD);
	if (confine_install(err) < 0)
		return err_code(err);
	p->control = control_new(p, CONTROL_FD);
	p->front = p->control ? front_new(p, DOOR_FD) : NULL;
	if (!p->front)
		return err_errno(err, ENOMEM, "cannot use the door or the control socket");
	proxy_event(p, json_pack("{s:s}", "event", "ready"));
	return 0;
}

void proxy_end(struct proxy *p, const char *why)
{
	if (p->ending)
		return;
	p->ending = true;
	log_info("event=end reason=\"%s\"", why);
	listens_free(p->listens);
	front_free(p->front);
	conns_free(p->conns);
	intercept_free(p->intercept);
	dials_free(p->dials);
	decide_free(p->decide);
	journal_free(p->journal);
	resolve_free(p->resolve);
	route_free(p->route);
	control_free(TAKE_PTR(p->control));
	turn_stop(&p->turn);
	/* Nor after that does anybody wait for a peer: the next proxy begins when this one is gone. */
	chan_stop_lingering(&p->turn);
}

int proxy_main(int argc, char **argv)
{
	const char *id = argc == 3 && str_eq(argv[1], "--id") ? argv[2] : NULL;
	struct proxy p = { .ending = false };
	struct err err = { 0 };
	uv_loop_t loop;
	int r;

	if (!id) {
		log_error("usage: sbx-proxy --id ID, with descriptors 3, 4 and 5 (started by sbx-vm)");
		return 2;
	}
	log_setup("sbx-proxy", id, LOG_LEVEL_INFO);
	r = prepare_process(&err);
	if (r == 0 && (uv_loop_init(&loop) < 0 || turn_init(&p.turn, &loop) < 0))
		r = err_errno(&err, ENOMEM, "no event loop");
	if (r == 0) {
		p.loop = &loop;
		r = start(&p, &err);
	}
	if (r < 0) {
		log_error("event=start error=\"%s\"", err.msg);
		return 1;
	}
	log_info("event=start");
	(void)uv_run(&loop, UV_RUN_DEFAULT);
	(void)uv_loop_close(&loop);
	free(p.upstream);
	return 0;
}
