/* SPDX-License-Identifier: Apache-2.0
 *
 * oidc: see oidc.h. Enters: bodies of responses of hosts that the user named, and of those that they named.
 */
#include "wire/oidc.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/str.h"
#include "wire/member.h"

#define SCHEME "https://"
#define INTERVAL_S 5 /* RFC 8628, 3.2 */

int oidc_url(const char *s, struct dest *ret)
{
	const char *authority = s + strlen(SCHEME);
	struct dest d;
	size_t n;

	if (strlen(s) >= OIDC_URL || !str_starts(s, SCHEME))
		return -EINVAL;
	for (const char *at = s; *at; at++)
		if (*at <= ' ' || *at > '~' || strchr("\"<>\\^`{|}#", *at))
			return -EINVAL;
	n = strcspn(authority, "/?");
	if (dest_parse_authority(authority, n, 443, DEST_HTTPS, &d) != DEST_OK)
		return -EINVAL;
	if (ret)
		*ret = d;
	return 0;
}

static int bad(struct err *err, const char *who, const char *what)
{
	return err_set(err, ERR_INVALID, EINVAL, "%s has no valid \"%s\"", who, what);
}

/* -ENOENT: absent. */
static int url(const json_t *o, const char *key, char dst[OIDC_URL])
{
	int r = member_word(o, key, dst, OIDC_URL);

	return r < 0 ? r : oidc_url(dst, NULL);
}

/* --- discovery --- */

static bool lists(const json_t *list, const char *word)
{
	const json_t *one;
	size_t i;

	json_array_foreach(list, i, one)
		if (json_is_string(one) && str_eq(json_string_value(one), word))
			return true;
	return false;
}

static int check_issuer(const char *said, const char *asked, struct err *err)
{
	if (str_eq(said, asked))
		return 0;
	return err_set(err, ERR_DENIED, EACCES, "the issuer calls itself '%.200s': sign in with --issuer and exactly this, if that is who you mean",
		       said);
}

int oidc_issuer_decode(const char *json, size_t n, const char *issuer, struct oidc_issuer *ret, struct err *err)
{
	static const char who[] = "the issuer's discovery document";
	auto_(member_root) json_t *o = NULL;
	struct oidc_issuer i = { 0 };
	const json_t *scopes;
	int r;

	if (member_parse(json, n, who, &o, err) < 0)
		return -EINVAL;
	if (url(o, "issuer", i.issuer) < 0)
		return bad(err, who, "issuer");
	if (check_issuer(i.issuer, issuer, err) < 0)
		return -EACCES;
	r = url(o, "device_authorization_endpoint", i.device);
	if (r == -ENOENT)
		return err_set(err, ERR_INVALID, EINVAL, "the issuer has no sign-in for devices (device_authorization_endpoint)");
	if (r < 0)
		return bad(err, who, "device_authorization_endpoint");
	if (url(o, "token_endpoint", i.token) < 0)
		return bad(err, who, "token_endpoint");
	if (url(o, "jwks_uri", i.keys) < 0)
		return bad(err, who, "jwks_uri");
	if (url(o, "revocation_endpoint", i.revocation) == -EINVAL)
		return bad(err, who, "revocation_endpoint");
	scopes = json_object_get(o, "scopes_supported");
	i.email = lists(scopes, "email");
	i.offline = lists(scopes, "offline_access");
	*ret = i;
	return 0;
}

/* --- device --- */

int oidc_device_decode(const char *json, size_t n, struct oidc_device *ret, struct err *err)
{
	static const char who[] = "the issuer's answer";
	auto_(member_root) json_t *o = NULL;
	struct oidc_device d = { .interval_s = INTERVAL_S };
	int r;

	if (member_parse(json, n, who, &o, err) < 0)
		return -EINVAL;
	if (member_word(o, "device_code", d.device_code, sizeof(d.device_code)) < 0 || !d.device_code[0])
		return bad(err, who, "device_code");
	if (member_text(o, "user_code", d.user_code, sizeof(d.user_code)) < 0 || !d.user_code[0])
		return bad(err, who, "user_code");
	/* Some still use the name of the draft. */
	r = url(o, "verification_uri", d.uri);
	if ((r == -ENOENT ? url(o, "verification_url", d.uri) : r) < 0)
		return bad(err, who, "verification_uri");
	if (url(o, "verification_uri_complete", d.complete) == -EINVAL)
		return bad(err, who, "verification_uri_complete");
	if (member_int(o, "expires_in", 1, INT64_MAX, &d.expires_s) < 0)
		return bad(err, who, "expires_in");
	if (member_int(o, "interval", 0, OIDC_WAIT_MAX_S, &d.interval_s) == -EINVAL)
		return bad(err, who, "interval");
	if (d.expires_s > OIDC_WAIT_MAX_S)
		d.expires_s = OIDC_WAIT_MAX_S;
	if (d.interval_s == 0)
		d.interval_s = 1;
	*ret = d;
	return 0;
}

/* --- tokens --- */

static int read_tokens(const json_t *o, struct oidc_tokens *t, struct err *err)
{
	static const char who[] = "the issuer's token response";
	char type[32];

	if (member_word(o, "access_token", t->access, sizeof(t->access)) < 0 || !t->access[0])
		return bad(err, who, "access_token");
	if (member_word(o, "token_type", type, sizeof(type)) < 0 || strcasecmp(type, "Bearer") != 0)
		return bad(err, who, "token_type");
	if (member_word(o, "refresh_token", t->refresh, sizeof(t->refresh)) == -EINVAL)
		return bad(err, who, "refresh_token");
	if (member_word(o, "id_token", t->id, sizeof(t->id)) == -EINVAL)
		return bad(err, who, "id_token");
	if (member_int(o, "expires_in", 0, INT32_MAX, &t->expires_s) == -EINVAL)
		return bad(err, who, "expires_in");
	return 0;
}

int oidc_tokens_decode(const char *json, size_t n, struct oidc_tokens *ret, struct err *err)
{
	auto_(member_root) json_t *o = NULL;
	struct oidc_tokens *t = calloc(1, sizeof(*t));
	int r = t ? member_parse(json, n, "the issuer's token response", &o, err) : err_errno(err, ENOMEM, "the tokens");

	if (r == 0)
		r = read_tokens(o, t, err);
	if (r == 0)
		*ret = *t;
	if (t)
		explicit_bzero(t, sizeof(*t));
	free(t);
	return r;
}

int oidc_error_decode(const char *json, size_t n, struct oidc_error *ret, struct err *err)
{
	static const char *const names[] = { [OIDC_PENDING] = "authorization_pending", [OIDC_SLOW_DOWN] = "slow_down",
					     [OIDC_DENIED] = "access_denied", [OIDC_EXPIRED] = "expired_token" };
	auto_(member_root) json_t *o = NULL;
	struct oidc_error e = { .refusal = OIDC_OTHER };

	if (member_parse(json, n, "the issuer's error", &o, err) < 0)
		return -EINVAL;
	if (member_text(o, "error", e.code, sizeof(e.code)) < 0 || !e.code[0])
		return bad(err, "the issuer's error", "error");
	(void)member_text(o, "error_description", e.description, sizeof(e.description));
	for (size_t i = OIDC_PENDING; i < ARRAY_LEN(names); i++)
		if (str_eq(names[i], e.code))
			e.refusal = (enum oidc_refusal)i;
	*ret = e;
	return 0;
}

int oidc_registry_token_decode(const char *json, size_t n, char *dst, struct err *err)
{
	static const char who[] = "the registry's token service";
	auto_(member_root) json_t *o = NULL;
	char token[OIDC_TOKEN];
	int r = member_parse(json, n, who, &o, err);

	if (r < 0)
		return r;
	r = member_word(o, "token", token, sizeof(token));
	if (r == -ENOENT)
		r = member_word(o, "access_token", token, sizeof(token));
	if (r == 0 && token[0])
		memcpy(dst, token, sizeof(token));
	else
		r = bad(err, who, "token");
	explicit_bzero(token, sizeof(token));
	return r;
}
