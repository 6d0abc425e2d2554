/* SPDX-License-Identifier: Apache-2.0
 *
 * host: see host.h. sandboxd checks the settings as a whole (daemon/settings.h) and need not run for a sign-in; of what concerns it
 * nothing is guessed here either.
 */
#include "login/host.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "wire/member.h"

#define SETTINGS_MAX 65536
#define TRUST_MAX_BYTES (4U << 20)

/* Debian and its kin, Fedora and its kin, openSUSE, Alpine. */
static int system_trust(char **ret, size_t *ret_n, struct err *err)
{
	static const char *const paths[] = {
		"/etc/ssl/certs/ca-certificates.crt",
		"/etc/pki/tls/certs/ca-bundle.crt",
		"/etc/ssl/ca-bundle.pem",
		"/etc/ssl/cert.pem",
	};
	int r = -ENOENT;

	for (size_t i = 0; i < ARRAY_LEN(paths) && r == -ENOENT; i++)
		r = io_read_file(AT_FDCWD, paths[i], TRUST_MAX_BYTES, ret, ret_n);
	if (r == -ENOENT)
		return err_set(err, ERR_UNAVAILABLE, ENOENT,
			       "this host has no trust store (%s): install the Debian package ca-certificates", paths[0]);
	return r < 0 ? err_errno(err, -r, "cannot read this host's trust store") : 0;
}

static int trust(const char *extra, struct host *h, struct err *err)
{
	auto_free char *system = NULL, *more = NULL;
	size_t n = 0, n_more = 0;
	int r = system_trust(&system, &n, err);

	if (r == 0 && extra[0]) {
		r = io_read_file(AT_FDCWD, extra, TRUST_MAX_BYTES, &more, &n_more);
		if (r < 0)
			r = err_errno(err, -r, "cannot read %.200s (setting network.extraCaFile)", extra);
	}
	if (r < 0)
		return r;
	h->trust = str_new("%s\n%s", system, more ? more : "");
	if (!h->trust)
		return err_errno(err, ENOMEM, "the trust store");
	h->trust_len = strlen(h->trust);
	return 0;
}

static int settings(const char *path, char *extra, size_t size, struct host *h, struct err *err)
{
	auto_(member_root) json_t *o = NULL;
	auto_free char *text = NULL;
	size_t n = 0;
	int r = io_read_file(AT_FDCWD, path, SETTINGS_MAX, &text, &n);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return err_errno(err, -r, "cannot read %.200s", path);
	if (member_parse(text, n, path, &o, err) < 0)
		return -EINVAL;
	if (member_text(o, "network.extraCaFile", extra, size) == -EINVAL || (extra[0] && extra[0] != '/') ||
	    member_word(o, "network.httpsProxy", h->proxy, sizeof(h->proxy)) == -EINVAL ||
	    member_text(o, "network.noProxy", h->no_proxy, sizeof(h->no_proxy)) == -EINVAL)
		return err_set(err, ERR_INVALID, EINVAL, "%.200s: network.extraCaFile, network.httpsProxy or network.noProxy is not of the form",
			       path);
	return 0;
}

int host_load(const char *config_dir, struct host *ret, struct err *err)
{
	auto_free char *path = str_new("%s/settings.json", config_dir);
	char extra[4096] = "";
	struct host h = { 0 };
	int r = path ? settings(path, extra, sizeof(extra), &h, err) : err_errno(err, ENOMEM, "settings");

	if (r == 0)
		r = trust(extra, &h, err);
	if (r == 0)
		*ret = h;
	return r;
}

void host_done(struct host *h)
{
	free(h->trust);
	h->trust = NULL;
}
