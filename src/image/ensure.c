/* SPDX-License-Identifier: Apache-2.0
 *
 * ensure: see ensure.h. Each step leaves a finished artefact (job.h) and is left out where that is there, so a build
 * that was killed goes on where it was. The manifest comes last, and only then what is no longer needed goes.
 */
#include "image/ensure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <time.h>

#include "base/env.h"
#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "image/bootstrap.h"
#include "image/kernel.h"
#include "image/pack.h"
#include "image/run.h"
#include "image/stop.h"

#define MIB (1ULL << 20)
#define NEED_ALL (4096 * MIB)  /* packages, the root file system that grows, its archive; then the layer */
#define NEED_REST (1024 * MIB) /* kernel, modules, layer */
#define FULL (32 * MIB)

int ensure_check(const char *cache_dir, const struct template *t, struct manifest *ret, struct err *err)
{
	char inputs[MANIFEST_DIGEST];
	struct manifest m;
	struct store s;
	int r = store_open_existing(&s, cache_dir, err);

	if (r == 0)
		r = store_load(&s, t->name, &m, err);
	store_done(&s);
	if (r < 0)
		return r;
	if (template_inputs(t, inputs) < 0)
		return err_errno(err, ENOMEM, "cannot read the template %s", t->name);
	if (!str_eq(m.inputs, inputs))
		return -ENOENT;
	*ret = m;
	return 0;
}

static int check_tools(struct err *err)
{
	static const struct {
		const char *program, *package;
	} tools[] = {
		{ "mmdebstrap", "mmdebstrap" },
		{ "tar2sqfs", "squashfs-tools-ng" },
		{ "unshare", "util-linux" },
	};
	struct utsname u;

	if (uname(&u) < 0 || !str_eq(u.machine, "x86_64"))
		return err_set(err, ERR_UNAVAILABLE, ENOEXEC, "templates are made for x86-64, this machine is %.60s", u.machine);
	if (!run_exists("apt-get") || !run_exists("apt-config") || !run_exists("apt-cache"))
		return err_set(err, ERR_UNAVAILABLE, ENOENT,
			       "this machine has no apt: the template is made from Debian's packages, which needs a Debian host");
	for (size_t i = 0; i < ARRAY_LEN(tools); i++)
		if (!run_exists(tools[i].program))
			return err_set(err, ERR_UNAVAILABLE, ENOENT, "%s is missing: apt-get install %s", tools[i].program,
				       tools[i].package);
	return 0;
}

static uint64_t free_bytes(const struct job *j)
{
	struct statvfs v;

	return fstatvfs(j->fd, &v) == 0 ? (uint64_t)v.f_bavail * v.f_frsize : UINT64_MAX;
}

static int check_space(const struct job *j, uint64_t need, struct err *err)
{
	uint64_t have = free_bytes(j);

	if (have >= need)
		return 0;
	return err_set(err, ERR_UNAVAILABLE, ENOSPC,
		       "making a template takes about %llu MiB in %.200s, %llu MiB are free there: "
		       "free some, or set XDG_CACHE_HOME to a larger disk",
		       (unsigned long long)(need / MIB), j->dir, (unsigned long long)(have / MIB));
}

static int make_tar(const struct job *j, struct err *err)
{
	struct source source;
	struct packages packages;
	int r = check_space(j, NEED_ALL, err);

	if (r < 0)
		return r;
	progress_step(j->progress, 1, "downloading packages");
	r = bootstrap_check(j, err);
	if (r == 0)
		r = source_find(j, &source, err);
	if (r == 0)
		r = packages_fetch(j, &source, &packages, err);
	if (r < 0)
		return r;
	progress_step(j->progress, 2, "installing packages");
	return bootstrap_run(j, &source, &packages, err);
}

static int make_artefacts(const struct job *j, struct err *err)
{
	int r = 0;

	if (!job_has(j, JOB_TAR))
		r = make_tar(j, err);
	else if (!job_has(j, JOB_LAYER))
		r = check_space(j, NEED_REST, err);
	if (r < 0)
		return r;
	progress_step(j->progress, 3, "preparing the kernel");
	r = kernel_make(j, err);
	if (r < 0)
		return r;
	progress_step(j->progress, 4, "packing the image");
	return job_has(j, JOB_LAYER) ? 0 : pack_layer(j, err);
}

static int publish(const struct store *s, const struct job *j, struct manifest *m, struct err *err)
{
	auto_free char *release = NULL;
	time_t now = time(NULL);
	struct tm tm;
	int r = io_read_file(j->fd, JOB_RELEASE, sizeof(m->release) - 1, &release, NULL);

	progress_step(j->progress, 5, "storing the template");
	if (r < 0)
		return err_errno(err, -r, "cannot read %s/" JOB_RELEASE, j->dir);
	(void)str_format(m->name, sizeof(m->name), "%s", j->template->name);
	(void)str_format(m->release, sizeof(m->release), "%s", release);
	(void)strftime(m->created, sizeof(m->created), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	m->nlayers = 1;
	r = store_put(s, j, JOB_LAYER, &m->layers[0], err);
	if (r == 0)
		r = store_put(s, j, JOB_VMLINUX, &m->kernel, err);
	if (r == 0)
		r = store_put(s, j, JOB_MODULES, &m->modules, err);
	return r < 0 ? r : store_save(s, m, err);
}

/* What an earlier build finished, and what a newer one may download again, is forgotten but for the packages. */
static void forget(const struct job *j)
{
	static const char *const names[] = { JOB_TAR, JOB_VMLINUZ, JOB_VMLINUX, JOB_MODULES, JOB_RELEASE, JOB_LAYER };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		(void)unlinkat(j->fd, names[i], 0);
}

static int build(const struct store *s, struct job *j, bool refresh, struct err *err)
{
	struct manifest m = { 0 };
	int r = template_inputs(j->template, m.inputs);

	if (r < 0)
		return err_errno(err, -r, "cannot read the template %s", j->template->name);
	r = check_tools(err);
	if (r == 0)
		r = store_job(s, m.inputs, j, err);
	if (r < 0)
		return r;
	if (refresh)
		forget(j);
	r = make_artefacts(j, err);
	if (r == 0)
		r = publish(s, j, &m, err);
	if (r < 0 && r != -ENOSPC && free_bytes(j) < FULL)
		return err_set(err, ERR_UNAVAILABLE, ENOSPC,
			       "no space is left in %.300s: free some, or set XDG_CACHE_HOME to a larger disk, then run it again",
			       j->dir);
	return r;
}

/* Tools are looked for where root's live too, and speak the language that is read here. */
static int set_environment(struct err *err)
{
	const char *path = env_get("PATH");
	auto_free char *wider = str_new("%s:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin", path ? path : "/usr/local/bin");

	if (!wider || setenv("PATH", wider, 1) < 0 || setenv("LC_ALL", "C.UTF-8", 1) < 0)
		return err_errno(err, ENOMEM, "cannot set the environment");
	return 0;
}

int ensure_template(const char *cache_dir, const struct template *t, bool refresh, struct progress *p, bool *ret_built,
		    struct err *err)
{
	struct job j = { .template = t, .progress = p, .fd = -1, .log = -1 };
	auto_fd int lock = -1;
	struct manifest m;
	struct store s;
	struct err ignored;
	int r;

	if (!refresh && ensure_check(cache_dir, t, &m, &ignored) == 0) {
		if (store_open_existing(&s, cache_dir, &ignored) == 0)
			store_sweep(&s);
		store_done(&s);
		*ret_built = false;
		return 0;
	}
	r = set_environment(err);
	if (r < 0)
		return r;
	r = store_open(&s, cache_dir, err);
	if (r == 0)
		r = store_lock(&s, p, &lock, err);
	/* Whoever held the lock may have made it. */
	if (r == 0 && !refresh && ensure_check(cache_dir, t, &m, &ignored) == 0) {
		*ret_built = false;
	} else if (r == 0) {
		r = build(&s, &j, refresh, err);
		if (r == 0) {
			*ret_built = true;
			(void)bootstrap_clean(&j, &ignored);
			(void)store_clean(&s, &ignored); /* what cannot go now goes after the next build */
		}
	}
	own_close_p(&j.log);
	own_close_p(&j.fd);
	store_done(&s);
	return r;
}
