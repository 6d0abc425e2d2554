/* SPDX-License-Identifier: Apache-2.0
 *
 * netasks: see netasks.h. Entries are in the order in which they came; each is owned.
 */
#include "vm/netasks.h"

#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"

#define TOLD_MS 100   /* between two tellings that the questions changed */
#define LOOK_MS 1000  /* for those whose time is over */
#define SPARE_MS 2000 /* in which the proxy says itself that one is over */
#define SECONDS_MAX 86400

struct entry {
	json_t *shown; /* owned */
	json_int_t number;
	uint64_t until_ms;
};

struct netasks {
	uv_timer_t told, look;
	unsigned handles; /* not yet closed */
	void (*changed)(void *user);
	void *user;
	struct entry of[NETASKS_MAX];
	size_t n;
	json_int_t last;
};

static void on_told(uv_timer_t *t)
{
	struct netasks *a = t->data;

	a->changed(a->user);
}

static void on_look(uv_timer_t *t);

static void has_changed(struct netasks *a)
{
	if (!uv_is_active((uv_handle_t *)&a->told))
		(void)uv_timer_start(&a->told, on_told, TOLD_MS, 0);
	if (a->n == 0)
		(void)uv_timer_stop(&a->look);
	else if (!uv_is_active((uv_handle_t *)&a->look))
		(void)uv_timer_start(&a->look, on_look, LOOK_MS, LOOK_MS);
}

static void take(struct netasks *a, size_t i)
{
	json_decref(a->of[i].shown);
	memmove(&a->of[i], &a->of[i + 1], (--a->n - i) * sizeof(a->of[0]));
}

static void on_look(uv_timer_t *t)
{
	struct netasks *a = t->data;
	uint64_t now = io_now_ms();
	size_t before = a->n;

	for (size_t i = a->n; i-- > 0;)
		if (a->of[i].until_ms <= now)
			take(a, i);
	if (a->n != before)
		has_changed(a);
}

struct netasks *netasks_new(uv_loop_t *loop, void (*changed)(void *user), void *user)
{
	struct netasks *a = calloc(1, sizeof(*a));

	if (!a)
		return NULL;
	a->changed = changed;
	a->user = user;
	(void)uv_timer_init(loop, &a->told);
	(void)uv_timer_init(loop, &a->look);
	a->told.data = a->look.data = a;
	a->handles = 2;
	return a;
}

static void closed(uv_handle_t *h)
{
	struct netasks *a = h->data;

	if (--a->handles == 0)
		free(a);
}

void netasks_free(struct netasks *a)
{
	if (!a)
		return;
	while (a->n > 0)
		take(a, a->n - 1);
	uv_close((uv_handle_t *)&a->told, closed);
	uv_close((uv_handle_t *)&a->look, closed);
}

bool netasks_add(struct netasks *a, const json_t *message)
{
	static const char *const texts[] = { "dest", "method", "path", "rule" };
	json_int_t number = json_integer_value(json_object_get(message, "ask"));
	json_int_t seconds = json_integer_value(json_object_get(message, "seconds"));
	json_t *shown;

	if (a->n == NETASKS_MAX || number <= a->last || !(shown = json_pack("{s:I, s:I}", "ask", number, "seconds", seconds)))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		const char *text = json_string_value(json_object_get(message, texts[i]));

		if (text)
			(void)json_object_set_new(shown, texts[i], json_string(text));
	}
	if (seconds < 0 || seconds > SECONDS_MAX)
		seconds = SECONDS_MAX;
	a->last = number;
	a->of[a->n++] = (struct entry){ shown, number, io_now_ms() + (uint64_t)seconds * 1000 + SPARE_MS };
	has_changed(a);
	return true;
}

bool netasks_remove(struct netasks *a, json_int_t number)
{
	size_t i = 0;

	while (i < a->n && a->of[i].number != number)
		i++;
	if (i == a->n)
		return false;
	take(a, i);
	has_changed(a);
	return true;
}

bool netasks_clear(struct netasks *a)
{
	if (a->n == 0)
		return false;
	while (a->n > 0)
		take(a, a->n - 1);
	has_changed(a);
	return true;
}

size_t netasks_count(const struct netasks *a)
{
	return a->n;
}

json_int_t netasks_last(const struct netasks *a)
{
	return a->last;
}

json_t *netasks_list(const struct netasks *a, size_t max_bytes)
{
	json_t *list = json_array();
	size_t bytes = 0;

	for (size_t i = 0; list && i < a->n; i++) {
		bytes += json_dumpb(a->of[i].shown, NULL, 0, JSON_COMPACT) + 1;
		if (bytes <= max_bytes)
			(void)json_array_append(list, a->of[i].shown);
	}
	return list;
}
