/* SPDX-License-Identifier: Apache-2.0
 *
 * times: see times.h.
 */
#include "vm/times.h"

#include <string.h>

#include "base/buf.h"
#include "base/io.h"
#include "base/log.h"

#define TEXT_MAX 1000
#define NAME_MAX_BYTES 24

void times_begin(struct times *t)
{
	*t = (struct times){ .began_ms = io_now_ms() };
}

void times_reached(struct times *t, const char *name)
{
	if (t->n == TIMES_MAX)
		return;
	t->at[t->n].name = name;
	t->at[t->n++].ms = io_now_ms() - t->began_ms;
}

static bool is_name(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n <= NAME_MAX_BYTES && strspn(s, "abcdefghijklmnopqrstuvwxyz_") == n;
}

static void log_steps(const json_t *setup)
{
	const json_t *value;
	const char *name;
	struct buf b;
	int r = 0;

	buf_init(&b, TEXT_MAX);
	json_object_foreach((json_t *)(uintptr_t)setup, name, value)
		if (r == 0 && is_name(name) && json_is_integer(value))
			r = buf_printf(&b, " %s=%lld", name, (long long)json_integer_value(value));
	if (buf_len(&b) > 0)
		log_info("event=setup_times unit=us%s", buf_cstr(&b));
	buf_done(&b);
}

void times_log(const struct times *t, const json_t *setup)
{
	struct buf b;
	int r = 0;

	buf_init(&b, TEXT_MAX);
	for (size_t i = 0; r == 0 && i < t->n; i++)
		r = buf_printf(&b, " %s=%llu", t->at[i].name, (unsigned long long)t->at[i].ms);
	if (buf_len(&b) > 0)
		log_info("event=start_times unit=ms%s", buf_cstr(&b));
	buf_done(&b);
	log_steps(setup);
}
