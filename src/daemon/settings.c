/* SPDX-License-Identifier: Apache-2.0
 *
 * settings: see settings.h. A table of keys; each row knows its default, its form and how to read it.
 */
#include "daemon/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"
#include "daemon/upstream.h"

#define FILE_MAX 65536

static int grace(const char *v, struct settings *s)
{
	uint64_t ms;

	if (str_duration(v, &ms) < 0 || ms > 24U * 3600 * 1000)
		return -EINVAL;
	s->stop_grace_ms = ms;
	return 0;
}

static int auto_pause(const char *v, struct settings *s)
{
	uint64_t ms = 0;

	if (!str_eq(v, "off") && (str_duration(v, &ms) < 0 || ms < 5000 || ms > 7U * 24 * 3600 * 1000))
		return -EINVAL;
	s->auto_pause_ms = ms;
	return 0;
}

static int disk(const char *v, struct settings *s)
{
	uint64_t bytes;

	if (str_bytes(v, &bytes) < 0 || bytes < UINT64_C(1) << 30 || bytes > UINT64_C(16) << 40)
		return -EINVAL;
	s->disk_bytes = bytes & ~UINT64_C(0xfffff);
	return 0;
}

static int memory_reserve(const char *v, struct settings *s)
{
	return str_bytes(v, &s->memory_reserve_bytes) < 0 || s->memory_reserve_bytes > UINT64_C(16) << 40 ? -EINVAL : 0;
}

static int accelerator(const char *v, struct settings *s)
{
	if (!str_eq(v, "auto") && !str_eq(v, "kvm") && !str_eq(v, "tcg"))
		return -EINVAL;
	return str_format(s->accelerator, sizeof(s->accelerator), "%s", v);
}

static int boot_timeout(const char *v, struct settings *s)
{
	uint64_t ms;

	if (str_duration(v, &ms) < 0 || ms < 5000 || ms > 30U * 60 * 1000)
		return -EINVAL;
	s->boot_timeout_ms = ms;
	return 0;
}

static int tls_default(const char *v, struct settings *s)
{
	return rule_tls_from_name(v, &s->tls) && s->tls != RULE_TLS_SPLICE ? 0 : -EINVAL;
}

static int permitted_ranges(const json_t *list, struct settings *s)
{
	if (!json_is_array(list) || json_array_size(list) > POLICY_RANGES_MAX)
		return -EINVAL;
	for (s->nranges = 0; s->nranges < json_array_size(list); s->nranges++) {
		const json_t *item = json_array_get(list, s->nranges);
		const char *text = json_string_value(item);

		if (!text || cidr_parse(text, json_string_length(item), &s->ranges[s->nranges], NULL) < 0)
			return -EINVAL;
	}
	return 0;
}

static bool is_proxy(const char *v)
{
	return !*v || str_eq(v, "none") || upstream_is_url(v);
}

static int http_proxy(const char *v, struct settings *s)
{
	return is_proxy(v) ? str_format(s->http_proxy, sizeof(s->http_proxy), "%s", v) : -EINVAL;
}

static int https_proxy(const char *v, struct settings *s)
{
	return is_proxy(v) ? str_format(s->https_proxy, sizeof(s->https_proxy), "%s", v) : -EINVAL;
}

static int no_proxy(const char *v, struct settings *s)
{
	return str_format(s->no_proxy, sizeof(s->no_proxy), "%s", v);
}

/* Only `sbx` acts by it. */
static int browser_open(const char *v, struct settings *s)
{
	return str_eq(v, "auto") || str_eq(v, "ask") || str_eq(v, "never") ? 0 : -EINVAL;
}

static int extra_ca(const char *v, struct settings *s)
{
	return !*v || *v == '/' ? str_format(s->extra_ca, sizeof(s->extra_ca), "%s", v) : -EINVAL;
}

#define PROXY_FORM "a URL such as \"http://proxy.example:3128\", \"none\", or \"\" for the environment's"

static const struct {
	const char *key;
	const char *fallback; /* of a list: none */
	const char *form;
	int (*read)(const char *value, struct settings *s);
	int (*read_list)(const json_t *list, struct settings *s);
} keys[] = {
	{ "sandbox.stopGrace", "30s", "a duration up to 24h such as \"30s\" or \"5m\"", grace, NULL },
	{ "sandbox.autoPause", "off", "\"off\" or a duration from 5s to 168h such as \"30m\"", auto_pause, NULL },
	{ "sandbox.disk", "64g", "a size from 1g to 16t such as \"64g\"", disk, NULL },
	{ "sandbox.memoryReserve", "256m", "a size such as \"256m\" or \"2g\"", memory_reserve, NULL },
	{ "sandbox.accelerator", "auto", "\"auto\", \"kvm\" or \"tcg\"", accelerator, NULL },
	{ "daemon.bootTimeout", "120s", "a duration from 5s to 30m such as \"120s\"", boot_timeout, NULL },
	{ "network.tlsDefault", "auto", "\"auto\" or \"intercept\"", tls_default, NULL },
	{ "network.permittedRanges", NULL, "a list of at most 256 ranges such as [\"10.8.0.0/16\"]", NULL, permitted_ranges },
	{ "network.httpProxy", "", PROXY_FORM, http_proxy, NULL },
	{ "network.httpsProxy", "", PROXY_FORM, https_proxy, NULL },
	{ "network.noProxy", "", "names and ranges joined by commas, \"none\", or \"\" for the environment's", no_proxy, NULL },
	{ "network.extraCaFile", "", "the absolute path of a file of certificates (PEM)", extra_ca, NULL },
	{ "browser.open", "auto", "\"auto\", \"ask\" or \"never\"", browser_open, NULL },
};

/* A wrong key is named with the known ones. */
static int known_keys(const json_t *o, const char *path, struct err *err)
{
	const char *key;
	json_t *value;

	json_object_foreach ((json_t *)(uintptr_t)o, key, value) {
		char shown[100], known[320] = "";
		size_t i = 0;

		while (i < ARRAY_LEN(keys) && !str_eq(keys[i].key, key))
			i++;
		if (i < ARRAY_LEN(keys))
			continue;
		for (i = 0; i < ARRAY_LEN(keys); i++)
			(void)str_format(known + strlen(known), sizeof(known) - strlen(known), "%s%s", i ? ", " : "",
					 keys[i].key);
		str_escape(shown, sizeof(shown), key, strlen(key));
		return err_set(err, ERR_INVALID, 0, "%.200s: unknown key \"%s\": known keys are %s", path, shown, known);
	}
	return 0;
}

/* The value in effect of one key, into s; *ret is owned. NULL there: out of memory. */
static int read_key(size_t i, const json_t *v, struct settings *s, json_t **ret)
{
	const char *text = v ? json_string_value(v) : keys[i].fallback;

	if (keys[i].read_list) {
		*ret = v ? json_deep_copy(v) : json_array();
		return *ret ? keys[i].read_list(*ret, s) : 0;
	}
	*ret = text ? json_string(text) : NULL;
	return text ? keys[i].read(text, s) : -EINVAL;
}

static int read_keys(const json_t *o, const char *path, struct settings *s, json_t *effective, struct err *err)
{
	int r = known_keys(o, path, err);

	for (size_t i = 0; i < ARRAY_LEN(keys) && r == 0; i++) {
		json_t *value;

		if (read_key(i, json_object_get(o, keys[i].key), s, &value) < 0)
			r = err_set(err, ERR_INVALID, 0, "%.200s: \"%s\" must be %s", path, keys[i].key, keys[i].form);
		else if (!value || (effective && json_object_set(effective, keys[i].key, value) < 0))
			r = err_errno(err, ENOMEM, "settings");
		json_decref(value);
	}
	return r;
}

static int parse(const char *path, json_t **ret, struct err *err)
{
	auto_free char *text = NULL;
	json_error_t je;
	size_t n = 0;
	int r = io_read_file(AT_FDCWD, path, FILE_MAX, &text, &n);

	if (r == -ENOENT) {
		*ret = json_object();
		return *ret ? 0 : err_errno(err, ENOMEM, "settings");
	}
	if (r < 0)
		return err_errno(err, -r, "cannot read %.200s", path);
	*ret = json_loadb(text, n, JSON_REJECT_DUPLICATES, &je);
	if (!*ret)
		return err_set(err, ERR_INVALID, 0, "%.200s: line %d: %.100s", path, je.line, je.text);
	if (json_is_object(*ret))
		return 0;
	json_decref(*ret);
	*ret = NULL;
	return err_set(err, ERR_INVALID, 0, "%.200s must hold one JSON object", path);
}

int settings_load(const char *config_dir, struct settings *ret, json_t **ret_json, struct err *err)
{
	auto_free char *path = str_new("%s/settings.json", config_dir);
	struct settings s = { 0 };
	json_t *o = NULL, *effective = ret_json ? json_object() : NULL;
	int r;

	if (!path || (ret_json && !effective)) {
		json_decref(effective);
		return err_errno(err, ENOMEM, "settings");
	}
	r = parse(path, &o, err);
	if (r == 0)
		r = read_keys(o, path, &s, effective, err);
	json_decref(o);
	if (r < 0) {
		json_decref(effective);
		return r;
	}
	*ret = s;
	if (ret_json)
		*ret_json = effective;
	return 0;
}
