/* SPDX-License-Identifier: Apache-2.0
 *
 * launch: see launch.h.
 */
#include "guest/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/own.h"
#include "base/str.h"
#include "guest/network.h"
#include "guest/opens.h"
#include "guest/proc.h"
#include "guest/pty.h"
#include "guest/trust.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* The child's ends and ours. */
struct ends {
	int child[3], ours[3];
};

static void ends_close(struct ends *e)
{
	for (int i = 0; i < 3; i++) {
		own_close_p(&e->child[i]);
		own_close_p(&e->ours[i]);
	}
}

/* What the sandbox's network asks of programs. */
static int network_env(const struct setup *setup, struct vars *v)
{
	int r = setup->network ? network_vars(v) : 0;

	return r == 0 && setup->ca ? trust_vars(v, setup->ca) : r;
}

int launch_env(const struct setup *setup, const struct start *start, const struct user *u, struct vars *ret,
	       struct err *err)
{
	char runtime[64];
	struct vars v = { 0 };
	int r;

	(void)str_format(runtime, sizeof(runtime), "/run/user/%u", u->uid);
	if ((r = vars_set(&v, "HOME", u->home)) < 0 || (r = vars_set(&v, "USER", u->name)) < 0 ||
	    (r = vars_set(&v, "LOGNAME", u->name)) < 0 || (r = vars_set(&v, "SHELL", u->shell)) < 0 ||
	    (r = vars_set(&v, "PATH", DEFAULT_PATH)) < 0 || (r = vars_set(&v, "LANG", "C.UTF-8")) < 0 ||
	    (start->tty && (r = vars_set(&v, "TERM", start->term)) < 0) ||
	    (u->uid == setup->agent.uid && (r = vars_set(&v, "XDG_RUNTIME_DIR", runtime)) < 0) ||
	    (r = opens_vars(&v)) < 0 || (r = network_env(setup, &v)) < 0 || (r = vars_merge(&v, &setup->env)) < 0 || (r = vars_merge(&v, &start->env)) < 0) {
		vars_done(&v);
		return err_set(err, r == -ENOMEM ? ERR_UNAVAILABLE : ERR_INVALID, -r, "the environment is too large");
	}
	*ret = v;
	return 0;
}

static int open_pipe(struct ends *e, int which, const struct user *u, struct err *err)
{
	bool input = which == 0;
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return err_errno(err, errno, "cannot make a pipe");
	e->child[which] = p[input ? 0 : 1];
	e->ours[which] = p[input ? 1 : 0];
	/* So that the user's programs may open /dev/stdin and its kin. */
	(void)!fchown(e->child[which], u->uid, u->gid);
	return 0;
}

static int open_ends(const struct start *start, const struct user *u, struct ends *e, struct err *err)
{
	int r = 0;

	if (start->tty) {
		r = pty_open(u, start->rows, start->cols, &e->ours[1], &e->child[0], err);
		return r;
	}
	for (int i = 0; r == 0 && i < 3; i++)
		r = open_pipe(e, i, u, err);
	return r;
}

/* The first workspace that is a folder, else the user's home. */
static const char *default_cwd(const struct setup *setup, const struct user *u)
{
	for (size_t i = 0; i < setup->nworkspaces; i++)
		if (!setup->workspaces[i].file)
			return setup->workspaces[i].path;
	return u->home;
}

static int run(const struct setup *setup, const struct start *start, const struct user *u, struct ends *e,
	       struct launched *ret, struct err *err)
{
	const char *cwd = start->cwd ? start->cwd : default_cwd(setup, u);
	auto_free char *kept = strdup(cwd);
	struct vars env = { 0 };
	struct proc p;
	int r = kept ? launch_env(setup, start, u, &env, err) : err_errno(err, ENOMEM, "working directory");

	if (r < 0)
		return r;
	p = (struct proc){ .argv = start->argv, .envp = env.list, .path = vars_get(&env, "PATH"), .cwd = cwd,
			   .cwd_optional = !start->cwd, .user = u, .tty = start->tty, .in = e->child[0] };
	p.out = start->tty ? e->child[0] : e->child[1];
	p.err = start->tty ? e->child[0] : e->child[2];
	r = proc_start(&p, &ret->pid, &ret->status, err);
	vars_done(&env);
	if (r == 0)
		ret->cwd = TAKE_PTR(kept);
	return r;
}

int launch(const struct setup *setup, const struct start *start, struct launched *ret, struct err *err)
{
	struct ends e = { { -1, -1, -1 }, { -1, -1, -1 } };
	auto_free struct user *u = malloc(sizeof(*u));
	int r = u ? users_lookup(start->user, u, err) : err_errno(err, ENOMEM, "user");

	if (r == 0)
		r = open_ends(start, u, &e, err);
	if (r == 0)
		r = run(setup, start, u, &e, ret, err);
	if (r == 0) {
		ret->in = TAKE_FD(e.ours[0]);
		ret->out = TAKE_FD(e.ours[1]);
		ret->err = TAKE_FD(e.ours[2]);
	}
	ends_close(&e);
	return r;
}
