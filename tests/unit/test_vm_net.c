/* SPDX-License-Identifier: Apache-2.0
 *
 * The small parts of the network door's host side: resolv.conf, the door's socket, the control socket, the files.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "vm/netctl.h"
#include "vm/netfiles.h"
#include "vm/netsock.h"
#include "vm/resolvconf.h"

/* --- resolv.conf --- */

static void servers_are(const char *text, const char *want)
{
	json_t *list = resolvconf_servers(text);
	auto_free char *got = json_dumps(list, JSON_COMPACT);

	json_decref(list);
	assert_string_equal(got, want);
}

static void name_servers_of_resolv_conf(void **state)
{
	servers_are("nameserver 192.0.2.1\n", "[\"192.0.2.1\"]");
	servers_are("# one\nsearch example.com\nnameserver\t 2001:db8::1 \nnameserver 192.0.2.1 # two\r\noptions edns0",
		    "[\"[2001:db8::1]:53\",\"192.0.2.1\"]");
	servers_are("nameserver fe80::1%eth0", "[\"[fe80::1%eth0]:53\"]");
	servers_are("", "[\"127.0.0.1\"]");
	servers_are("nameserver\nnameserver \nnameserver x\nnameservers 192.0.2.1\nnameserver 1.2.3\n", "[\"127.0.0.1\"]");
	servers_are("nameserver 1.1.1.1\nnameserver 1.1.1.2\nnameserver 1.1.1.3\nnameserver 1.1.1.4\nnameserver 1.1.1.5\n"
		    "nameserver 1.1.1.6\nnameserver 1.1.1.7\nnameserver 1.1.1.8\nnameserver 1.1.1.9\n",
		    "[\"1.1.1.1\",\"1.1.1.2\",\"1.1.1.3\",\"1.1.1.4\",\"1.1.1.5\",\"1.1.1.6\",\"1.1.1.7\",\"1.1.1.8\"]");
}

/* --- a directory of its own --- */

static int make_dir(void **state)
{
	static char path[] = "/tmp/test-vm-net.XXXXXX";

	memcpy(path, "/tmp/test-vm-net.XXXXXX", sizeof(path));
	*state = mkdtemp(path);
	return *state ? 0 : -1;
}

static int drop_dir(void **state)
{
	return io_remove_tree(AT_FDCWD, *state);
}

/* --- the door's socket --- */

static void the_socket_is_reached_again_and_again_without_a_name(void **state)
{
	auto_dir DIR *d = opendir(*state);
	struct dirent *e;
	struct err err;
	int listener, path;

	assert_int_equal(netsock_make(*state, &listener, &path, &err), 0);
	while ((e = readdir(d)))
		assert_true(e->d_name[0] == '.');
	for (int i = 0; i < 3; i++) {
		auto_fd int ours = netsock_connect(path), theirs = accept(listener, NULL, NULL);
		char byte = 0;

		assert_true(ours >= 0);
		assert_int_equal(write(ours, "x", 1), 1);
		assert_int_equal(read(theirs, &byte, 1), 1);
		assert_int_equal(byte, 'x');
	}
	(void)close(listener);
	assert_int_equal(netsock_connect(path), -ECONNREFUSED);
	(void)close(path);
}

/* --- the control socket --- */

struct heard {
	uv_loop_t loop;
	struct netctl *ctl;
	int other;
	unsigned messages, ends;
	int error;
	char last[64];
};

static void on_message(void *user, const json_t *message)
{
	struct heard *h = user;
	const char *event = json_string_value(json_object_get(message, "event"));

	h->messages++;
	(void)str_format(h->last, sizeof(h->last), "%s", event ? event : "");
	uv_stop(&h->loop);
}

static void on_end(void *user, int error)
{
	struct heard *h = user;

	h->ends++;
	h->error = error;
	uv_stop(&h->loop);
}

static const struct netctl_ops ops = { .message = on_message, .end = on_end };

static void hear(struct heard *h)
{
	int pair[2];

	*h = (struct heard){ 0 };
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(uv_loop_init(&h->loop), 0);
	h->other = pair[1];
	h->ctl = netctl_new(&h->loop, pair[0], &ops, h);
	assert_non_null(h->ctl);
}

static void hush(struct heard *h)
{
	netctl_free(h->ctl);
	own_close_p(&h->other);
	(void)uv_run(&h->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&h->loop), 0);
}

static void messages_come_one_by_one(void **state)
{
	struct heard h;

	hear(&h);
	assert_int_equal(send(h.other, "{\"event\":\"ready\"}", 17, 0), 17);
	(void)uv_run(&h.loop, UV_RUN_DEFAULT);
	assert_int_equal(h.messages, 1);
	assert_string_equal(h.last, "ready");
	own_close_p(&h.other);
	(void)uv_run(&h.loop, UV_RUN_DEFAULT);
	assert_int_equal(h.ends, 1);
	assert_int_equal(h.error, 0);
	hush(&h);
}

static void ends_with(const char *text, size_t n, int error)
{
	struct heard h;
	int size = 4 * NETCTL_MAX_BYTES;

	hear(&h);
	(void)setsockopt(h.other, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	assert_int_equal(send(h.other, text, n, 0), n);
	(void)uv_run(&h.loop, UV_RUN_DEFAULT);
	assert_int_equal(h.messages, 0);
	assert_int_equal(h.ends, 1);
	assert_int_equal(h.error, error);
	hush(&h);
}

static void what_is_no_message_ends_it(void **state)
{
	static char large[NETCTL_MAX_BYTES + 1];

	memset(large, ' ', sizeof(large));
	memcpy(large, "{}", 2);
	ends_with("[]", 2, -EPROTO);
	ends_with("{\"a\":1,\"a\":2}", 13, -EPROTO);
	ends_with("x", 1, -EPROTO);
	ends_with(large, sizeof(large), -EMSGSIZE);
}

static void a_descriptor_goes_along(void **state)
{
	auto_fd int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
	char control[CMSG_SPACE(sizeof(int))], text[64] = "";
	struct iovec iov = { text, sizeof(text) - 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	const struct cmsghdr *head;
	struct heard h;
	int got = -1;

	hear(&h);
	assert_int_equal(netctl_send(h.ctl, json_pack("{s:s}", "op", "log"), file), 0);
	assert_int_equal(recvmsg(h.other, &msg, MSG_CMSG_CLOEXEC), 12);
	assert_string_equal(text, "{\"op\":\"log\"}");
	head = CMSG_FIRSTHDR(&msg);
	assert_non_null(head);
	if (head)
		memcpy(&got, CMSG_DATA(head), sizeof(got));
	assert_true(got >= 0);
	(void)close(got);
	hush(&h);
}

/* A proxy that does not read costs a bounded amount of memory. */
static void a_full_socket_is_told(void **state)
{
	struct heard h;
	int r = 0, n = 0;

	hear(&h);
	while (r == 0 && n++ < 100000)
		r = netctl_send(h.ctl, json_pack("{s:s}", "op", "policy"), -1);
	assert_int_equal(r, -EAGAIN);
	assert_int_equal(netctl_send(h.ctl, NULL, -1), -ENOMEM);
	hush(&h);
}

/* --- files --- */

static void the_policy_is_a_file_and_each_reader_begins_at_its_start(void **state)
{
	auto_fd int dir = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char text[8] = "";
	struct err err = { 0 };
	int fd, again;

	assert_int_equal(netfiles_policy(dir, &err), -ENOENT);
	assert_int_equal(mkfifoat(dir, "policy.json", 0600), 0);
	assert_true(netfiles_policy(dir, &err) < 0);
	assert_int_equal(err.kind, ERR_INVALID);
	assert_int_equal(unlinkat(dir, "policy.json", 0), 0);
	assert_int_equal(symlinkat("/etc/passwd", dir, "policy.json"), 0);
	assert_true(netfiles_policy(dir, &err) < 0);
	assert_int_equal(unlinkat(dir, "policy.json", 0), 0);
	assert_int_equal(io_write_file_atomic(dir, "policy.json", "{}", 2, 0600), 0);
	fd = netfiles_policy(dir, &err);
	assert_int_equal(read(fd, text, sizeof(text)), 2);
	again = netfiles_again(fd);
	assert_int_equal(read(again, text, sizeof(text)), 2);
	assert_int_equal(write(again, "x", 1), -1);
	(void)close(fd);
	(void)close(again);
}

static void fill(int dir, const char *name, off_t bytes)
{
	auto_fd int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_int_equal(ftruncate(fd, bytes), 0);
}

static void a_log_that_is_full_is_kept_four_times(void **state)
{
	auto_fd int dir = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err err;
	struct stat st;

	assert_int_equal(netfiles_rotate(dir), 0);
	for (int i = 1; i <= 6; i++) {
		fill(dir, "network.jsonl", (10 << 20) + i);
		assert_int_equal(netfiles_rotate(dir), 0);
	}
	for (int i = 1; i <= 4; i++) {
		char name[32];

		(void)str_format(name, sizeof(name), "network.jsonl.%d", i);
		assert_int_equal(fstatat(dir, name, &st, 0), 0);
		assert_int_equal(st.st_size, (10 << 20) + 7 - i);
	}
	assert_int_equal(fstatat(dir, "network.jsonl.5", &st, 0), -1);
	assert_int_equal(fstatat(dir, "network.jsonl", &st, 0), -1);
	{
		auto_fd int log = netfiles_log(dir, &err);

		assert_int_equal(write(log, "x\n", 2), 2);
		assert_int_equal(fstat(log, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
	}
	/* A proxy in a guest's hands cannot have the old ones thrown away. */
	assert_int_equal(netfiles_rotate(dir), -EAGAIN);
	assert_int_equal(fstatat(dir, "network.jsonl.4", &st, 0), 0);
	assert_int_equal(st.st_size, (10 << 20) + 3);
}

static void an_extra_certificate_is_added_to_the_hosts(void **state)
{
	auto_fd int dir = open(*state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_free char *path = str_new("%s/extra.pem", (char *)*state), *text = NULL;
	struct err err = { 0 };
	int fd;

	if (access("/etc/ssl/certs/ca-certificates.crt", R_OK) < 0)
		skip();
	assert_true(netfiles_trust(path, &err) < 0);
	assert_non_null(strstr(err.msg, "network.extraCaFile"));
	assert_int_equal(io_write_file_atomic(dir, "extra.pem", "EXTRA\n", 6, 0600), 0);
	fd = netfiles_trust(path, &err);
	assert_true(fd >= 0);
	{
		struct buf all;

		buf_init(&all, 16 << 20);
		assert_int_equal(io_read_to_end(fd, &all), 0);
		text = strdup(buf_cstr(&all));
		buf_done(&all);
	}
	assert_non_null(strstr(text, "BEGIN CERTIFICATE"));
	assert_true(str_ends(text, "\nEXTRA\n"));
	(void)close(fd);
}

static void certificates_are(const char *dir, const char *text, const char *want)
{
	auto_fd int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_free char *path = str_new("%s/ca.pem", dir), *got = NULL;
	struct err err = { 0 };
	int r;

	assert_int_equal(io_write_file_atomic(fd, "ca.pem", text, strlen(text), 0600), 0);
	r = netfiles_certificates(path, &got, &err);
	if (want) {
		assert_int_equal(r, 0);
		assert_string_equal(got, want);
	} else {
		assert_int_equal(err.kind, ERR_INVALID);
		assert_non_null(strstr(err.msg, "network.extraCaFile"));
	}
}

#define BEGIN "-----BEGIN CERTIFICATE-----\n"
#define END "-----END CERTIFICATE-----\n"

static void the_guest_gets_certificates_and_nothing_else(void **state)
{
	auto_free char *large = calloc(1, NETFILES_CA_MAX + 1);

	certificates_are(*state, "# Corp\r\n" BEGIN "QQ==\r\n" END "trailer", BEGIN "QQ==\n" END);
	certificates_are(*state, BEGIN "QQ==\n" END "\n" BEGIN "Qg==\n-----END CERTIFICATE-----", BEGIN "QQ==\n" END BEGIN "Qg==\n" END);
	certificates_are(*state, "", NULL);
	certificates_are(*state, "-----BEGIN PRIVATE KEY-----\nQQ==\n-----END PRIVATE KEY-----\n", NULL);
	certificates_are(*state, BEGIN "QQ==\n", NULL);
	memset(large, 'A', NETFILES_CA_MAX);
	memcpy(large, BEGIN, sizeof(BEGIN) - 1);
	certificates_are(*state, large, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(name_servers_of_resolv_conf),
		cmocka_unit_test_setup_teardown(the_socket_is_reached_again_and_again_without_a_name, make_dir, drop_dir),
		cmocka_unit_test(messages_come_one_by_one),
		cmocka_unit_test(what_is_no_message_ends_it),
		cmocka_unit_test(a_descriptor_goes_along),
		cmocka_unit_test(a_full_socket_is_told),
		cmocka_unit_test_setup_teardown(the_policy_is_a_file_and_each_reader_begins_at_its_start, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(a_log_that_is_full_is_kept_four_times, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(the_guest_gets_certificates_and_nothing_else, make_dir, drop_dir),
		cmocka_unit_test_setup_teardown(an_extra_certificate_is_added_to_the_hosts, make_dir, drop_dir),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
