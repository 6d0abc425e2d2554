/* SPDX-License-Identifier: Apache-2.0
 *
 * quiet: see quiet.h.
 */
#include "guest/quiet.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "guest/console.h"
#include "guest/ident.h"
#include "guest/relay.h"
#include "guest/workspaces.h"

#define FILES_MS 10000

DEFINE_AUTO(json, json_t *, json_decref);

/* What nobody uses is forgotten: less to save, and the host's file server has less to remember. */
static void drop_caches(void)
{
	auto_fd int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "2", 1) != 1)
		console_line("drop_caches: %s", strerror(errno));
}

int quiet_begin(const struct setup *s, struct err *err)
{
	int r;

	sync(); /* a memory that is lost afterwards loses nothing that is on the disk */
	drop_caches();
	r = s->fs ? relay_quiesce(io_now_ms() + FILES_MS) : 0;
	return r < 0 ? err_errno(err, -r, "the files of the workspaces did not come to rest") : 0;
}

int quiet_parse(const void *json, size_t n, struct quiet_wake *ret, struct err *err)
{
	auto_(json) json_t *o = json_loadb(json, n, JSON_REJECT_DUPLICATES, NULL);

	*ret = (struct quiet_wake){ 0 };
	if (!json_is_object(o))
		return err_set(err, ERR_INVALID, EINVAL, "the request is not a JSON object");
	ret->again = json_is_true(json_object_get(o, "again"));
	return setup_identity(o, &ret->who, err);
}

int quiet_wake(const struct setup *s, struct quiet_wake *w, struct err *err)
{
	struct err why = { 0 };
	int r = ident_time(w->who.time_ns, err), e;

	e = ident_entropy(w->who.entropy, w->who.entropy_bytes, r < 0 ? &why : err);
	explicit_bzero(w->who.entropy, sizeof(w->who.entropy));
	if (s->fs)
		relay_resume(); /* whatever else fails */
	if (r < 0 || e < 0 || !w->again)
		return r < 0 ? r : e;
	/* A fork is another sandbox; the same one keeps what was made of its name inside. */
	if (!str_eq(w->who.machine_id, s->machine_id)) {
		r = ident_hostname(w->who.hostname, err);
		if (r == 0)
			r = ident_files(w->who.hostname, w->who.machine_id, err);
	}
	if (r < 0 || !s->fs)
		return r;
	r = workspaces_nonce(w->nonce, sizeof(w->nonce), err);
	for (size_t i = 0; r == 0 && i < s->nworkspaces; i++)
		r = workspaces_ino(&s->workspaces[i], &w->ino[i], err);
	return r;
}

char *quiet_reply(const struct setup *s, const struct quiet_wake *w, size_t detached)
{
	auto_(json) json_t *o = json_pack("{s:s, s:[], s:I}", "nonce", w->nonce, "mounts", "detached", (json_int_t)detached);

	for (size_t i = 0; o && i < s->nworkspaces; i++)
		if (json_array_append_new(json_object_get(o, "mounts"), json_pack("{s:i, s:I}", "index", (int)s->workspaces[i].index, "ino",
										  (json_int_t)w->ino[i])) < 0)
			return NULL;
	return o ? json_dumps(o, JSON_COMPACT) : NULL;
}
