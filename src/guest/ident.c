/* SPDX-License-Identifier: Apache-2.0
 *
 * ident: see ident.h.
 */
#include "guest/ident.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"

#define ENTROPY_MAX 256
#define ETC_FILE_MAX (256 * 1024)

int ident_time(uint64_t realtime_ns, struct err *err)
{
	struct timespec ts = { .tv_sec = (time_t)(realtime_ns / 1000000000U),
			       .tv_nsec = (long)(realtime_ns % 1000000000U) };

	return clock_settime(CLOCK_REALTIME, &ts) < 0 ? err_errno(err, errno, "cannot set the clock") : 0;
}

int ident_entropy(const uint8_t *bytes, size_t n, struct err *err)
{
	auto_free struct rand_pool_info *pool = calloc(1, sizeof(*pool) + ENTROPY_MAX);
	auto_fd int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
	int r = 0;

	if (n > ENTROPY_MAX)
		return err_set(err, ERR_INVALID, EMSGSIZE, "too much entropy");
	if (!pool)
		return err_errno(err, ENOMEM, "entropy");
	pool->entropy_count = (int)(n * 8);
	pool->buf_size = (int)n;
	memcpy(pool->buf, bytes, n);
	if (fd < 0 || ioctl(fd, RNDADDENTROPY, pool) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0)
		r = err_errno(err, errno, "cannot seed the random numbers");
	explicit_bzero(pool, sizeof(*pool) + ENTROPY_MAX);
	return r;
}

int ident_hostname(const char *name, struct err *err)
{
	return sethostname(name, strlen(name)) < 0 ? err_errno(err, errno, "cannot set the host name %s", name) : 0;
}

/* A symlink in its place (to what some service would have made) gives way to a plain file. */
static int drop_link(const char *path)
{
	struct stat st;

	if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode) && unlink(path) < 0)
		return -errno;
	return 0;
}

static int write_file(const char *path, const char *text, mode_t mode, struct err *err)
{
	auto_fd int fd = -1;
	int r = drop_link(path);

	if (r == 0) {
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
		r = fd < 0 ? -errno : io_write_all(fd, text, strlen(text));
	}
	return r < 0 ? err_errno(err, -r, "cannot write %s in the sandbox", path) : 0;
}

static int put(const char *path, const char *text, mode_t mode, struct err *err)
{
	auto_free char *old = NULL;
	struct stat st;

	if (lstat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	    io_read_file(AT_FDCWD, path, ETC_FILE_MAX, &old, NULL) == 0 && str_eq(old, text))
		return 0;
	return write_file(path, text, mode, err);
}

/* Keeps what the user added to /etc/hosts, as long as the machine finds itself in it. */
static int put_hosts(const char *hostname, struct err *err)
{
	auto_free char *old = NULL, *text = NULL, *own = str_new("127.0.1.1\t%s\n", hostname);

	if (!own)
		return err_errno(err, ENOMEM, "/etc/hosts");
	if (io_read_file(AT_FDCWD, "/etc/hosts", ETC_FILE_MAX, &old, NULL) == 0 && strstr(old, own) &&
	    strstr(old, "localhost"))
		return 0;
	text = str_new("127.0.0.1\tlocalhost\n%s::1\tlocalhost ip6-localhost ip6-loopback\n", own);
	if (!text)
		return err_errno(err, ENOMEM, "/etc/hosts");
	return write_file("/etc/hosts", text, 0644, err);
}

int ident_network(const char *address, const char *gateway, struct err *err)
{
	auto_free char *hosts = NULL, *resolv = NULL, *more = NULL;
	auto_free char *server = str_new("nameserver %s\n", address), *entry = str_new("%s\t%s\n", address, gateway);
	size_t n;
	int r = 0;

	if (!server || !entry)
		return err_errno(err, ENOMEM, "/etc");
	if (io_read_file(AT_FDCWD, "/etc/resolv.conf", ETC_FILE_MAX, &resolv, NULL) < 0 || !strstr(resolv, server))
		r = write_file("/etc/resolv.conf", server, 0644, err);
	if (r < 0 || io_read_file(AT_FDCWD, "/etc/hosts", ETC_FILE_MAX, &hosts, &n) < 0)
		return r < 0 ? r : write_file("/etc/hosts", entry, 0644, err);
	if (strstr(hosts, entry))
		return 0;
	more = str_new("%s%s%s", hosts, n > 0 && hosts[n - 1] != '\n' ? "\n" : "", entry);
	return more ? write_file("/etc/hosts", more, 0644, err) : err_errno(err, ENOMEM, "/etc/hosts");
}

int ident_files(const char *hostname, const char *machine_id, struct err *err)
{
	auto_free char *host = str_new("%s\n", hostname), *id = str_new("%s\n", machine_id);
	struct stat st;
	int r;

	if (!host || !id)
		return err_errno(err, ENOMEM, "/etc");
	if (mkdir("/etc", 0755) < 0 && errno != EEXIST)
		return err_errno(err, errno, "cannot make /etc in the sandbox");
	if ((r = put("/etc/hostname", host, 0644, err)) < 0 || (r = put("/etc/machine-id", id, 0444, err)) < 0 ||
	    (r = put_hosts(hostname, err)) < 0)
		return r;
	if (lstat("/etc/resolv.conf", &st) == 0 && S_ISREG(st.st_mode))
		return 0;
	return write_file("/etc/resolv.conf", "", 0644, err);
}
