/* SPDX-License-Identifier: Apache-2.0
 *
 * portmap: see portmap.h. Text and JSON are both taken apart into strings and numbers, which one function checks.
 */
#include "wire/portmap.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"

#define FORM "write it as [[HOST_IP:]HOST_PORT:]SANDBOX_PORT[/tcp]"

/* What was said, before it means anything; absent texts are empty. */
struct said {
	char ip[PORTMAP_IP_MAX], protocol[8];
	bool has_ip, has_host_port;
	uint64_t host_port, sandbox_port;
};

static int address(const struct said *s, struct portmap *m, struct err *err)
{
	const char *ip = s->has_ip ? s->ip : str_eq(s->protocol, "tcp6") ? "::1" : "127.0.0.1";
	struct in6_addr bits;

	if (inet_pton(AF_INET, ip, &bits) == 1)
		m->v6 = false;
	else if (inet_pton(AF_INET6, ip, &bits) == 1)
		m->v6 = true;
	else
		return err_set(err, ERR_INVALID, EINVAL, "'%s' is no IP address of this host: write it as 127.0.0.1 or [::1]", ip);
	if (str_eq(s->protocol, m->v6 ? "tcp4" : "tcp6"))
		return err_set(err, ERR_INVALID, EINVAL, "%s is no address for %s", ip, s->protocol);
	(void)inet_ntop(m->v6 ? AF_INET6 : AF_INET, &bits, m->host_ip, sizeof(m->host_ip));
	return 0;
}

static int mean(const struct said *s, struct portmap *ret, struct err *err)
{
	static const char *const known[] = { "", "tcp", "tcp4", "tcp6" };
	struct portmap m = { 0 };
	size_t i = 0;
	int r;

	while (i < ARRAY_LEN(known) && !str_eq(s->protocol, known[i]))
		i++;
	if (i == ARRAY_LEN(known))
		return err_set(err, ERR_INVALID, EINVAL, "protocol '%s' cannot be published: only TCP reaches a sandbox (tcp, tcp4, tcp6)",
			       s->protocol);
	if (s->sandbox_port < 1 || s->sandbox_port > UINT16_MAX || s->host_port > UINT16_MAX)
		return err_set(err, ERR_INVALID, ERANGE, "a port is a number from 1 to 65535");
	r = address(s, &m, err);
	if (r < 0)
		return r;
	m.host_port = (uint16_t)s->host_port;
	m.sandbox_port = (uint16_t)s->sandbox_port;
	*ret = m;
	return 0;
}

/* --- text --- */

static bool number(const char *text, uint64_t *ret)
{
	return str_u64(text, UINT32_MAX, ret) == 0;
}

/* Takes text apart, from its end; it is written to. */
static bool take_apart(char *text, struct said *s)
{
	char *slash = strrchr(text, '/'), *colon;

	if (slash) {
		*slash = 0;
		if (!slash[1] || str_format(s->protocol, sizeof(s->protocol), "%s", slash + 1) < 0)
			return false;
	}
	colon = strrchr(text, ':');
	if (!number(colon ? colon + 1 : text, &s->sandbox_port))
		return false;
	if (!colon)
		return true;
	*colon = 0;
	colon = strrchr(text, ':');
	s->has_host_port = true;
	if (!number(colon ? colon + 1 : text, &s->host_port))
		return false;
	if (!colon)
		return true;
	*colon = 0;
	if (text[0] == '[' && colon[-1] == ']') {
		colon[-1] = 0;
		text++;
	}
	s->has_ip = true;
	return text[0] && str_format(s->ip, sizeof(s->ip), "%s", text) == 0;
}

static int parse(const char *spec, struct said *s, struct portmap *ret, struct err *err)
{
	char text[PORTMAP_TEXT_MAX], shown[PORTMAP_TEXT_MAX];
	int r;

	str_escape(shown, sizeof(shown), spec, strlen(spec));
	if (str_format(text, sizeof(text), "%s", spec) < 0 || !take_apart(text, s))
		return err_set(err, ERR_INVALID, EINVAL, "'%s' names no port: " FORM, shown);
	r = mean(s, ret, err);
	return r < 0 ? err_wrap(err, "'%s'", shown) : 0;
}

int portmap_parse(const char *spec, struct portmap *ret, struct err *err)
{
	struct said s = { 0 };

	return parse(spec, &s, ret, err);
}

static int match(const struct said *s, const struct portmap *m, struct portmap_match *ret, struct err *err)
{
	if (s->has_host_port && m->host_port == 0)
		return err_set(err, ERR_INVALID, EINVAL, "a published port has a host port other than 0");
	*ret = (struct portmap_match){ .has_ip = s->has_ip, .has_host_port = s->has_host_port, .map = *m };
	return 0;
}

int portmap_parse_match(const char *spec, struct portmap_match *ret, struct err *err)
{
	struct said s = { 0 };
	struct portmap m;
	int r = parse(spec, &s, &m, err);

	return r < 0 ? r : match(&s, &m, ret, err);
}

/* --- JSON --- */

/* An absent one leaves dst alone. */
static int read_text(const json_t *o, const char *what, const char *key, char *dst, size_t size, struct err *err)
{
	const json_t *v = json_object_get(o, key);
	const char *text = json_string_value(v);
	char shown[60];

	if (!v)
		return 0;
	if (!text)
		return err_set(err, ERR_INVALID, EINVAL, "%s: \"%s\" must be a string", what, key);
	str_escape(shown, sizeof(shown), text, strlen(text));
	if (str_format(dst, size, "%s", text) < 0)
		return err_set(err, ERR_INVALID, EINVAL, "%s: \"%s\" is not '%s'", what, key, shown);
	/* What is quoted in a message later. */
	return str_eq(shown, text) ? 0 : err_set(err, ERR_INVALID, EINVAL, "%s: \"%s\" is not '%s'", what, key, shown);
}

static int read_port(const json_t *o, const char *what, const char *key, uint64_t *ret, struct err *err)
{
	const json_t *v = json_object_get(o, key);

	if (v && (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > UINT16_MAX))
		return err_set(err, ERR_INVALID, EINVAL, "%s: \"%s\" must be a port number", what, key);
	*ret = (uint64_t)json_integer_value(v);
	return 0;
}

static int read_said(const json_t *o, const char *what, struct said *s, struct err *err)
{
	static const char *const keys[] = { "host_ip", "host_port", "sandbox_port", "protocol" };
	int r;

	if (!json_is_object(o) || !json_object_get(o, "sandbox_port"))
		return err_set(err, ERR_INVALID, EINVAL, "%s must be an object with a \"sandbox_port\"", what);
	for (void *at = json_object_iter((json_t *)(uintptr_t)o); at; at = json_object_iter_next((json_t *)(uintptr_t)o, at)) {
		const char *key = json_object_iter_key(at);
		char shown[60];
		size_t i = 0;

		while (i < ARRAY_LEN(keys) && !str_eq(key, keys[i]))
			i++;
		str_escape(shown, sizeof(shown), key, strlen(key));
		if (i == ARRAY_LEN(keys))
			return err_set(err, ERR_INVALID, EINVAL, "%s: unknown key \"%s\"", what, shown);
	}
	s->has_ip = json_object_get(o, "host_ip") != NULL;
	s->has_host_port = json_object_get(o, "host_port") != NULL;
	r = read_text(o, what, "host_ip", s->ip, sizeof(s->ip), err);
	if (r == 0)
		r = read_text(o, what, "protocol", s->protocol, sizeof(s->protocol), err);
	if (r == 0)
		r = read_port(o, what, "host_port", &s->host_port, err);
	if (r == 0)
		r = read_port(o, what, "sandbox_port", &s->sandbox_port, err);
	return r;
}

int portmap_read(const json_t *o, const char *what, struct portmap *ret, struct err *err)
{
	struct said s = { 0 };
	int r = read_said(o, what, &s, err);

	if (r < 0)
		return r;
	r = mean(&s, ret, err);
	return r < 0 ? err_wrap(err, "%s", what) : 0;
}

int portmap_read_match(const json_t *o, const char *what, struct portmap_match *ret, struct err *err)
{
	struct said s = { 0 };
	struct portmap m;
	int r = read_said(o, what, &s, err);

	if (r < 0)
		return r;
	r = mean(&s, &m, err);
	if (r == 0)
		r = match(&s, &m, ret, err);
	return r < 0 ? err_wrap(err, "%s", what) : 0;
}

int portmap_read_change(const json_t *o, struct portmap_change *ret, struct err *err)
{
	const json_t *add = json_object_get(o, "publish"), *del = json_object_get(o, "unpublish");
	char what[32];
	int r = 0;

	if ((add && !json_is_array(add)) || (del && !json_is_array(del)) || json_array_size(add) > PORTMAP_MAX ||
	    json_array_size(del) > PORTMAP_MAX)
		return err_set(err, ERR_INVALID, EINVAL, "\"publish\" and \"unpublish\" must be lists of at most %d ports", PORTMAP_MAX);
	for (ret->nadd = 0; r == 0 && ret->nadd < json_array_size(add); ret->nadd++) {
		(void)str_format(what, sizeof(what), "publish[%zu]", ret->nadd);
		r = portmap_read(json_array_get(add, ret->nadd), what, &ret->add[ret->nadd], err);
	}
	for (ret->ndel = 0; r == 0 && ret->ndel < json_array_size(del); ret->ndel++) {
		(void)str_format(what, sizeof(what), "unpublish[%zu]", ret->ndel);
		r = portmap_read_match(json_array_get(del, ret->ndel), what, &ret->del[ret->ndel], err);
	}
	return r;
}

json_t *portmap_write(const struct portmap *m)
{
	return json_pack("{s:s, s:i, s:i, s:s}", "host_ip", m->host_ip, "host_port", (int)m->host_port, "sandbox_port",
			 (int)m->sandbox_port, "protocol", "tcp");
}

json_t *portmap_write_match(const struct portmap_match *m)
{
	json_t *o = json_pack("{s:i}", "sandbox_port", (int)m->map.sandbox_port);

	if (o && m->has_ip)
		(void)json_object_set_new(o, "host_ip", json_string(m->map.host_ip));
	if (o && m->has_host_port)
		(void)json_object_set_new(o, "host_port", json_integer(m->map.host_port));
	return o;
}

void portmap_host(char dst[PORTMAP_TEXT_MAX], const struct portmap *m)
{
	const char *open = m->v6 ? "[" : "", *close = m->v6 ? "]" : "";

	if (m->host_port)
		(void)str_format(dst, PORTMAP_TEXT_MAX, "%s%s%s:%u", open, m->host_ip, close, (unsigned)m->host_port);
	else
		(void)str_format(dst, PORTMAP_TEXT_MAX, "%s%s%s:auto", open, m->host_ip, close);
}

bool portmap_fits(const struct portmap_match *want, const struct portmap *m)
{
	return m->sandbox_port == want->map.sandbox_port && (!want->has_ip || str_eq(m->host_ip, want->map.host_ip)) &&
	       (!want->has_host_port || m->host_port == want->map.host_port);
}

int portmap_not_found(const struct portmap_match *want, struct err *err)
{
	char host[PORTMAP_TEXT_MAX];
	struct portmap m = want->map;

	portmap_host(host, &m);
	if (want->has_host_port)
		return err_set(err, ERR_NOT_FOUND, ENOENT, "port %u of the sandbox is not published at %s", (unsigned)m.sandbox_port,
			       want->has_ip ? host : strrchr(host, ':') + 1);
	return err_set(err, ERR_NOT_FOUND, ENOENT, "port %u of the sandbox is not published", (unsigned)m.sandbox_port);
}

bool portmap_clash(const struct portmap *a, const struct portmap *b)
{
	return a->host_port && a->host_port == b->host_port && a->v6 == b->v6 && str_eq(a->host_ip, b->host_ip);
}
