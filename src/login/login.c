/* SPDX-License-Identifier: Apache-2.0
 *
 * login: see login.h. Enters: on descriptor 3 what is to be done (wire/logintalk.h), on 4 a connection to the keeper that belongs to
 * this sign-in, on standard input a password. Leaves: events on standard output. Exit status 0 after the event "done", else 1.
 */
#include "login/login.h"

#include <curl/curl.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/env.h"
#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "login/confine.h"
#include "login/host.h"
#include "login/session.h"

#define REQUEST_FD 3
#define KEEPER_FD 4

static int read_request(struct session *s, struct err *err)
{
	struct buf in;
	int r;

	buf_init(&in, LOGINTALK_MAX_BYTES);
	r = io_read_to_end(REQUEST_FD, &in);
	r = r < 0 ? err_errno(err, -r, "sbx-login is started by sbx (descriptor %d)", REQUEST_FD) :
		    logintalk_decode((const char *)buf_bytes(&in), buf_len(&in), &s->q, err);
	buf_done(&in);
	return r;
}

/* Whatever reads files: the settings, the trust store, the libraries' own. */
static int prepare(struct session *s, struct host *host, struct err *err)
{
	struct env_dirs dirs;
	int r = env_dirs(&dirs, err);

	if (r == 0)
		r = host_load(dirs.config, host, err);
	if (r < 0)
		return r;
	/* It would make libcurl write the keys of connections to a file. */
	(void)unsetenv("SSLKEYLOGFILE");
	if (!OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG | OPENSSL_INIT_ADD_ALL_CIPHERS | OPENSSL_INIT_ADD_ALL_DIGESTS, NULL) ||
	    curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return err_set(err, ERR_INTERNAL, ENOMEM, "libcurl cannot be set up");
	s->http = http_new(&(struct http_host){ .trust = host->trust,
						.trust_len = host->trust_len,
						.proxy = host->proxy,
						.no_proxy = host->no_proxy },
			   err);
	return s->http ? confine(err) : err_code(err);
}

static int perform(struct session *s, struct err *err)
{
	switch (s->q.op) {
	case LOGINTALK_DEVICE:
		return session_device(s, err);
	case LOGINTALK_PASSWORD:
		return session_password(s, err);
	case LOGINTALK_CHECK:
		return session_check(s, err);
	case LOGINTALK_REVOKE:
		return session_revoke(s, err);
	}
	return err_set(err, ERR_INVALID, EINVAL, "no such operation");
}

int login_main(int argc, char **argv)
{
	static struct session s = { .keeper = KEEPER_FD };
	static struct logintalk_event last;
	struct host host = { 0 };
	struct err err = { 0 };
	int r;

	log_setup("sbx-login", NULL, LOG_LEVEL_INFO);
	(void)umask(0077);
	(void)signal(SIGPIPE, SIG_IGN);
	r = read_request(&s, &err);
	if (r == 0)
		r = prepare(&s, &host, &err);
	if (r == 0)
		r = perform(&s, &err);
	last.kind = r < 0 ? LOGINTALK_ERROR : LOGINTALK_DONE;
	last.error = err;
	last.login = s.q.login;
	if (session_say(&last) < 0)
		r = -EPIPE;
	http_free(s.http);
	host_done(&host);
	return r < 0 ? 1 : 0;
}
