/* SPDX-License-Identifier: Apache-2.0
 *
 * spec: see spec.h. The writer is our own daemon, so that a wrong spec is our bug; it is still checked, because a
 * machine made from half a spec would be worse than none.
 */
#include "vm/spec.h"

#include <errno.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"

static int text_field(const json_t *o, const char *key, const char **ret, struct err *err)
{
	const char *v = json_string_value(json_object_get(o, key));

	if (!v || !*v)
		return err_set(err, ERR_INVALID, 0, "machine spec: \"%s\" must be a string", key);
	*ret = v;
	return 0;
}

static int number_field(const json_t *o, const char *key, uint64_t min, uint64_t *ret, struct err *err)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_integer(v) || json_integer_value(v) < (json_int_t)min)
		return err_set(err, ERR_INVALID, 0, "machine spec: \"%s\" must be a number of at least %llu", key,
			       (unsigned long long)min);
	*ret = (uint64_t)json_integer_value(v);
	return 0;
}

static int list_field(const json_t *o, const char *key, const char **ret, size_t max, size_t *ret_n, struct err *err)
{
	const json_t *a = json_object_get(o, key);

	*ret_n = json_array_size(a);
	if (!json_is_array(a) || *ret_n == 0 || *ret_n > max)
		return err_set(err, ERR_INVALID, 0, "machine spec: \"%s\" must list 1 to %zu paths", key, max);
	for (size_t i = 0; i < *ret_n; i++) {
		ret[i] = json_string_value(json_array_get(a, i));
		if (!ret[i] || ret[i][0] != '/')
			return err_set(err, ERR_INVALID, 0, "machine spec: \"%s\" must list absolute paths", key);
	}
	return 0;
}

static int workspaces(const json_t *o, struct spec *s, struct err *err)
{
	const json_t *a = json_object_get(o, "workspaces"), *w;
	size_t i;

	if (!json_is_array(a) || json_array_size(a) > SPEC_MAX_WORKSPACES)
		return err_set(err, ERR_INVALID, 0, "machine spec: at most %d workspaces", SPEC_MAX_WORKSPACES);
	json_array_foreach(a, i, w) {
		const char *type = json_string_value(json_object_get(w, "type"));
		int r = text_field(w, "path", &s->workspaces[i].path, err);

		if (r < 0)
			return r;
		s->workspaces[i].readonly = json_is_true(json_object_get(w, "readonly"));
		s->workspaces[i].is_file = type && str_eq(type, "file");
	}
	s->nworkspaces = json_array_size(a);
	return 0;
}

/* {"upstream": {"http", "https", "no_proxy"} | null, "extra_ca": path | null}; all may be absent. */
static int network(const json_t *o, struct spec *s, struct err *err)
{
	const json_t *net = json_object_get(o, "network"), *ca = json_object_get(net, "extra_ca");
	json_t *upstream = json_object_get(net, "upstream");

	if (net && !json_is_object(net))
		return err_set(err, ERR_INVALID, 0, "machine spec: \"network\" must be an object");
	if (upstream && !json_is_null(upstream) && !json_is_object(upstream))
		return err_set(err, ERR_INVALID, 0, "machine spec: \"network.upstream\" must be an object");
	if (ca && !json_is_null(ca) && !json_is_string(ca))
		return err_set(err, ERR_INVALID, 0, "machine spec: \"network.extra_ca\" must be a path");
	s->signins = json_object_get(o, "signins");
	if (s->signins && !json_is_array(s->signins))
		return err_set(err, ERR_INVALID, 0, "machine spec: \"signins\" must be an array");
	s->upstream = json_is_object(upstream) ? upstream : NULL;
	s->extra_ca = json_string_value(ca);
	return 0;
}

/* [{"map": {as portmap_read}, "prefer": port}]; may be absent. */
static int ports(const json_t *o, struct spec *s, struct err *err)
{
	const json_t *list = json_object_get(o, "ports"), *one;
	size_t i;

	if (list && (!json_is_array(list) || json_array_size(list) > PORTMAP_MAX))
		return err_set(err, ERR_INVALID, 0, "machine spec: \"ports\" must list at most %d ports", PORTMAP_MAX);
	json_array_foreach(list, i, one) {
		json_int_t prefer = json_integer_value(json_object_get(one, "prefer"));
		int r = portmap_read(json_object_get(one, "map"), "machine spec: ports", &s->ports[i], err);

		if (r < 0)
			return r;
		s->prefer[i] = prefer > 0 && prefer <= UINT16_MAX ? (uint16_t)prefer : 0;
	}
	s->nports = json_array_size(list);
	return 0;
}

static int accel(const json_t *o, struct spec *s, struct err *err)
{
	static const char *const names[] = { [SPEC_ACCEL_AUTO] = "auto", [SPEC_ACCEL_KVM] = "kvm", [SPEC_ACCEL_TCG] = "tcg" };
	const char *v = json_string_value(json_object_get(o, "accel"));

	for (size_t i = 0; v && i < ARRAY_LEN(names); i++)
		if (str_eq(v, names[i])) {
			s->accel = (enum spec_accel)i;
			return 0;
		}
	return err_set(err, ERR_INVALID, 0, "machine spec: \"accel\" must be auto, kvm or tcg");
}

static int strings(const json_t *o, struct spec *s, struct err *err)
{
	const struct {
		const char *key;
		const char **at;
	} fields[] = {
		{ "id", &s->id },         { "name", &s->name }, { "hostname", &s->hostname },
		{ "kernel", &s->kernel }, { "disk", &s->disk }, { "machine_id", &s->machine_id },
		{ "state_dir", &s->state_dir }, { "cache_dir", &s->cache_dir },
	};

	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		int r = text_field(o, fields[i].key, fields[i].at, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int fill(struct spec *s, struct err *err)
{
	const json_t *o = s->json;
	uint64_t cpus;
	int r = strings(o, s, err);

	if (r == 0)
		r = number_field(o, "cpus", 1, &cpus, err);
	if (r == 0)
		r = number_field(o, "memory_mib", 64, &s->memory_mib, err);
	if (r == 0)
		r = number_field(o, "grace_ms", 0, &s->grace_ms, err);
	if (r == 0)
		r = number_field(o, "boot_timeout_ms", 1000, &s->boot_timeout_ms, err);
	if (r == 0)
		r = list_field(o, "initrds", s->initrds, SPEC_MAX_INITRDS, &s->ninitrds, err);
	if (r == 0)
		r = list_field(o, "layers", s->layers, SPEC_MAX_LAYERS, &s->nlayers, err);
	if (r == 0)
		r = workspaces(o, s, err);
	if (r == 0)
		r = accel(o, s, err);
	if (r == 0)
		r = network(o, s, err);
	if (r == 0)
		r = ports(o, s, err);
	if (r < 0)
		return r;
	s->cpus = (unsigned)cpus;
	s->keep = json_is_true(json_object_get(o, "keep"));
	if (json_integer_value(json_object_get(o, "auto_pause_ms")) > 0)
		s->auto_pause_ms = (uint64_t)json_integer_value(json_object_get(o, "auto_pause_ms"));
	s->saved = json_string_value(json_object_get(o, "saved"));
	s->cold = json_is_true(json_object_get(o, "cold"));
	s->env = json_object_get(o, "env");
	s->files = json_object_get(o, "files");
	if (s->files && !json_is_array(s->files))
		return err_set(err, ERR_INVALID, 0, "machine spec: \"files\" must be a list");
	if (!json_is_object(s->env))
		return err_set(err, ERR_INVALID, 0, "machine spec: \"env\" must be an object");
	return 0;
}

int spec_parse(const char *text, size_t n, struct spec *ret, struct err *err)
{
	struct spec s = { 0 };
	json_error_t je;
	int r;

	s.json = json_loadb(text, n, JSON_REJECT_DUPLICATES, &je);
	if (!s.json)
		return err_set(err, ERR_INVALID, 0, "machine spec: line %d: %s", je.line, je.text);
	r = fill(&s, err);
	if (r < 0) {
		spec_done(&s);
		return r;
	}
	*ret = s;
	return 0;
}

void spec_done(struct spec *s)
{
	json_decref(s->json);
	*s = (struct spec){ 0 };
}
