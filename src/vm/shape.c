/* SPDX-License-Identifier: Apache-2.0
 *
 * shape: see shape.h. Writer and reader are both ours; what is read is checked all the same.
 */
#include "vm/shape.h"

#include <errno.h>

json_t *shape_json(const struct shape *s)
{
	json_t *initrds = json_array();

	for (size_t i = 0; i < s->ninitrds; i++)
		if (json_array_append_new(initrds, json_string(s->initrds[i])) < 0) {
			json_decref(initrds);
			return NULL;
		}
	return json_pack("{s:s, s:o, s:s, s:I, s:I, s:I, s:b, s:I}", "kernel", s->kernel, "initrds", initrds, "base", s->base,
			 "disk_bytes", (json_int_t)s->disk_bytes, "cpus", (json_int_t)s->cpus, "memory_mib",
			 (json_int_t)s->memory_mib, "kvm", s->kvm, "tsc_khz", (json_int_t)s->tsc_khz);
}

static bool is_path(const char *s)
{
	return s && s[0] == '/';
}

int shape_read(const json_t *o, struct shape *ret, struct err *err)
{
	const json_t *initrds = json_object_get(o, "initrds");
	json_int_t cpus = json_integer_value(json_object_get(o, "cpus")),
		   mib = json_integer_value(json_object_get(o, "memory_mib")),
		   khz = json_integer_value(json_object_get(o, "tsc_khz")),
		   disk = json_integer_value(json_object_get(o, "disk_bytes"));
	struct shape s = { .kernel = json_string_value(json_object_get(o, "kernel")),
			   .base = json_string_value(json_object_get(o, "base")),
			   .ninitrds = json_array_size(initrds),
			   .kvm = json_is_true(json_object_get(o, "kvm")) };

	if (!is_path(s.base))
		return err_set(err, ERR_INVALID, EINVAL, "machine: \"base\" must be an absolute path");
	if (!is_path(s.kernel) || s.ninitrds == 0 || s.ninitrds > SHAPE_MAX_INITRDS)
		return err_set(err, ERR_INVALID, EINVAL, "machine: a kernel and 1 to %d initramfs are needed", SHAPE_MAX_INITRDS);
	for (size_t i = 0; i < s.ninitrds; i++) {
		s.initrds[i] = json_string_value(json_array_get(initrds, i));
		if (!is_path(s.initrds[i]))
			return err_set(err, ERR_INVALID, EINVAL, "machine: \"initrds\" must list absolute paths");
	}
	if (cpus < 1 || cpus > 1024 || mib < 64 || mib > INT64_C(1) << 30 || khz < 0 || disk < 1)
		return err_set(err, ERR_INVALID, EINVAL, "machine: \"cpus\", \"memory_mib\", \"disk_bytes\" or \"tsc_khz\" is out of range");
	s.cpus = (unsigned)cpus;
	s.memory_mib = (uint64_t)mib;
	s.tsc_khz = (uint64_t)khz;
	s.disk_bytes = (uint64_t)disk;
	*ret = s;
	return 0;
}
