/* SPDX-License-Identifier: Apache-2.0
 *
 * vm: see vm.h. argv is for people who read `ps`: --id and --name.
 */
#include "vm/vm.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "vm/machine.h"
#include "vm/spec.h"

#define FILES_MAX 8192

enum { SPEC_FD = 3, LISTEN_FD = 4 };

static int read_spec(struct spec *ret, struct err *err)
{
	struct buf text;
	int r;

	buf_init(&text, SPEC_MAX_BYTES);
	r = io_read_to_end(SPEC_FD, &text);
	if (r < 0)
		r = err_errno(err, -r, "cannot read the machine's spec");
	else
		r = spec_parse((const char *)buf_bytes(&text), buf_len(&text), ret, err);
	buf_done(&text);
	(void)close(SPEC_FD);
	return r;
}

/* Sessions, published connections and the proxy's own (which inherits it) may be more than the usual 1,024. */
static void more_files(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < FILES_MAX) {
		l.rlim_cur = l.rlim_max < FILES_MAX ? l.rlim_max : FILES_MAX;
		(void)setrlimit(RLIMIT_NOFILE, &l);
	}
}

int vm_main(int argc, char **argv)
{
	struct spec spec;
	struct err err;
	uv_loop_t loop;
	int r;

	log_setup("sbx-vm", argc > 2 && str_eq(argv[1], "--id") ? argv[2] : NULL, LOG_LEVEL_INFO);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGHUP, SIG_IGN);
	more_files();
	if (read_spec(&spec, &err) < 0) {
		log_error("%s", err.msg);
		return 125;
	}
	r = uv_loop_init(&loop);
	if (r < 0) {
		log_error("event=loop_failed error=%s", uv_strerror(r));
		spec_done(&spec);
		return 125;
	}
	r = machine_run(&loop, &spec, LISTEN_FD);
	spec_done(&spec);
	return r < 0 ? 125 : 0;
}
