/* SPDX-License-Identifier: Apache-2.0
 *
 * netfiles: see netfiles.h.
 */
#include "vm/netfiles.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "base/truststore.h"

#define POLICY "policy.json"
#define POLICY_MAX_BYTES (16 << 20)
/* Half of what the proxy takes for full. */
#define LOG_FULL_BYTES (5 << 20)
#define TRUST_MAX_BYTES (8U << 20)

int netfiles_policy(int dir, struct err *err)
{
	auto_fd int fd = openat(dir, POLICY, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	if (fd < 0)
		return err_errno(err, errno, "cannot read the sandbox's network policy (" POLICY ")");
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > POLICY_MAX_BYTES)
		return err_set(err, ERR_INVALID, EINVAL, "the sandbox's network policy (" POLICY ") is no file of at most %d MiB",
			       POLICY_MAX_BYTES >> 20);
	return TAKE_FD(fd);
}

int netfiles_again(int fd)
{
	char path[64];
	int r = str_format(path, sizeof(path), "/proc/self/fd/%d", fd);

	if (r == 0) {
		r = open(path, O_RDONLY | O_CLOEXEC);
		r = r < 0 ? -errno : r;
	}
	return r;
}

int netfiles_log(int dir, struct err *err)
{
	int fd = openat(dir, NETFILES_LOG, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);

	return fd < 0 ? err_errno(err, errno, "cannot write the sandbox's network log (" NETFILES_LOG ")") : fd;
}

int netfiles_rotate(int dir)
{
	char from[32], to[32];
	struct stat st;

	if (fstatat(dir, NETFILES_LOG, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (st.st_size < LOG_FULL_BYTES)
		return -EAGAIN;
	for (int i = NETFILES_OLD_LOGS; i > 1; i--) {
		(void)str_format(from, sizeof(from), NETFILES_LOG ".%d", i - 1);
		(void)str_format(to, sizeof(to), NETFILES_LOG ".%d", i);
		if (renameat(dir, from, dir, to) < 0 && errno != ENOENT)
			return -errno;
	}
	return renameat(dir, NETFILES_LOG, dir, NETFILES_LOG ".1") < 0 ? -errno : 0;
}

int netfiles_trust(const char *extra, struct err *err)
{
	auto_free char *trust = NULL;
	auto_fd int fd = memfd_create("trust", MFD_CLOEXEC);
	size_t n = 0;
	int r = fd < 0 ? err_errno(err, errno, "cannot make a file in memory") : truststore_read(extra, TRUST_MAX_BYTES, &trust, &n, err);

	if (r < 0)
		return r;
	if (io_write_all(fd, trust, n) < 0)
		return err_errno(err, errno, "cannot hand over the trust store");
	/* Opened again: read-only, and at its beginning. */
	r = netfiles_again(fd);
	return r < 0 ? err_errno(err, -r, "cannot hand over the trust store") : r;
}

int netfiles_certificates(const char *path, char **ret, struct err *err)
{
	static const char begin[] = "-----BEGIN CERTIFICATE-----", end[] = "-----END CERTIFICATE-----";
	auto_free char *text = NULL;
	struct buf out;
	bool inside = false;
	char *line, *rest;
	int r = io_read_file(AT_FDCWD, path, TRUST_MAX_BYTES, &text, NULL);

	if (r < 0)
		return err_errno(err, -r, "cannot read %.200s (setting network.extraCaFile)", path);
	buf_init(&out, NETFILES_CA_MAX);
	rest = text;
	while (r == 0 && (line = strsep(&rest, "\n"))) {
		line[strcspn(line, "\r")] = 0;
		inside = inside || str_eq(line, begin);
		if (inside && line[0])
			r = buf_printf(&out, "%s\n", line);
		inside = inside && !str_eq(line, end);
	}
	if (r < 0)
		r = err_set(err, ERR_INVALID, EFBIG, "%.200s (setting network.extraCaFile) holds more than %d KiB of certificates", path,
			    NETFILES_CA_MAX >> 10);
	else if (buf_len(&out) == 0 || inside)
		r = err_set(err, ERR_INVALID, EINVAL, "%.200s (setting network.extraCaFile) holds no certificates in PEM", path);
	else if (!(*ret = strdup(buf_cstr(&out))))
		r = err_errno(err, ENOMEM, "certificates");
	buf_done(&out);
	return r;
}
