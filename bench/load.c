/* SPDX-License-Identifier: Apache-2.0
 *
 * load: a load of HTTPS requests, for bench/proxy and bench/vmpath. T threads, each with one blocking connection at a time; every
 * connection is a full TLS handshake (no resumption) and carries R requests, `GET PATH`. With --tunnel the connection
 * begins with CONNECT to that authority, as to a forward proxy. All bytes of each answer are read and counted.
 *
 *	load --to 127.0.0.1:3128 --tunnel origin.test:443 --sni origin.test --ca ca.pem --threads 8 \
 *	     --connections 800 --requests 1 --path /1k
 *
 * --plain speaks HTTP without TLS; then --sni and --ca say nothing, and Host is what --to says. --host: Host, where that is not it.
 * --hold N opens N connections, makes one request on each, prints "held" and keeps them until stdin ends.
 * Prints one JSON object. Exits with 1 where anything failed, with the first failure on stderr.
 */
#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/own.h"
#include "base/str.h"

#define READ_BYTES 65536
#define HEAD_BYTES 16384
#define THREADS_MAX 256

struct plan {
	const char *to, *tunnel, *sni, *ca, *path;
	uint64_t threads, connections, requests, hold;
	struct addrinfo *addr;
	SSL_CTX *ctx;
	bool plain;
	const char *host; /* NULL: as --to or --sni says */
};

static struct plan plan = { .threads = 1, .connections = 1, .requests = 1, .path = "/" };
static atomic_uint_fast64_t next_connection, done_requests, done_bytes, failures;

struct line {
	int fd;
	SSL *ssl;
};

static int complain(const char *what)
{
	if (atomic_fetch_add(&failures, 1) == 0) {
		(void)fprintf(stderr, "load: %s: ", what);
		if (ERR_peek_error())
			ERR_print_errors_fp(stderr);
		else
			(void)fprintf(stderr, "%s\n", strerror(errno));
	}
	return -1;
}

static void line_done(struct line *l)
{
	if (l->ssl)
		SSL_free(l->ssl);
	if (l->fd >= 0)
		(void)close(l->fd);
	*l = (struct line){ .fd = -1 };
}

/* CONNECT, and the end of its answer's head; a proxy says nothing more before the client does. */
static int tunnel(int fd)
{
	char buf[4096];
	size_t n = 0;
	int len = snprintf(buf, sizeof(buf), "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", plan.tunnel, plan.tunnel);

	if (write(fd, buf, (size_t)len) != len)
		return complain("CONNECT");
	while (n < sizeof(buf) - 1) {
		ssize_t got = read(fd, buf + n, sizeof(buf) - 1 - n);

		if (got <= 0)
			return complain("the answer to CONNECT");
		n += (size_t)got;
		buf[n] = 0;
		if (strstr(buf, "\r\n\r\n"))
			return strncmp(buf + 8, " 200", 4) == 0 ? 0 : complain("CONNECT was refused");
	}
	return complain("a long answer to CONNECT");
}

static int line_write(struct line *l, const char *buf, int n)
{
	return l->ssl ? SSL_write(l->ssl, buf, n) : (int)write(l->fd, buf, (size_t)n);
}

static int line_read(struct line *l, char *buf, int n)
{
	return l->ssl ? SSL_read(l->ssl, buf, n) : (int)read(l->fd, buf, (size_t)n);
}

static int line_open(struct line *l)
{
	int one = 1;

	l->fd = socket(plan.addr->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (l->fd < 0 || connect(l->fd, plan.addr->ai_addr, plan.addr->ai_addrlen) < 0)
		return complain("connect");
	(void)setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (plan.tunnel && tunnel(l->fd) < 0)
		return -1;
	if (plan.plain)
		return 0;
	l->ssl = SSL_new(plan.ctx);
	if (!l->ssl || SSL_set_fd(l->ssl, l->fd) != 1 || SSL_set_tlsext_host_name(l->ssl, plan.sni) != 1 ||
	    SSL_set1_host(l->ssl, plan.sni) != 1)
		return complain("TLS");
	return SSL_connect(l->ssl) == 1 ? 0 : complain("the TLS handshake");
}

/* The length of the body that follows a head; negative where the head is not what an origin of the bench answers. */
static long body_length(const char *head)
{
	const char *at = strcasestr(head, "\r\ncontent-length:");
	uint64_t v;
	char number[24];

	if (strncmp(head, "HTTP/1.1 200", 12) != 0 || !at)
		return -1;
	at += 17;
	at += strspn(at, " ");
	if (str_format(number, sizeof(number), "%.*s", (int)strspn(at, "0123456789"), at) < 0 ||
	    str_u64(number, INT64_MAX, &v) < 0)
		return -1;
	return (long)v;
}

static int line_request(struct line *l, char *buf)
{
	int len = snprintf(buf, HEAD_BYTES, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: load\r\n\r\n", plan.path,
			   plan.host ? plan.host : plan.plain ? plan.to : plan.sni);
	size_t n = 0;
	long left = -1;
	char *end = NULL;

	if (line_write(l, buf, len) != len)
		return complain("a request");
	while (!end) {
		int got = n < HEAD_BYTES - 1 ? line_read(l, buf + n, (int)(HEAD_BYTES - 1 - n)) : 0;

		if (got <= 0)
			return complain("an answer's head");
		n += (size_t)got;
		buf[n] = 0;
		end = strstr(buf, "\r\n\r\n");
	}
	left = body_length(buf);
	if (left < 0)
		return complain("an answer that is no 200 with a Content-Length");
	atomic_fetch_add(&done_bytes, (uint64_t)left);
	left -= (long)(n - (size_t)(end + 4 - buf));
	while (left > 0) {
		int got = line_read(l, buf, READ_BYTES);

		if (got <= 0)
			return complain("an answer's body");
		left -= got;
	}
	atomic_fetch_add(&done_requests, 1);
	return 0;
}

static void *worker(void *arg)
{
	auto_free char *buf = malloc(READ_BYTES);

	while (buf && atomic_load(&failures) == 0 && atomic_fetch_add(&next_connection, 1) < plan.connections) {
		struct line l = { .fd = -1 };
		int r = line_open(&l);

		for (uint64_t i = 0; r == 0 && i < plan.requests; i++)
			r = line_request(&l, buf);
		line_done(&l);
	}
	return NULL;
}

static void hold(void)
{
	struct line *lines = calloc(plan.hold, sizeof(*lines));
	auto_free char *buf = malloc(READ_BYTES);
	int r = lines && buf ? 0 : -1;

	for (uint64_t i = 0; r == 0 && i < plan.hold; i++) {
		lines[i].fd = -1;
		r = line_open(&lines[i]);
		if (r == 0)
			r = line_request(&lines[i], buf);
	}
	(void)printf("held\n");
	(void)fflush(stdout);
	while (getchar() != EOF)
		;
	for (uint64_t i = 0; lines && i < plan.hold; i++)
		line_done(&lines[i]);
	free(lines);
}

static int resolve(void)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
	auto_free char *host = strdup(plan.to);
	char *colon = host ? strrchr(host, ':') : NULL;

	if (!colon)
		return -1;
	*colon = 0;
	return getaddrinfo(host, colon + 1, &hints, &plan.addr) == 0 ? 0 : -1;
}

static int options(int argc, char **argv)
{
	static const struct option known[] = {
		{ "to", 1, 0, 't' }, { "tunnel", 1, 0, 'u' }, { "sni", 1, 0, 's' }, { "ca", 1, 0, 'a' },
		{ "path", 1, 0, 'p' }, { "threads", 1, 0, 'T' }, { "connections", 1, 0, 'c' }, { "requests", 1, 0, 'r' },
		{ "hold", 1, 0, 'h' }, { "plain", 0, 0, 'P' }, { "host", 1, 0, 'H' }, { 0 },
	};
	int o, r = 0;

	while (r == 0 && (o = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (o) {
		case 't': plan.to = optarg; break;
		case 'u': plan.tunnel = optarg; break;
		case 's': plan.sni = optarg; break;
		case 'a': plan.ca = optarg; break;
		case 'p': plan.path = optarg; break;
		case 'T': r = str_u64(optarg, THREADS_MAX, &plan.threads); break;
		case 'c': r = str_u64(optarg, UINT32_MAX, &plan.connections); break;
		case 'r': r = str_u64(optarg, UINT32_MAX, &plan.requests); break;
		case 'h': r = str_u64(optarg, 65536, &plan.hold); break;
		case 'P': plan.plain = true; break;
		case 'H': plan.host = optarg; break;
		default: r = -1;
		}
	}
	return r < 0 || !plan.to || (!plan.plain && (!plan.sni || !plan.ca)) || optind != argc || resolve() < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS_MAX];
	struct timespec a, b;
	uint64_t started = 0;

	if (options(argc, argv) < 0) {
		(void)fprintf(stderr, "usage: load --to ADDR:PORT (--sni NAME --ca FILE | --plain) [--host NAME:PORT] [--tunnel NAME:PORT] [--path P] [--threads N] "
				      "[--connections N] [--requests N] [--hold N]\n");
		return 2;
	}
	plan.ctx = SSL_CTX_new(TLS_client_method());
	if (!plan.ctx || (!plan.plain && SSL_CTX_load_verify_locations(plan.ctx, plan.ca, NULL) != 1)) {
		(void)complain("the CA file");
		return 1;
	}
	SSL_CTX_set_verify(plan.ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_session_cache_mode(plan.ctx, SSL_SESS_CACHE_OFF);
	(void)clock_gettime(CLOCK_MONOTONIC, &a);
	if (plan.hold)
		hold();
	else
		while (started < plan.threads && pthread_create(&threads[started], NULL, worker, NULL) == 0)
			started++;
	while (started > 0)
		(void)pthread_join(threads[--started], NULL);
	(void)clock_gettime(CLOCK_MONOTONIC, &b);
	(void)printf("{\"requests\": %llu, \"bytes\": %llu, \"seconds\": %.3f, \"failures\": %llu}\n",
		     (unsigned long long)done_requests, (unsigned long long)done_bytes,
		     (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9, (unsigned long long)failures);
	SSL_CTX_free(plan.ctx);
	freeaddrinfo(plan.addr);
	return failures ? 1 : 0;
}
