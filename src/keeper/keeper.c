/* SPDX-License-Identifier: Apache-2.0
 *
 * keeper: see keeper.h. RUNTIME/keeper.lock is held for life, so that no two ever write STATE/keeper. Order of the start:
 * directories, lock, keys' home, OpenSSL, the store's key, socket, confinement; a client that connects early waits for the last. The
 * socket stays when it ends: connecting is refused then, and the next one replaces it.
 *
 *   sbx-keeper [--idle-exit SECONDS]   serves
 *   sbx-keeper --forget ID             deletes a sandbox's CA: by the keeper that runs, or itself where none does
 */
#include "keeper/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "base/env.h"
#include "base/io.h"
#include "base/log.h"
#include "base/ondemand.h"
#include "base/own.h"
#include "base/str.h"
#include "keeper/keysource.h"
#include "keeper/server.h"

#define SOCKET_NAME "keeper.sock"
#define BACKLOG 64
#define LOCK_WAIT_MS 5000
#define REPLY_S 5
#define IDLE_EXIT_S 600
#define IDLE_EXIT_MAX_S 86400

struct place {
	struct env_dirs dirs;
	int runtime; /* owned */
	int lock;    /* owned: RUNTIME/keeper.lock, not locked yet */
};

static int open_place(struct place *p, struct err *err)
{
	int r = env_dirs(&p->dirs, err);

	if (r == 0)
		r = env_ensure(p->dirs.state, err);
	if (r == 0)
		r = env_ensure(p->dirs.runtime, err);
	if (r < 0)
		return r;
	p->runtime = open(p->dirs.runtime, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (p->runtime < 0)
		return err_errno(err, errno, "cannot open %.300s", p->dirs.runtime);
	p->lock = openat(p->runtime, "keeper.lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return p->lock < 0 ? err_errno(err, errno, "cannot open %.300s/keeper.lock", p->dirs.runtime) : 0;
}

/* One that is just ending is waited for. */
static int take_lock(const struct place *p, struct err *err)
{
	int r = ondemand_lock(p->lock, LOCK_WAIT_MS);

	if (r == -ETIMEDOUT)
		return err_set(err, ERR_CONFLICT, EBUSY, "another sbx-keeper runs (%.300s/keeper.lock)", p->dirs.runtime);
	return r < 0 ? err_errno(err, -r, "cannot lock %.300s/keeper.lock", p->dirs.runtime) : 0;
}

/* --- forget --- */

/* 0 where the keeper that runs has done it; else the reason in err. */
static int ask_forget(const struct place *p, const struct keepermsg_request *q, struct err *err)
{
	auto_free struct keepermsg_reply *reply = calloc(1, sizeof(*reply));
	auto_fd int fd = io_packet_connect(p->runtime, SOCKET_NAME);
	const struct timeval within = { .tv_sec = REPLY_S };
	char in[4096];
	struct buf out;
	ssize_t n = -1;

	if (fd < 0 || !reply)
		return err_errno(err, fd < 0 ? -fd : ENOMEM, "cannot connect to sbx-keeper");
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &within, sizeof(within));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &within, sizeof(within));
	buf_init(&out, KEEPERMSG_MAX_BYTES);
	if (keepermsg_encode(q, &out) == 0 && send(fd, buf_bytes(&out), buf_len(&out), MSG_NOSIGNAL) > 0)
		n = recv(fd, in, sizeof(in), 0);
	buf_done(&out);
	if (n <= 0)
		return err_set(err, ERR_UNAVAILABLE, ECONNRESET, "sbx-keeper did not answer");
	if (keepermsg_decode_reply(q->op, in, (size_t)n, reply, err) < 0)
		return err_wrap(err, "sbx-keeper");
	if (reply->error.kind != ERR_NONE)
		return err_set(err, reply->error.kind, 0, "sbx-keeper: %s", reply->error.msg);
	return 0;
}

static int forget_secrets(const struct home *home, const char *id, struct err *err)
{
	struct store *s = NULL;
	struct vault *v = NULL;
	struct grants *g = NULL;
	bool any;
	int r = ca_setup(err);

	/* Without a key: of what is encrypted the index is enough. */
	if (r == 0 && !(s = store_open(home->fd, err)))
		r = err_code(err);
	if (r == 0 && !(v = vault_open(s)))
		r = err_errno(err, ENOMEM, "the secrets");
	if (r == 0)
		r = vault_forget(v, id, &any, err);
	if (r == 0 && !(g = grants_open(s, v)))
		r = err_errno(err, ENOMEM, "the grants");
	if (r == 0)
		r = grants_forget(g, id, &any, err);
	grants_free(g);
	vault_free(v);
	store_free(s);
	return r;
}

static int forget(struct place *p, const char *id, struct err *err)
{
	struct keepermsg_request q = { .op = KEEPERMSG_FORGET };
	struct home home;
	int r;

	if (!keepermsg_id_ok(id))
		return err_set(err, ERR_INVALID, EINVAL, "--forget needs the id of a sandbox");
	(void)str_format(q.sandbox, sizeof(q.sandbox), "%s", id);
	r = open_place(p, err);
	if (r < 0)
		return r;
	if (flock(p->lock, LOCK_EX | LOCK_NB) < 0) {
		if (ask_forget(p, &q, err) == 0)
			return 0;
		/* It may have been about to end. */
		if (ondemand_lock(p->lock, LOCK_WAIT_MS) < 0)
			return err_code(err);
	}
	r = home_open(&home, p->dirs.state, err);
	if (r < 0)
		return r;
	r = forget_secrets(&home, id, err);
	if (r == 0)
		r = home_forget(&home, id, err);
	home_close(&home);
	return r;
}

/* --- serve --- */

static int start(struct place *p, struct keeper *k, int *ret_listener, struct err *err)
{
	auto_fd int listener = -1;
	int r = open_place(p, err);

	if (r == 0)
		r = take_lock(p, err);
	if (r == 0)
		r = home_open(&k->home, p->dirs.state, err);
	if (r == 0)
		r = ca_setup(err);
	if (r == 0 && !(k->store = store_open(k->home.fd, err)))
		r = err_code(err);
	if (r == 0 && !(k->vault = vault_open(k->store)))
		r = err_errno(err, ENOMEM, "the secrets");
	if (r == 0 && !(k->grants = grants_open(k->store, k->vault)))
		r = err_errno(err, ENOMEM, "the grants");
	if (r < 0)
		return r;
	keysource_apply(k->store, p->dirs.state);
	listener = io_packet_listen(p->runtime, SOCKET_NAME, BACKLOG);
	r = listener < 0 ? listener : io_set_nonblock(listener, true);
	if (r < 0)
		return err_errno(err, -r, "cannot listen on %.300s/%s", p->dirs.runtime, SOCKET_NAME);
	own_close_p(&p->runtime);
	r = confine(k->home.fd, &k->confined, err);
	if (r == 0)
		*ret_listener = TAKE_FD(listener);
	return r;
}

static int serve(struct place *p, uint64_t idle_s, struct err *err)
{
	struct keeper k = { .home = { .fd = -1, .ca = -1 } };
	auto_fd int listener = -1;
	int r = start(p, &k, &listener, err);

	if (r == 0) {
		log_info("event=ready pid=%d version=%s landlock=%s netns=%s", (int)getpid(), SBX_VERSION,
			 k.confined.landlock ? "true" : "false", k.confined.netns ? "true" : "false");
		r = server_run(&k, listener, (int)idle_s * 1000, err);
	}
	if (r == 0)
		log_info("event=ended reason=idle");
	grants_free(k.grants);
	vault_free(k.vault);
	store_free(k.store);
	home_close(&k.home);
	return r;
}

int keeper_main(int argc, char **argv)
{
	static struct place place = { .runtime = -1, .lock = -1 };
	uint64_t idle_s = IDLE_EXIT_S;
	struct err err = { 0 };
	int r;

	log_setup("sbx-keeper", NULL, env_get("SBX_DEBUG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	(void)umask(0077);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	if (argc == 3 && str_eq(argv[1], "--forget")) {
		r = forget(&place, argv[2], &err);
	} else if (argc == 1 || (argc == 3 && str_eq(argv[1], "--idle-exit") &&
				 str_u64(argv[2], IDLE_EXIT_MAX_S, &idle_s) == 0)) {
		r = serve(&place, idle_s, &err);
	} else {
		(void)fprintf(stderr, "usage: sbx-keeper [--idle-exit SECONDS | --forget ID]\n");
		return 2;
	}
	if (r < 0)
		log_error("%s", err.msg);
	own_close_p(&place.runtime);
	own_close_p(&place.lock);
	return r < 0 ? 1 : 0;
}
