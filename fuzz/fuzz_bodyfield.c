/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_bodyfield: a query, form or JSON text in which a field is replaced; what comes out has the new value once, where a reader looks for it,
 * and nothing else changed its meaning.
 */
#include <assert.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/bodyfield.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define VALUE "new\"\\ &=+%value"

static void form(const char *s, size_t n)
{
	struct bodyfield f = { .name = "key", .has = "old", .value = VALUE }, back = { .name = "key", .has = VALUE, .value = "old" };
	struct bodyfield gone = { .name = "key", .has = "old" };
	struct buf out, again;

	buf_init(&out, 1U << 20);
	buf_init(&again, 1U << 20);
	if (bodyfield_form(s, n, &f, &out) == 1) {
		assert(bodyfield_form((const char *)buf_bytes(&out), buf_len(&out), &f, &again) < 0);
		assert(bodyfield_form((const char *)buf_bytes(&out), buf_len(&out), &back, &again) == 1);
		buf_consume(&again, buf_len(&again));
		assert(bodyfield_form(s, n, &gone, &again) == 1);
		assert(buf_len(&again) < n);
		buf_consume(&out, buf_len(&out));
		assert(bodyfield_form((const char *)buf_bytes(&again), buf_len(&again), &f, &out) == 0);
	}
	buf_done(&out);
	buf_done(&again);
}

static void json(const char *s, size_t n)
{
	struct bodyfield f = { .name = "key", .has = "old", .value = VALUE };
	struct buf out;

	buf_init(&out, 1U << 20);
	if (bodyfield_json(s, n, &f, &out) == 1) {
		json_t *was = json_loadb(s, n, JSON_REJECT_DUPLICATES, NULL);
		json_t *is = json_loadb((const char *)buf_bytes(&out), buf_len(&out), JSON_REJECT_DUPLICATES, NULL);

		assert(was && is);
		assert(strcmp(json_string_value(json_object_get(is, "key")), VALUE) == 0);
		(void)json_object_set_new(was, "key", json_string(VALUE));
		assert(json_equal(was, is));
		json_decref(was);
		json_decref(is);
	}
	buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	char *text = malloc(n + 1);

	if (!text)
		return 0;
	memcpy(text, bytes, n);
	text[n] = 0;
	form(text, n);
	json(text, n);
	(void)bodyfield_kind(text);
	free(text);
	return 0;
}
