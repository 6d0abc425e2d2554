/* SPDX-License-Identifier: Apache-2.0
 *
 * mounted: see mounted.h.
 */
#include "vm/mounted.h"

#include <errno.h>
#include <stdbool.h>

#include "base/str.h"

static int no(struct err *err, const char *why)
{
	return err_set(err, ERR_INTERNAL, ENOTCONN, "the workspace is not mounted in the guest: %s", why);
}

/* An index is looked for among the mounts, and not the other way round: one mount told twice stands for one. */
static bool names(const json_t *mounts, size_t index, uint64_t ino)
{
	const json_t *m;
	size_t i;

	json_array_foreach(mounts, i, m) {
		const json_t *at = json_object_get(m, "index"), *seen = json_object_get(m, "ino");

		if (json_is_integer(at) && json_is_integer(seen) && json_integer_value(at) == (json_int_t)index &&
		    (uint64_t)json_integer_value(seen) == ino)
			return true;
	}
	return false;
}

int mounted_check(const struct mounted *want, const json_t *reply, struct err *err)
{
	const json_t *mounts = json_object_get(reply, "mounts");
	const char *nonce = json_string_value(json_object_get(reply, "nonce"));

	if (want->n == 0)
		return 0;
	if (!want->nonce[0] || !nonce || !str_eq(nonce, want->nonce))
		return no(err, "the guest did not read this machine's nonce through the file door");
	for (size_t i = 0; i < want->n; i++)
		if (!names(mounts, i, want->ino[i]))
			return no(err, "the guest sees another directory than the host at a workspace's path");
	return 0;
}
