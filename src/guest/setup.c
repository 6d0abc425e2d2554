/* SPDX-License-Identifier: Apache-2.0
 *
 * setup: see setup.h. Identity comes first (time, entropy, names: before any other process runs), then disks and root,
 * then the workspaces, seen from the new root.
 */
#include "guest/setup.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "guest/console.h"
#include "guest/cpus.h"
#include "guest/homefiles.h"
#include "guest/ident.h"
#include "guest/loginshell.h"
#include "guest/network.h"
#include "guest/opens.h"
#include "guest/paths.h"
#include "guest/root.h"
#include "guest/steps.h"
#include "guest/trust.h"
#include "guest/workspaces.h"

DEFINE_AUTO(json, json_t *, json_decref);

#define DISKS_TIMEOUT_MS 20000
#define FILES_TIMEOUT_MS 10000

void setup_done(struct setup *s)
{
	for (size_t i = 0; i < s->nworkspaces; i++)
		free(s->workspaces[i].path);
	free(s->workspaces);
	json_decref(s->files);
	vars_done(&s->env);
	free(s->ca);
	explicit_bzero(s->entropy, sizeof(s->entropy));
	*s = (struct setup){ 0 };
}

static int nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

static int read_hex(const char *text, uint8_t *dst, size_t size, size_t *ret_n)
{
	size_t n = strlen(text);

	if (n % 2 || n / 2 > size)
		return -EINVAL;
	for (size_t i = 0; i < n; i += 2) {
		int hi = nibble(text[i]), lo = nibble(text[i + 1]);

		if (hi < 0 || lo < 0)
			return -EINVAL;
		dst[i / 2] = (uint8_t)(hi << 4 | lo);
	}
	*ret_n = n / 2;
	return 0;
}

static bool is_hostname(const char *s)
{
	size_t n = strlen(s);

	return n >= 1 && n <= 64 && s[0] != '-' && s[0] != '.' &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") == n;
}

int setup_identity(const json_t *o, struct setup *s, struct err *err)
{
	const char *host = json_string_value(json_object_get(o, "hostname"));
	const char *id = json_string_value(json_object_get(o, "machine_id"));
	const char *entropy = json_string_value(json_object_get(o, "entropy"));
	json_int_t now = json_integer_value(json_object_get(o, "time_ns"));
	uint8_t raw[16];
	size_t n;

	if (!host || !is_hostname(host))
		return err_set(err, ERR_INVALID, EINVAL, "\"hostname\" is not a host name");
	if (!id || read_hex(id, raw, sizeof(raw), &n) < 0 || n != sizeof(raw))
		return err_set(err, ERR_INVALID, EINVAL, "\"machine_id\" is not 32 hex digits");
	if (!entropy || read_hex(entropy, s->entropy, sizeof(s->entropy), &s->entropy_bytes) < 0 ||
	    s->entropy_bytes < 32)
		return err_set(err, ERR_INVALID, EINVAL, "\"entropy\" is not 64 to 512 hex digits");
	if (now <= 0)
		return err_set(err, ERR_INVALID, EINVAL, "\"time_ns\" is not a time");
	s->time_ns = (uint64_t)now;
	(void)str_format(s->hostname, sizeof(s->hostname), "%s", host);
	(void)str_format(s->machine_id, sizeof(s->machine_id), "%s", id);
	return 0;
}

static int read_target(const json_t *v, unsigned *ret)
{
	if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > 255)
		return -EINVAL;
	*ret = (unsigned)json_integer_value(v);
	return 0;
}

static int read_disks(const json_t *o, struct setup *s, struct err *err)
{
	const json_t *layers = json_object_get(o, "layers");
	size_t n = json_array_size(layers);

	if (n == 0 || n > SETUP_LAYERS_MAX)
		return err_set(err, ERR_INVALID, EINVAL, "\"layers\" is not an array of 1 to %d targets", SETUP_LAYERS_MAX);
	for (s->nlayers = 0; s->nlayers < n; s->nlayers++)
		if (read_target(json_array_get(layers, s->nlayers), &s->layers[s->nlayers]) < 0)
			return err_set(err, ERR_INVALID, EINVAL, "\"layers\" has an entry that is no SCSI target");
	if (read_target(json_object_get(o, "disk"), &s->disk) < 0)
		return err_set(err, ERR_INVALID, EINVAL, "\"disk\" is no SCSI target");
	return 0;
}

static int read_workspace(const json_t *o, struct workspace *w, struct err *err)
{
	const char *path = json_string_value(json_object_get(o, "path"));
	const char *type = json_string_value(json_object_get(o, "type"));
	const json_t *index = json_object_get(o, "index");
	int r;

	if (!path)
		return err_set(err, ERR_INVALID, EINVAL, "a workspace has no \"path\"");
	r = paths_check_workspace(path, err);
	if (r < 0)
		return r;
	if (!json_is_integer(index) || json_integer_value(index) < 0 || json_integer_value(index) > 65535)
		return err_set(err, ERR_INVALID, EINVAL, "workspace %.200s has no \"index\"", path);
	if (type && !str_eq(type, "dir") && !str_eq(type, "file"))
		return err_set(err, ERR_INVALID, EINVAL, "workspace %.200s: unknown \"type\"", path);
	w->index = (unsigned)json_integer_value(index);
	w->readonly = json_is_true(json_object_get(o, "readonly"));
	w->file = type && str_eq(type, "file");
	w->path = strdup(path);
	return w->path ? 0 : err_errno(err, ENOMEM, "workspaces");
}

static int read_workspaces(const json_t *array, struct setup *s, struct err *err)
{
	size_t n = json_array_size(array);

	if (n > SETUP_WORKSPACES_MAX)
		return err_set(err, ERR_INVALID, E2BIG, "more than %d workspaces", SETUP_WORKSPACES_MAX);
	if (n == 0)
		return 0;
	if (!s->fs)
		return err_set(err, ERR_INVALID, EINVAL, "workspaces need the file door (\"fs\": true)");
	s->workspaces = calloc(n, sizeof(*s->workspaces));
	if (!s->workspaces)
		return err_errno(err, ENOMEM, "workspaces");
	for (size_t i = 0; i < n; i++) {
		int r;

		s->nworkspaces = i + 1;
		r = read_workspace(json_array_get(array, i), &s->workspaces[i], err);
		if (r < 0)
			return r;
	}
	return 0;
}

int setup_network(const json_t *o, struct setup *s, struct err *err)
{
	const json_t *network = json_object_get(o, "network"), *ca = json_object_get(o, "ca"),
		     *hash = json_object_get(o, "ca_hash");
	const char *pem = json_string_value(ca), *name = json_string_value(hash);

	if (network && !json_is_boolean(network))
		return err_set(err, ERR_INVALID, EINVAL, "\"network\" is not true or false");
	s->network = json_is_true(network);
	if (hash && (!name || !trust_is_hash(name)))
		return err_set(err, ERR_INVALID, EINVAL, "\"ca_hash\" is not 8 hexadecimal digits");
	if (!ca)
		return 0;
	if (!pem || !trust_is_pem(pem))
		return err_set(err, ERR_INVALID, EINVAL, "\"ca\" is not certificates in PEM, at most %d bytes", TRUST_PEM_MAX);
	(void)str_format(s->ca_hash, sizeof(s->ca_hash), "%s", name ? name : "");
	s->ca = strdup(pem);
	return s->ca ? 0 : err_errno(err, ENOMEM, "certificates");
}

int setup_parse(const void *json, size_t n, struct setup *ret, struct err *err)
{
	json_error_t je;
	auto_(json) json_t *o = json_loadb(json, n, JSON_REJECT_DUPLICATES, &je);
	struct setup *s = ret;
	int r;

	*s = (struct setup){ 0 };
	if (!o || !json_is_object(o))
		return err_set(err, ERR_INVALID, EINVAL, "the setup is not a JSON object");
	s->fs = !json_is_false(json_object_get(o, "fs"));
	if ((r = setup_identity(o, s, err)) < 0 || (r = read_disks(o, s, err)) < 0 ||
	    (r = read_workspaces(json_object_get(o, "workspaces"), s, err)) < 0 ||
	    (r = vars_from_json(&s->env, json_object_get(o, "env"), err)) < 0 || (r = setup_network(o, s, err)) < 0 ||
	    (r = homefiles_check(json_object_get(o, "files"), err)) < 0)
		setup_done(s);
	else
		s->files = json_incref(json_object_get(o, "files"));
	return r;
}

static int attach_workspaces(struct setup *s, struct err *err)
{
	int r;

	if (!s->fs)
		return 0;
	r = workspaces_mount(io_now_ms() + FILES_TIMEOUT_MS, err);
	steps_end_of("files_mount");
	if (r == 0)
		r = workspaces_nonce(s->nonce, sizeof(s->nonce), err);
	steps_end_of("nonce");
	if (r < 0 || s->nworkspaces == 0)
		return r;
	r = workspaces_bind(s->workspaces, s->nworkspaces, &s->agent, err);
	steps_end_of("bind");
	return r;
}

/* Once in the sandbox's life, and before a workspace is there that a path could lead into. */
static int write_files(const struct setup *s, struct err *err)
{
	int r = !s->files || root_is_marked() ? 0 : homefiles_write(s->files, &s->agent, err);

	if (r == 0 && s->files)
		root_mark();
	return r;
}

int setup_run(struct setup *s, struct err *err)
{
	struct err none;
	int r, java = 0;

	steps_begin();
	if ((r = ident_time(s->time_ns, err)) < 0 || (r = ident_entropy(s->entropy, s->entropy_bytes, err)) < 0 ||
	    (r = ident_hostname(s->hostname, err)) < 0)
		return r;
	explicit_bzero(s->entropy, sizeof(s->entropy));
	if (!s->fs)
		workspaces_none();
	steps_end_of("identity");
	if ((r = root_mount(s->layers, s->nlayers, s->disk, io_now_ms() + DISKS_TIMEOUT_MS, err)) < 0 ||
	    (r = root_switch(err)) < 0)
		return r;
	steps_end_of("switch");
	if (users_lookup("agent", &s->agent, &none) < 0)
		r = users_lookup("0", &s->agent, err);
	if (r < 0 || (r = root_populate(&s->agent, err)) < 0)
		return r;
	steps_end_of("populate");
	if ((r = ident_files(s->hostname, s->machine_id, err)) < 0 || (s->network && (r = network_prepare(err)) < 0) ||
	    (s->ca && (r = trust_install(s->ca, s->ca_hash, &java, err)) < 0))
		return r;
	steps_end_of("etc_trust");
	if (java < 0)
		console_line("Java programs do not trust the sandbox's CA: /etc/ssl/certs/java/cacerts: %s",
			     java == -EACCES ? "another password than the usual" : java == -EINVAL ? "not of the type JKS" : strerror(-java));
	if (opens_prepare(&none) < 0)
		console_line("%s: no URL can be opened on the host", none.msg);
	r = loginshell_mend("/etc/profile");
	if (r < 0)
		console_line("/etc/profile stays as it is: %s", strerror(-r));
	steps_end_of("opens");
	r = write_files(s, err);
	steps_end_of("home");
	cpus_all(); /* the relay's threads are made now, and stay */
	if (r == 0)
		r = attach_workspaces(s, err);
	if (r == 0)
		root_share();
	return r;
}

char *setup_reply(const struct setup *s)
{
	auto_(json) json_t *o = json_object(), *mounts = json_array(), *times = steps_json();
	struct utsname u;

	if (!o || !mounts || uname(&u) < 0)
		return NULL;
	for (size_t i = 0; i < s->nworkspaces; i++)
		if (json_array_append_new(mounts, json_pack("{s:i, s:I}", "index", (int)s->workspaces[i].index, "ino",
							    (json_int_t)s->workspaces[i].ino)) < 0)
			return NULL;
	if (json_object_set_new(o, "release", json_string(u.release)) < 0 ||
	    json_object_set_new(o, "nonce", json_string(s->nonce)) < 0 || json_object_set(o, "mounts", mounts) < 0 ||
	    json_object_set(o, "times", times) < 0)
		return NULL;
	return json_dumps(o, JSON_COMPACT);
}
