/* SPDX-License-Identifier: Apache-2.0
 *
 * clienthello: see clienthello.h. Enters: a client's bytes, hostile. First the records are taken apart and the message
 * gathered (feed), then the whole message is decoded once (decode); each vector is a view that can only shrink.
 */
#include "wire/clienthello.h"

#include <string.h>

#define RECORD_HANDSHAKE 22
#define RECORD_PAYLOAD_MAX 16384
#define MESSAGE_CLIENT_HELLO 1
#define MESSAGE_HEAD 4

enum {
	EXT_SERVER_NAME = 0,
	EXT_ALPN = 16,
	EXT_PRE_SHARED_KEY = 41,
	EXT_EARLY_DATA = 42,
	EXT_SUPPORTED_VERSIONS = 43,
	EXT_ECH_OUTER_EXTENSIONS = 0xfd00,
	EXT_ECH_DRAFT_FIRST = 0xfe08, /* drafts 8-12 */
	EXT_ECH = 0xfe0d,
	EXT_ESNI = 0xffce,
};

/* What is left of a vector. */
struct view {
	const uint8_t *p;
	size_t n;
};

static enum clienthello_result refuse(struct clienthello *ch, enum clienthello_alert alert, const char *reason)
{
	ch->alert = alert;
	ch->reason = reason;
	return CLIENTHELLO_BAD;
}

static enum clienthello_result malformed(struct clienthello *ch, const char *reason)
{
	return refuse(ch, CLIENTHELLO_ALERT_DECODE_ERROR, reason);
}

/* Takes an integer of width bytes off the view; false where it has fewer. */
static bool take(struct view *v, size_t width, size_t *ret)
{
	size_t x = 0;

	if (v->n < width)
		return false;
	for (size_t i = 0; i < width; i++)
		x = x << 8 | v->p[i];
	v->p += width;
	v->n -= width;
	*ret = x;
	return true;
}

/* Takes a vector whose length stands before it in width bytes and is from min to max. */
static bool take_vector(struct view *v, size_t width, size_t min, size_t max, struct view *ret)
{
	size_t n;

	if (!take(v, width, &n) || n > v->n || n < min || n > max)
		return false;
	*ret = (struct view){ v->p, n };
	v->p += n;
	v->n -= n;
	return true;
}

static enum clienthello_result server_name(struct clienthello *ch, struct view ext)
{
	struct view list, name;
	struct dest d;
	size_t type;

	if (!take_vector(&ext, 2, 1, UINT16_MAX, &list) || ext.n > 0 || !take(&list, 1, &type))
		return malformed(ch, "the server_name extension has a wrong length");
	if (type != 0)
		return malformed(ch, "the server name is of an unknown type");
	if (!take_vector(&list, 2, 1, UINT16_MAX, &name))
		return malformed(ch, "the server name has a wrong length");
	if (list.n > 0)
		return malformed(ch, "there is more than one server name");
	if (dest_make((const char *)name.p, name.n, 1, DEST_HTTPS, &d) != DEST_OK)
		return refuse(ch, CLIENTHELLO_ALERT_UNRECOGNIZED_NAME, "the server name is no host name");
	if (d.kind != DEST_NAME)
		return refuse(ch, CLIENTHELLO_ALERT_UNRECOGNIZED_NAME, "the server name is an address");
	memcpy(ch->sni, d.host, sizeof(ch->sni));
	ch->has_sni = true;
	return CLIENTHELLO_OK;
}

static bool same(struct view v, const char *s)
{
	return v.n == strlen(s) && memcmp(v.p, s, v.n) == 0;
}

static enum clienthello_result alpn(struct clienthello *ch, struct view ext)
{
	struct view list, name;

	if (!take_vector(&ext, 2, 2, UINT16_MAX, &list) || ext.n > 0)
		return malformed(ch, "the ALPN extension has a wrong length");
	while (list.n > 0) {
		if (!take_vector(&list, 1, 1, UINT8_MAX, &name))
			return malformed(ch, "an ALPN protocol has a wrong length");
		if (ch->alpn_count == CLIENTHELLO_ALPN_MAX)
			return refuse(ch, CLIENTHELLO_ALERT_ILLEGAL_PARAMETER, "there are too many ALPN protocols");
		ch->alpn_at[ch->alpn_count++] = (uint16_t)(name.p - ch->msg);
		ch->alpn_h2 |= same(name, "h2");
		ch->alpn_http11 |= same(name, "http/1.1");
	}
	ch->has_alpn = true;
	return CLIENTHELLO_OK;
}

static void note_version(struct clienthello *ch, size_t version)
{
	if (version < 0x0301 || version > 0x0304)
		return; /* GREASE, drafts, SSL 3 */
	if (version > ch->max_version)
		ch->max_version = (uint16_t)version;
	ch->tls12 |= version == 0x0303;
	ch->tls13 |= version == 0x0304;
}

static enum clienthello_result supported_versions(struct clienthello *ch, struct view ext)
{
	struct view list;
	size_t version;

	if (!take_vector(&ext, 1, 2, 254, &list) || ext.n > 0 || list.n % 2 != 0)
		return malformed(ch, "the supported_versions extension has a wrong length");
	ch->max_version = 0;
	ch->tls12 = ch->tls13 = false;
	while (take(&list, 2, &version))
		note_version(ch, version);
	return CLIENTHELLO_OK;
}

/* RFC 9849 5: outer is type 0, HPKE suite, config id, enc, payload; inner is type 1 and nothing else. */
static enum clienthello_result ech(struct clienthello *ch, struct view ext)
{
	struct view enc, payload;
	size_t type, ignored;

	ch->ech = true;
	if (!take(&ext, 1, &type) || type > 1)
		return malformed(ch, "the encrypted_client_hello extension is of an unknown type");
	ch->ech_inner = type == 1;
	if (type == 0 && (!take(&ext, 4, &ignored) || !take(&ext, 1, &ignored) ||
			  !take_vector(&ext, 2, 0, UINT16_MAX, &enc) || !take_vector(&ext, 2, 1, UINT16_MAX, &payload)))
		return malformed(ch, "the encrypted_client_hello extension has a wrong length");
	return ext.n > 0 ? malformed(ch, "the encrypted_client_hello extension has a wrong length") : CLIENTHELLO_OK;
}

static enum clienthello_result extension(struct clienthello *ch, size_t type, struct view ext, bool last)
{
	switch (type) {
	case EXT_SERVER_NAME:
		return server_name(ch, ext);
	case EXT_ALPN:
		return alpn(ch, ext);
	case EXT_SUPPORTED_VERSIONS:
		return supported_versions(ch, ext);
	case EXT_EARLY_DATA:
		ch->early_data = true;
		return ext.n > 0 ? malformed(ch, "the early_data extension has a wrong length") : CLIENTHELLO_OK;
	case EXT_PRE_SHARED_KEY:
		return last ? CLIENTHELLO_OK : refuse(ch, CLIENTHELLO_ALERT_ILLEGAL_PARAMETER,
						     "the pre_shared_key extension is not the last one");
	case EXT_ECH_OUTER_EXTENSIONS:
		return refuse(ch, CLIENTHELLO_ALERT_ILLEGAL_PARAMETER, "ech_outer_extensions stands outside of ECH");
	case EXT_ECH:
		return ech(ch, ext);
	case EXT_ESNI:
		ch->ech = true;
		return CLIENTHELLO_OK;
	default:
		ch->ech |= type >= EXT_ECH_DRAFT_FIRST && type < EXT_ECH;
		return CLIENTHELLO_OK;
	}
}

static enum clienthello_result extensions(struct clienthello *ch, struct view list)
{
	uint16_t seen[CLIENTHELLO_EXTENSIONS_MAX];
	size_t count = 0, type;
	struct view ext;

	while (list.n > 0) {
		enum clienthello_result r;

		if (!take(&list, 2, &type) || !take_vector(&list, 2, 0, UINT16_MAX, &ext))
			return malformed(ch, "an extension has a wrong length");
		if (count == CLIENTHELLO_EXTENSIONS_MAX)
			return refuse(ch, CLIENTHELLO_ALERT_ILLEGAL_PARAMETER, "there are too many extensions");
		for (size_t i = 0; i < count; i++)
			if (seen[i] == type)
				return refuse(ch, CLIENTHELLO_ALERT_ILLEGAL_PARAMETER, "an extension comes twice");
		seen[count++] = (uint16_t)type;
		r = extension(ch, type, ext, list.n == 0);
		if (r != CLIENTHELLO_OK)
			return r;
	}
	return CLIENTHELLO_OK;
}

static enum clienthello_result decode(struct clienthello *ch)
{
	struct view v = { ch->msg + MESSAGE_HEAD, ch->n - MESSAGE_HEAD };
	struct view session, suites, compression, list;
	size_t version;

	if (!take(&v, 2, &version) || v.n < 32)
		return malformed(ch, "the ClientHello is too short");
	if (version < 0x0301 || version > 0x03ff)
		return refuse(ch, CLIENTHELLO_ALERT_PROTOCOL_VERSION, "the protocol version is not supported");
	v.p += 32;
	v.n -= 32;
	if (!take_vector(&v, 1, 0, 32, &session))
		return malformed(ch, "the session id has a wrong length");
	if (!take_vector(&v, 2, 2, 0xfffe, &suites) || suites.n % 2 != 0)
		return malformed(ch, "the list of cipher suites has a wrong length");
	if (!take_vector(&v, 1, 1, 255, &compression))
		return malformed(ch, "the list of compression methods has a wrong length");
	if (!memchr(compression.p, 0, compression.n))
		return refuse(ch, CLIENTHELLO_ALERT_ILLEGAL_PARAMETER, "no compression is not offered");
	/* RFC 8446 4.1.2: without supported_versions, TLS 1.2 is the most that this field can mean. */
	note_version(ch, version > 0x0303 ? 0x0303 : version);
	if (v.n == 0)
		return CLIENTHELLO_OK;
	if (!take_vector(&v, 2, 0, UINT16_MAX, &list) || v.n > 0)
		return malformed(ch, "the list of extensions has a wrong length");
	return extensions(ch, list);
}

/* Whether the record's header, as far as it came, can be the one of a handshake record. */
static enum clienthello_result check_record(struct clienthello *ch)
{
	size_t len = (size_t)ch->record[3] << 8 | ch->record[4];
	bool first = ch->n == 0;

	if (ch->record[0] != RECORD_HANDSHAKE || (ch->record_head >= 2 && ch->record[1] != 3)) {
		(void)refuse(ch, CLIENTHELLO_ALERT_UNEXPECTED_MESSAGE, "this is no TLS handshake");
		return first ? CLIENTHELLO_NOT_TLS : CLIENTHELLO_BAD;
	}
	if (ch->record_head < sizeof(ch->record))
		return CLIENTHELLO_MORE;
	if (ch->record[2] > 4)
		return refuse(ch, CLIENTHELLO_ALERT_PROTOCOL_VERSION, "the record's version is not supported");
	if (len == 0)
		return refuse(ch, CLIENTHELLO_ALERT_UNEXPECTED_MESSAGE, "an empty handshake record");
	if (len > RECORD_PAYLOAD_MAX)
		return refuse(ch, CLIENTHELLO_ALERT_RECORD_OVERFLOW, "a record is too long");
	ch->record_left = len;
	ch->record_head = 0;
	return CLIENTHELLO_MORE;
}

/* Whether the message, as far as it came, is a ClientHello of a length that we take; decodes it once it is whole. */
static enum clienthello_result check_message(struct clienthello *ch)
{
	size_t len = (size_t)ch->msg[1] << 16 | (size_t)ch->msg[2] << 8 | ch->msg[3];

	if (ch->msg[0] != MESSAGE_CLIENT_HELLO)
		return refuse(ch, CLIENTHELLO_ALERT_UNEXPECTED_MESSAGE, "the first message is no ClientHello");
	if (ch->n < MESSAGE_HEAD)
		return CLIENTHELLO_MORE;
	if (len > CLIENTHELLO_MAX - MESSAGE_HEAD - sizeof(ch->record))
		return refuse(ch, CLIENTHELLO_ALERT_ILLEGAL_PARAMETER, "the ClientHello is too long");
	if (ch->n < MESSAGE_HEAD + len)
		return CLIENTHELLO_MORE;
	if (ch->n > MESSAGE_HEAD + len || ch->record_left > 0)
		return refuse(ch, CLIENTHELLO_ALERT_UNEXPECTED_MESSAGE, "more than the ClientHello stands in its record");
	return decode(ch);
}

static enum clienthello_result step(struct clienthello *ch, const uint8_t *bytes, size_t n, size_t *ret_took)
{
	size_t took;

	*ret_took = 1;
	if (ch->taken >= CLIENTHELLO_MAX)
		return refuse(ch, CLIENTHELLO_ALERT_ILLEGAL_PARAMETER, "the ClientHello is too long");
	if (ch->record_left == 0) {
		ch->record[ch->record_head++] = bytes[0];
		return check_record(ch);
	}
	took = n < ch->record_left ? n : ch->record_left;
	if (took > CLIENTHELLO_MAX - ch->taken)
		took = CLIENTHELLO_MAX - ch->taken;
	/* The message's header decides how much more is wanted: read it before what follows. */
	if (ch->n < MESSAGE_HEAD && took > MESSAGE_HEAD - ch->n)
		took = MESSAGE_HEAD - ch->n;
	memcpy(ch->msg + ch->n, bytes, took);
	ch->n += took;
	ch->record_left -= took;
	*ret_took = took;
	return check_message(ch);
}

enum clienthello_result clienthello_feed(struct clienthello *ch, const uint8_t *bytes, size_t n)
{
	size_t took;

	while (ch->result == CLIENTHELLO_MORE && n > 0) {
		ch->result = step(ch, bytes, n, &took);
		ch->taken += took;
		bytes += took;
		n -= took;
	}
	return ch->result;
}

const uint8_t *clienthello_alpn(const struct clienthello *ch, size_t i, size_t *ret_n)
{
	const uint8_t *p = ch->msg + ch->alpn_at[i];

	*ret_n = p[-1];
	return p;
}
