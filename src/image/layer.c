/* SPDX-License-Identifier: Apache-2.0
 *
 * layer: see layer.h. Enters: a job of the daemon's, and bytes of a guest that may say anything: its words are kept as an
 * escaped tail of bounded size, its version as a short word, its squashfs as a blob. The machine is held up by a session of
 * its own, so that it goes when this process does.
 */
#include "image/layer.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "image/guestexec.h"
#include "image/store.h"
#include "template_layer.h"

#define INSTALL_MS (45U * 60 * 1000)
#define PACK_MS (20U * 60 * 1000)
#define ASK_MS (5U * 60 * 1000)
#define LINES 20
#define LINE_BYTES 240
#define ANSWER_MAX 4096
#define VERSION_MAX 64
#define RECIPE "1 npm -g /usr/local; squashfs lz4 32K of the upper directory"

DEFINE_AUTO(json, json_t *, json_decref);

struct work {
	const char *cache_dir;
	const json_t *job;
	const char *agent, *socket;
	const json_t *install;
	struct progress *progress;
	char what[200]; /* the progress line */
	int step;
	/* What a program says. */
	char lines[LINES][LINE_BYTES];
	size_t nlines; /* ever begun */
	size_t len;    /* of the one that has not ended */
	struct buf answer; /* of a question: its stdout */
	int fd;            /* packing: where the bytes go */
	uint64_t bytes;
	char version[VERSION_MAX], package_version[VERSION_MAX]; /* "" unknown */
};

/* --- talk --- */

static void step(struct work *w, int number, const char *what)
{
	w->step = number;
	(void)str_format(w->what, sizeof(w->what), "%s", what);
	progress_step(w->progress, number, w->what);
}

static void on_tick(void *arg)
{
	struct work *w = arg;

	if (w->fd >= 0)
		(void)str_format(w->what, sizeof(w->what), "packing the layer: %llu MiB", (unsigned long long)(w->bytes >> 20));
	if (w->progress->json)
		progress_step(w->progress, w->step, w->what);
	else
		progress_tick(w->progress);
}

/* The last lines, a ring. */
static int on_says(void *arg, const uint8_t *bytes, size_t n, struct err *err)
{
	struct work *w = arg;

	for (size_t i = 0; i < n; i++) {
		char *line = w->lines[w->nlines % LINES];

		if (bytes[i] == '\n' || bytes[i] == '\r') {
			if (w->len > 0)
				w->nlines++;
			w->len = 0;
		} else if (w->len < LINE_BYTES - 1) {
			line[w->len++] = (char)bytes[i];
			line[w->len] = 0;
		}
	}
	return 0;
}

static json_t *tail(struct work *w)
{
	json_t *list = json_array();
	size_t end = w->nlines + (w->len > 0), at = end > LINES ? end - LINES : 0;

	for (; list && at < end; at++) {
		const char *line = w->lines[at % LINES];
		char shown[4 * LINE_BYTES];

		str_escape(shown, sizeof(shown), line, strlen(line));
		(void)json_array_append_new(list, json_string(shown));
	}
	return list;
}

static int on_answer(void *arg, const uint8_t *bytes, size_t n, struct err *err)
{
	struct work *w = arg;
	size_t room = buf_room(&w->answer);

	return buf_append(&w->answer, bytes, n < room ? n : room) < 0 ? err_errno(err, ENOMEM, "the answer") : 0;
}

/* --- programs --- */

static int run(struct work *w, struct guestexec *g, int *ret_status, struct err *err)
{
	g->socket = w->socket;
	g->tick = on_tick;
	g->arg = w;
	if (!g->says)
		g->says = on_says;
	if (!g->argv)
		return err_errno(err, ENOMEM, "the layer");
	return guestexec_run(g, ret_status, err);
}

static int install(struct work *w, const char *user, json_t *argv, const char *what, struct err *err)
{
	auto_(json) json_t *owned = argv;
	struct guestexec g = { .user = user, .argv = owned, .timeout_ms = INSTALL_MS, .out = on_says };
	int status, r = run(w, &g, &status, err);

	if (r < 0)
		return err_wrap(err, "the agent %s could not be installed", w->agent);
	return status ? err_set(err, ERR_UNAVAILABLE, EIO, "the agent %s could not be installed: %s ended with status %d", w->agent,
				what, status)
		      : 0;
}

/* NAME of NAME@VERSION. */
static size_t package_name(const char *package)
{
	return 1 + strcspn(package + 1, "@");
}

static json_t *npm_argv(const json_t *packages)
{
	json_t *argv = json_pack("[s, s, s, s, s, s, s, s]", "npm", "install", "--global", "--prefix=/usr/local", "--no-fund",
				 "--no-audit", "--no-update-notifier", "--loglevel=warn");
	const json_t *p;
	size_t i;

	/* The newest version is asked for by name: without it, npm takes an older one whose demands on node fit, though most of
	 * these bring their own. */
	json_array_foreach(packages, i, p) {
		const char *s = json_string_value(p);
		auto_free char *full = str_new("%s%s", s, s[package_name(s)] ? "" : "@latest");

		if (!full || !argv || json_array_append_new(argv, json_string(full)) < 0) {
			json_decref(argv);
			return NULL;
		}
	}
	return argv;
}

static int install_all(struct work *w, struct err *err)
{
	const json_t *npm = json_object_get(w->install, "npm");
	const char *script = json_string_value(json_object_get(w->install, "script"));
	const char *user = json_string_value(json_object_get(w->install, "user"));
	char what[200];
	int r = 0;

	if (npm) {
		(void)str_format(what, sizeof(what), "installing %s", json_string_value(json_array_get(npm, 0)));
		step(w, 2, what);
		r = install(w, "root", npm_argv(npm), "npm", err);
	}
	if (r == 0 && script) {
		step(w, 2, "running the installation script");
		r = install(w, user, json_pack("[s, s, s, s]", "sh", "-eu", "-c", script), "the script", err);
	}
	return r;
}

/* A question to a program; its whole answer is in w->answer. Negative where it does not run to a good end. */
static int ask(struct work *w, const char *user, json_t *argv, struct err *err)
{
	auto_(json) json_t *owned = argv, *env = json_pack("{s:s}", "HOME", "/tmp");
	struct guestexec g = { .user = user, .argv = owned, .env = env, .timeout_ms = ASK_MS, .out = on_answer };
	int status, r;

	buf_consume(&w->answer, buf_len(&w->answer));
	r = run(w, &g, &status, err);
	if (r == 0 && status)
		r = err_set(err, ERR_UNAVAILABLE, EIO, "%.100s ended with status %d", json_string_value(json_array_get(argv, 0)), status);
	return r;
}

/* The first word of the answer that looks like a version: a digit and a dot in it. */
static void find_version(struct work *w, char dst[static VERSION_MAX])
{
	const char *s = buf_cstr(&w->answer);
	static const char in[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.+_-";

	while (s && *s) {
		size_t n = strspn(s, in);

		while (n > 0 && s[n - 1] == '.')
			n--;
		if (n > 0 && n < VERSION_MAX && memchr(s, '.', n) && strcspn(s, "0123456789") < n) {
			(void)str_format(dst, VERSION_MAX, "%.*s", (int)n, s);
			return;
		}
		s += n;
		s += strcspn(s, in) ? strcspn(s, in) : n == 0;
	}
}

static const char *first_package(const struct work *w)
{
	return json_string_value(json_array_get(json_object_get(w->install, "npm"), 0));
}

static int ask_versions(struct work *w, struct err *err)
{
	json_t *version = json_object_get(w->job, "version");
	const char *package = first_package(w);
	int r = 0;

	step(w, 3, "asking the agent for its version");
	if (json_array_size(version) > 0) {
		r = ask(w, "agent", json_incref(version), err);
		if (r < 0)
			return err_wrap(err, "the agent %s was installed and does not run", w->agent);
		find_version(w, w->version);
	}
	if (package) {
		auto_free char *file = str_new("/usr/local/lib/node_modules/%.*s/package.json", (int)package_name(package), package);

		r = ask(w, "agent", json_pack("[s, s, s, s]", "node", "-p", "require(process.argv[1]).version", file ? file : ""), err);
		if (r < 0)
			return err_wrap(err, "the agent %s was installed and cannot be found", w->agent);
		find_version(w, w->package_version);
	}
	if (!w->version[0])
		memcpy(w->version, w->package_version, sizeof(w->version));
	return 0;
}

/* Whether what is there is the newest. */
static int is_newest(struct work *w, bool *ret, struct err *err)
{
	const char *have = json_string_value(json_object_get(w->job, "have")), *package = first_package(w);
	char newest[VERSION_MAX] = "";
	int r;

	*ret = false;
	if (!have || !package)
		return 0;
	step(w, 2, "asking for the newest version");
	r = ask(w, "root", json_pack("[s, s, s, s, s]", "npm", "view", "--no-update-notifier", package, "version"), err);
	if (r < 0)
		return err_wrap(err, "the newest version of %.100s could not be found", package);
	find_version(w, newest);
	*ret = newest[0] && str_eq(newest, have);
	return 0;
}

/* --- packing and storing --- */

static int on_packed(void *arg, const uint8_t *bytes, size_t n, struct err *err)
{
	struct work *w = arg;
	int r;

	if (w->bytes + n > LAYER_MAX_BYTES)
		return err_set(err, ERR_UNAVAILABLE, EFBIG, "the layer is larger than %llu GiB", LAYER_MAX_BYTES >> 30);
	r = io_write_all(w->fd, bytes, n);
	w->bytes += n;
	return r < 0 ? err_errno(err, -r, "cannot write the layer") : 0;
}

static int pack(struct work *w, const struct job *j, struct err *err)
{
	auto_(json) json_t *argv = json_pack("[s, s, s]", "sh", "-c", template_layer_pack);
	struct guestexec g = { .user = "root", .argv = argv, .timeout_ms = PACK_MS, .out = on_packed };
	auto_fd int fd = job_begin(j, JOB_LAYER);
	int status, r;

	if (fd < 0)
		return err_errno(err, -fd, "cannot make %s/" JOB_LAYER, j->dir);
	step(w, 4, "packing the layer");
	w->fd = fd;
	r = run(w, &g, &status, err);
	w->fd = -1;
	if (r == 0 && (status || w->bytes == 0))
		r = err_set(err, ERR_UNAVAILABLE, EIO, "the sandbox could not pack its layer (status %d)", status);
	return r < 0 ? r : job_finish(j, JOB_LAYER, fd, err);
}

/* The base template must still be the one that the sandbox started from. */
static int load_base(const struct work *w, const struct store *s, struct manifest *ret, struct err *err)
{
	const json_t *binding = json_object_get(w->job, "base"), *layers = json_object_get(binding, "layers");
	const char *kernel = json_string_value(json_object_get(binding, "kernel"));
	bool same;

	if (store_load(s, "base", ret, err) < 0)
		return err_set(err, ERR_CONFLICT, ENOENT, "the base template is gone: try again");
	same = kernel && str_eq(kernel, ret->kernel.digest) && json_array_size(layers) == ret->nlayers &&
	       ret->nlayers < MANIFEST_MAX_LAYERS;
	for (size_t i = 0; same && i < ret->nlayers; i++) {
		const char *digest = json_string_value(json_array_get(layers, i));

		same = digest && str_eq(digest, ret->layers[i].digest);
	}
	return same ? 0 : err_set(err, ERR_CONFLICT, EAGAIN, "the base template was made anew meanwhile: try again");
}

static int inputs(const struct work *w, const struct manifest *base, char ret[static MANIFEST_DIGEST])
{
	auto_free char *text = json_dumps(w->install, JSON_COMPACT | JSON_SORT_KEYS);
	const char *all[] = { RECIPE, w->agent, text, base->inputs, base->layers[0].digest, template_layer_pack };
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	uint8_t sum[32];
	int ok = text && md && EVP_DigestInit_ex(md, EVP_sha256(), NULL);

	for (size_t i = 0; ok && i < ARRAY_LEN(all); i++)
		ok = EVP_DigestUpdate(md, all[i], strlen(all[i]) + 1);
	ok = ok && EVP_DigestFinal_ex(md, sum, NULL);
	EVP_MD_CTX_free(md);
	if (!ok)
		return -ENOMEM;
	str_hex(ret, sum, sizeof(sum));
	return 0;
}

/* The manifest with what the daemon wants to know of the agent. */
static int save(const struct work *w, const struct store *s, const struct manifest *m, struct err *err)
{
	auto_(json) json_t *o = NULL, *agent = json_pack("{s:O, s:s, s:s}", "install", w->install, "version", w->version,
							 "package_version", w->package_version);
	auto_free char *text = NULL, *file = str_new("%s.json", w->agent);
	struct buf b;
	int r;

	buf_init(&b, MANIFEST_MAX_BYTES);
	r = manifest_print(m, &b);
	o = r == 0 ? json_loadb((const char *)buf_bytes(&b), buf_len(&b), 0, NULL) : NULL;
	buf_done(&b);
	if (o && agent && json_object_set(o, "agent", agent) == 0)
		text = json_dumps(o, JSON_COMPACT);
	r = !text || !file ? -ENOMEM
	    : strlen(text) > MANIFEST_MAX_BYTES ? -EMSGSIZE
						: io_write_file_atomic(s->fd, file, text, strlen(text), 0600);
	return r < 0 ? err_errno(err, -r, "cannot write %s/%s.json", s->dir, w->agent) : 0;
}

static int publish(struct work *w, const struct store *s, const struct job *j, const struct manifest *base, struct err *err)
{
	struct manifest m = *base;
	time_t now = time(NULL);
	struct tm tm;
	struct err ignored;
	int r;

	step(w, 5, "storing the layer");
	(void)str_format(m.name, sizeof(m.name), "%s", w->agent);
	r = inputs(w, base, m.inputs);
	if (r < 0)
		return err_errno(err, -r, "the layer");
	(void)strftime(m.created, sizeof(m.created), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	r = store_put(s, j, JOB_LAYER, &m.layers[m.nlayers], err);
	m.nlayers++;
	if (r == 0)
		r = save(w, s, &m, err);
	if (r == 0)
		(void)store_clean(s, &ignored); /* what cannot go now goes after the next build */
	return r;
}

static int store(struct work *w, struct err *err)
{
	struct job j = { .progress = w->progress, .fd = -1, .log = -1 };
	auto_fd int lock = -1;
	char digest[MANIFEST_DIGEST];
	struct manifest base;
	struct store s;
	int r = store_open(&s, w->cache_dir, err);

	if (r == 0)
		r = store_lock(&s, w->progress, &lock, err);
	if (r == 0)
		r = load_base(w, &s, &base, err);
	if (r == 0 && inputs(w, &base, digest) < 0)
		r = err_errno(err, ENOMEM, "the layer");
	if (r == 0)
		r = store_job(&s, digest, &j, err);
	if (r == 0)
		r = pack(w, &j, err);
	if (r == 0)
		r = publish(w, &s, &j, &base, err);
	if (r < 0 && j.fd >= 0)
		(void)unlinkat(j.fd, JOB_LAYER ".part", 0);
	own_close_p(&j.log);
	own_close_p(&j.fd);
	store_done(&s);
	return r;
}

static int make(struct work *w, bool *ret_built, struct err *err)
{
	auto_fd int hold = guestexec_hold(w->socket, err);
	bool newest;
	int r = hold < 0 ? hold : is_newest(w, &newest, err);

	if (r < 0 || newest)
		return r;
	r = install_all(w, err);
	if (r == 0)
		r = ask_versions(w, err);
	if (r == 0)
		r = store(w, err);
	*ret_built = r == 0;
	return r;
}

int layer_make(const char *cache_dir, const json_t *job, struct progress *p, struct layer_result *ret, struct err *err)
{
	auto_free struct work *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return err_errno(err, ENOMEM, "the layer");
	w->cache_dir = cache_dir;
	w->job = job;
	w->progress = p;
	w->fd = -1;
	w->agent = json_string_value(json_object_get(job, "agent"));
	w->socket = json_string_value(json_object_get(job, "socket"));
	w->install = json_object_get(job, "install");
	buf_init(&w->answer, ANSWER_MAX);
	if (!w->agent || !manifest_name_ok(w->agent) || !w->socket || !json_is_object(w->install))
		return err_set(err, ERR_INVALID, EINVAL, "the job names no agent, installation or sandbox");
	r = str_format(ret->manifest, sizeof(ret->manifest), "%s/templates/%s.json", cache_dir, w->agent);
	if (r == 0)
		r = make(w, &ret->built, err);
	if (r < 0)
		ret->tail = tail(w);
	buf_done(&w->answer);
	return r;
}
