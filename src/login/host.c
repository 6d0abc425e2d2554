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
#include "base/truststore.h"
#include "wire/member.h"

#define SETTINGS_MAX 65536
#define TRUST_MAX_BYTES (4U << 20)

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
		r = truststore_read(extra[0] ? extra : NULL, TRUST_MAX_BYTES, &h.trust, &h.trust_len, err);
	if (r == 0)
		*ret = h;
	return r;
}

void host_done(struct host *h)
{
	free(h->trust);
	h->trust = NULL;
}
