/* SPDX-License-Identifier: Apache-2.0
 *
 * service: see service.h. The key stands there as 64 hexadecimal digits, since people look at such items.
 */
#include "keeper/service.h"

#include <errno.h>
#include <string.h>
#include <systemd/sd-bus.h>

#include "base/own.h"
#include "base/str.h"

#define CALL_US 2000000
#define NAME "org.freedesktop.secrets"
#define PATH "/org/freedesktop/secrets"
#define IFACE "org.freedesktop.Secret."

DEFINE_AUTO(message, sd_bus_message *, sd_bus_message_unref);

struct session {
	sd_bus *bus; /* owned */
	char path[256];
};

static int failed(struct err *err, int r, const sd_bus_error *e, const char *what)
{
	char shown[160];

	str_escape(shown, sizeof(shown), e->message ? e->message : strerror(-r), strlen(e->message ? e->message : strerror(-r)));
	return err_set(err, ERR_UNAVAILABLE, EAGAIN, "the Secret Service: cannot %s: %s", what, shown);
}

static int connect_bus(struct session *s, struct err *err)
{
	sd_bus_error e = SD_BUS_ERROR_NULL;
	auto_(message) sd_bus_message *m = NULL;
	const char *path;
	int r = sd_bus_open_user(&s->bus);

	if (r < 0)
		return err_set(err, ERR_UNAVAILABLE, EAGAIN, "no session bus, and so no Secret Service (%s)", strerror(-r));
	(void)sd_bus_set_method_call_timeout(s->bus, CALL_US);
	r = sd_bus_call_method(s->bus, NAME, PATH, IFACE "Service", "OpenSession", &e, &m, "sv", "plain", "s", "");
	if (r >= 0)
		r = sd_bus_message_skip(m, "v");
	if (r >= 0)
		r = sd_bus_message_read(m, "o", &path);
	if (r < 0)
		(void)failed(err, r, &e, "open a session");
	else
		r = str_format(s->path, sizeof(s->path), "%s", path);
	sd_bus_error_free(&e);
	return r < 0 ? -EAGAIN : 0;
}

static void done(struct session *s)
{
	s->bus = sd_bus_flush_close_unref(s->bus);
}

static int append_attributes(sd_bus_message *m, const char *id)
{
	return sd_bus_message_append(m, "a{ss}", 2, "application", "sbx", "store", id);
}

/* The first path of an array, "" where it has none; the rest is skipped. */
static int first_path(sd_bus_message *m, char *dst, size_t size)
{
	const char *path;
	int r = sd_bus_message_enter_container(m, 'a', "o");

	dst[0] = 0;
	while (r >= 0 && (r = sd_bus_message_read(m, "o", &path)) > 0)
		if (!dst[0] && str_format(dst, size, "%s", path) < 0)
			return -ENAMETOOLONG;
	return r < 0 ? r : sd_bus_message_exit_container(m);
}

/* The item's path into dst; ERR_NOT_FOUND. */
static int find(const struct session *s, const char *id, char *dst, size_t size, struct err *err)
{
	auto_(message) sd_bus_message *q = NULL, *m = NULL;
	sd_bus_error e = SD_BUS_ERROR_NULL;
	char locked[256] = "";
	int r = sd_bus_message_new_method_call(s->bus, &q, NAME, PATH, IFACE "Service", "SearchItems");

	if (r >= 0)
		r = append_attributes(q, id);
	if (r >= 0)
		r = sd_bus_call(s->bus, q, CALL_US, &e, &m);
	if (r >= 0)
		r = first_path(m, dst, size);
	if (r >= 0)
		r = first_path(m, locked, sizeof(locked));
	if (r < 0)
		r = failed(err, r, &e, "look for the key");
	else if (!dst[0])
		r = locked[0] ? err_set(err, ERR_UNAVAILABLE, EAGAIN, "the keyring of the Secret Service is locked") :
				err_set(err, ERR_NOT_FOUND, ENOKEY, "the Secret Service does not have the key any more");
	sd_bus_error_free(&e);
	return r < 0 ? r : 0;
}

/* (oayays): session, parameters, value, content type. */
static int read_secret(sd_bus_message *m, uint8_t ret[STOREMSG_KEY])
{
	char text[2 * STOREMSG_KEY + 1] = "";
	const void *bytes;
	size_t n;
	int r = sd_bus_message_enter_container(m, 'r', "oayays");

	if (r >= 0)
		r = sd_bus_message_skip(m, "oay");
	if (r >= 0)
		r = sd_bus_message_read_array(m, 'y', &bytes, &n);
	if (r < 0)
		return r;
	if (n != sizeof(text) - 1)
		return -EBADMSG;
	memcpy(text, bytes, n);
	r = storemsg_unhex(text, STOREMSG_KEY, ret);
	explicit_bzero(text, sizeof(text));
	return r;
}

int service_get(const char *id, uint8_t ret[STOREMSG_KEY], struct err *err)
{
	struct session s = { 0 };
	auto_(message) sd_bus_message *m = NULL;
	sd_bus_error e = SD_BUS_ERROR_NULL;
	char item[256];
	int r = connect_bus(&s, err);

	if (r == 0)
		r = find(&s, id, item, sizeof(item), err);
	if (r == 0) {
		r = sd_bus_call_method(s.bus, NAME, item, IFACE "Item", "GetSecret", &e, &m, "o", s.path);
		if (r >= 0)
			(void)sd_bus_message_sensitive(m);
		if (r >= 0)
			r = read_secret(m, ret);
		if (r < 0)
			r = failed(err, r, &e, "read the key");
	}
	sd_bus_error_free(&e);
	m = sd_bus_message_unref(m);
	done(&s);
	return r;
}

static int default_collection(const struct session *s, char *dst, size_t size, struct err *err)
{
	auto_(message) sd_bus_message *m = NULL;
	sd_bus_error e = SD_BUS_ERROR_NULL;
	const char *path = "/";
	int locked = 1, r = sd_bus_call_method(s->bus, NAME, PATH, IFACE "Service", "ReadAlias", &e, &m, "s", "default");

	if (r >= 0)
		r = sd_bus_message_read(m, "o", &path);
	if (r >= 0 && str_eq(path, "/"))
		r = err_set(err, ERR_UNAVAILABLE, EAGAIN, "the Secret Service has no default keyring");
	else if (r >= 0 && (r = sd_bus_get_property_trivial(s->bus, NAME, path, IFACE "Collection", "Locked", &e, 'b', &locked)) >= 0)
		r = locked ? err_set(err, ERR_UNAVAILABLE, EAGAIN, "the keyring of the Secret Service is locked") :
			     str_format(dst, size, "%s", path);
	else
		r = failed(err, r, &e, "find the default keyring");
	sd_bus_error_free(&e);
	return r < 0 ? r : 0;
}

static int append_item(sd_bus_message *q, const struct session *s, const char *id, const char *label, const char *hex)
{
	int r = sd_bus_message_open_container(q, 'a', "{sv}");

	if (r >= 0)
		r = sd_bus_message_append(q, "{sv}", IFACE "Item.Label", "s", label);
	if (r >= 0)
		r = sd_bus_message_append(q, "{sv}", IFACE "Item.Attributes", "a{ss}", 2, "application", "sbx", "store", id);
	if (r >= 0)
		r = sd_bus_message_close_container(q);
	if (r >= 0)
		r = sd_bus_message_open_container(q, 'r', "oayays");
	if (r >= 0)
		r = sd_bus_message_append(q, "o", s->path);
	if (r >= 0)
		r = sd_bus_message_append_array(q, 'y', NULL, 0);
	if (r >= 0)
		r = sd_bus_message_append_array(q, 'y', hex, strlen(hex));
	if (r >= 0)
		r = sd_bus_message_append(q, "s", "text/plain");
	if (r >= 0)
		r = sd_bus_message_close_container(q);
	return r < 0 ? r : sd_bus_message_append(q, "b", 1);
}

static int create(const struct session *s, const char *collection, const char *id, const char *label, const char *hex, struct err *err)
{
	auto_(message) sd_bus_message *q = NULL, *m = NULL;
	sd_bus_error e = SD_BUS_ERROR_NULL;
	const char *item = "/", *prompt = "/";
	int r = sd_bus_message_new_method_call(s->bus, &q, NAME, collection, IFACE "Collection", "CreateItem");

	if (r >= 0)
		r = sd_bus_message_sensitive(q);
	if (r >= 0)
		r = append_item(q, s, id, label, hex);
	if (r >= 0)
		r = sd_bus_call(s->bus, q, CALL_US, &e, &m);
	if (r >= 0)
		r = sd_bus_message_read(m, "oo", &item, &prompt);
	if (r < 0)
		r = failed(err, r, &e, "store the key");
	else
		r = str_eq(item, "/") ? err_set(err, ERR_UNAVAILABLE, EAGAIN, "the Secret Service wants to ask somebody before it stores the key") : 0;
	sd_bus_error_free(&e);
	return r;
}

int service_put(const char *id, const char *label, const uint8_t key[STOREMSG_KEY], struct err *err)
{
	struct session s = { 0 };
	char hex[2 * STOREMSG_KEY + 1], collection[256];
	int r = connect_bus(&s, err);

	if (r == 0)
		r = default_collection(&s, collection, sizeof(collection), err);
	if (r == 0) {
		str_hex(hex, key, STOREMSG_KEY);
		r = create(&s, collection, id, label, hex, err);
		explicit_bzero(hex, sizeof(hex));
	}
	done(&s);
	return r;
}

int service_drop(const char *id, struct err *err)
{
	struct session s = { 0 };
	sd_bus_error e = SD_BUS_ERROR_NULL;
	char item[256];
	int r = connect_bus(&s, err);

	if (r == 0)
		r = find(&s, id, item, sizeof(item), err);
	if (r == 0 && (r = sd_bus_call_method(s.bus, NAME, item, IFACE "Item", "Delete", &e, NULL, "")) < 0)
		r = failed(err, r, &e, "remove the key");
	sd_bus_error_free(&e);
	done(&s);
	return r == -ENOKEY ? 0 : r < 0 ? r : 0;
}
