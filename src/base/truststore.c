/* SPDX-License-Identifier: Apache-2.0
 *
 * truststore: see truststore.h.
 */
#include "base/truststore.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/own.h"

/* Debian and its kin, Fedora and its kin, openSUSE, Alpine. */
static int read_system(size_t max, char **ret, size_t *ret_n, struct err *err)
{
	static const char *const paths[] = {
		"/etc/ssl/certs/ca-certificates.crt",
		"/etc/pki/tls/certs/ca-bundle.crt",
		"/etc/ssl/ca-bundle.pem",
		"/etc/ssl/cert.pem",
	};
	int r = -ENOENT;

	for (size_t i = 0; i < ARRAY_LEN(paths) && r == -ENOENT; i++)
		r = io_read_file(AT_FDCWD, paths[i], max, ret, ret_n);
	if (r == -ENOENT)
		return err_set(err, ERR_UNAVAILABLE, ENOENT,
			       "this host has no trust store (%s): install the Debian package ca-certificates", paths[0]);
	return r < 0 ? err_errno(err, -r, "cannot read this host's trust store") : 0;
}

int truststore_read(const char *extra, size_t max, char **ret, size_t *ret_n, struct err *err)
{
	auto_free char *system = NULL, *more = NULL, *all;
	size_t n = 0, n_more = 0;
	int r = read_system(max, &system, &n, err);

	if (r == 0 && extra) {
		r = io_read_file(AT_FDCWD, extra, max, &more, &n_more);
		if (r < 0)
			r = err_errno(err, -r, "cannot read %.200s (setting network.extraCaFile)", extra);
	}
	if (r < 0)
		return r;
	all = malloc(n + n_more + 2);
	if (!all)
		return err_errno(err, ENOMEM, "the trust store");
	memcpy(all, system, n);
	if (n_more > 0) {
		all[n++] = '\n';
		memcpy(all + n, more, n_more);
		n += n_more;
	}
	all[n] = 0;
	*ret = TAKE_PTR(all);
	*ret_n = n;
	return 0;
}
