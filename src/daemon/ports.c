/* SPDX-License-Identifier: Apache-2.0
 *
 * ports: see ports.h. The registry's list and the supervisor's have the same order: what remains, then what was added.
 */
#include "daemon/ports.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "daemon/field.h"
#include "daemon/vmlink.h"
#include "wire/portmap.h"

#define CHANGE_MS 5000

struct list {
	struct store_port ports[PORTMAP_MAX];
	size_t n;
};

/* What the host listens on, as far as it is known. */
static struct portmap in_effect(const struct store_port *p)
{
	struct portmap m = p->map;

	if (!m.host_port)
		m.host_port = p->chosen;
	return m;
}

static int add(struct list *l, const struct portmap *m, struct err *err)
{
	char where[PORTMAP_TEXT_MAX];

	for (size_t i = 0; i < l->n; i++) {
		struct portmap have = in_effect(&l->ports[i]);

		if (!portmap_clash(&have, m))
			continue;
		portmap_host(where, m);
		return err_set(err, ERR_CONFLICT, EEXIST, "%s is published already, for port %u of this sandbox", where,
			       (unsigned)have.sandbox_port);
	}
	if (l->n == PORTMAP_MAX)
		return err_set(err, ERR_INVALID, E2BIG, "at most %d ports can be published", PORTMAP_MAX);
	l->ports[l->n++] = (struct store_port){ .map = *m };
	return 0;
}

static int take_back(struct list *l, const struct portmap_match *want, struct err *err)
{
	size_t kept = 0, had = l->n;

	for (size_t i = 0; i < had; i++) {
		struct portmap m = in_effect(&l->ports[i]);

		if (!portmap_fits(want, &m))
			l->ports[kept++] = l->ports[i];
	}
	l->n = kept;
	return kept < had ? 0 : portmap_not_found(want, err);
}

int ports_plan(const json_t *list, struct store_row *row, struct err *err)
{
	auto_free struct list *l = calloc(1, sizeof(*l));
	char what[32];

	if (!l)
		return err_errno(err, ENOMEM, "the request");
	if (list && (!json_is_array(list) || json_array_size(list) > PORTMAP_MAX))
		return err_set(err, ERR_INVALID, EINVAL, "\"ports\" must be a list of at most %d ports", PORTMAP_MAX);
	for (size_t i = 0; i < json_array_size(list); i++) {
		struct portmap m;
		int r;

		(void)str_format(what, sizeof(what), "ports[%zu]", i);
		r = portmap_read(json_array_get(list, i), what, &m, err);
		if (r == 0)
			r = add(l, &m, err);
		if (r < 0)
			return r;
	}
	memcpy(row->ports, l->ports, sizeof(row->ports));
	row->nports = l->n;
	return 0;
}

json_t *ports_json(const struct store_row *row)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < row->nports; i++) {
		struct portmap m = in_effect(&row->ports[i]);

		(void)json_array_append_new(list, portmap_write(&m));
	}
	return list;
}

json_t *ports_spec(const struct store_row *row)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < row->nports; i++)
		(void)json_array_append_new(list, json_pack("{s:o, s:i}", "map", portmap_write(&row->ports[i].map), "prefer",
							    (int)row->ports[i].chosen));
	return list;
}

/* Fills in what the machine chose; false where its list is another one. */
static bool fill_in(struct list *l, const json_t *said)
{
	bool same = json_array_size(said) == l->n;

	for (size_t i = 0; same && i < l->n; i++) {
		struct portmap m;

		same = portmap_read(json_array_get(said, i), "ports", &m, NULL) == 0 &&
		       m.sandbox_port == l->ports[i].map.sandbox_port && str_eq(m.host_ip, l->ports[i].map.host_ip);
		if (same && !l->ports[i].map.host_port)
			l->ports[i].chosen = m.host_port;
	}
	return same;
}

static int keep(struct sandbox *s, const struct list *l, struct err *err)
{
	int r = store_set_ports(s->daemon->store, s->row.id, l->ports, l->n, err);

	if (r < 0)
		return r;
	memcpy(s->row.ports, l->ports, sizeof(s->row.ports));
	s->row.nports = l->n;
	return 0;
}

static struct list *copy(const struct sandbox *s)
{
	struct list *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	memcpy(l->ports, s->row.ports, sizeof(l->ports));
	l->n = s->row.nports;
	return l;
}

void ports_note(struct sandbox *s, const json_t *said)
{
	auto_free struct list *l = copy(s);
	struct err err;

	if (!l || !fill_in(l, said) || memcmp(l->ports, s->row.ports, sizeof(l->ports)) == 0)
		return;
	if (keep(s, l, &err) < 0)
		log_warn("event=store id=%s error=\"%s\"", s->row.id, err.msg);
}

/* --- a change --- */

struct change {
	struct daemon *daemon;
	char id[STORE_ID_SIZE];
	struct list *after; /* owned */
	sandbox_done *done;
	void *user;
};

static void change_free(struct change *g)
{
	free(g->after);
	free(g);
}

static void on_answer(void *user, json_t *reply, const struct err *error)
{
	struct change *g = user;
	struct sandbox *s = sandbox_find(g->daemon, g->id, NULL);
	struct err err = { 0 };

	if (s)
		s->publishing = false;
	if (s && !error) {
		(void)fill_in(g->after, json_object_get(reply, "ports"));
		(void)keep(s, g->after, &err);
		error = err.kind ? &err : NULL;
	}
	g->done(g->user, s, error);
	change_free(g);
}

/* Another sandbox that has the address now. */
static int held_by_another(const struct sandbox *s, const struct portmap *m, struct err *err)
{
	char where[PORTMAP_TEXT_MAX];

	for (const struct sandbox *o = s->daemon->sandboxes; o; o = o->next)
		for (size_t i = 0; o != s && o->state != SANDBOX_STOPPED && i < o->row.nports; i++) {
			struct portmap have = in_effect(&o->row.ports[i]);

			if (!portmap_clash(&have, m))
				continue;
			portmap_host(where, m);
			return err_set(err, ERR_CONFLICT, EADDRINUSE,
				       "%s is published by sandbox '%s': choose another host port, or leave it out to have one chosen",
				       where, o->row.name);
		}
	return 0;
}

static int plan_change(const struct sandbox *s, const json_t *body, struct list *l, struct err *err)
{
	auto_free struct portmap_change *c = calloc(1, sizeof(*c));
	int r = c ? portmap_read_change(body, c, err) : err_errno(err, ENOMEM, "the request");

	for (size_t i = 0; r == 0 && i < c->ndel; i++)
		r = take_back(l, &c->del[i], err);
	for (size_t i = 0; r == 0 && i < c->nadd; i++) {
		r = held_by_another(s, &c->add[i], err);
		if (r == 0)
			r = add(l, &c->add[i], err);
	}
	return r;
}

static int ask(struct sandbox *s, const json_t *body, struct change *g, struct err *err)
{
	json_t *request = json_copy((json_t *)(uintptr_t)body);
	struct vmlink_call call;

	if (request)
		(void)json_object_set_new(request, "op", json_string("ports"));
	call = sandbox_call(s, request, CHANGE_MS);
	return vmlink_ask(&call, on_answer, g, err);
}

int ports_change(struct sandbox *s, const json_t *body, sandbox_done *done, void *user, struct err *err)
{
	static const char *const keys[] = { "publish", "unpublish", NULL };
	struct change *g = calloc(1, sizeof(*g));
	int r;

	if (!g || !(g->after = copy(s))) {
		free(g);
		return err_errno(err, ENOMEM, "the request");
	}
	g->daemon = s->daemon;
	memcpy(g->id, s->row.id, sizeof(g->id));
	g->done = done;
	g->user = user;
	r = field_only(body, "the request", keys, err);
	if (r == 0)
		r = plan_change(s, body, g->after, err);
	if (r == 0 && s->publishing)
		r = err_set(err, ERR_CONFLICT, EBUSY, "another change of the ports of sandbox '%s' is under way: try again",
			    s->row.name);
	if (r == 0 && s->state != SANDBOX_STOPPED && s->state != SANDBOX_RUNNING)
		r = err_set(err, ERR_CONFLICT, EBUSY, "sandbox '%s' is %s: try again when that is over", s->row.name,
			    sandbox_status(s));
	if (r == 0 && s->state == SANDBOX_RUNNING) {
		r = ask(s, body, g, err);
		if (r == 0) {
			s->publishing = true;
			return 0;
		}
	} else if (r == 0) {
		r = keep(s, g->after, err);
	}
	change_free(g);
	return r < 0 ? r : 1;
}
