/* SPDX-License-Identifier: Apache-2.0
 *
 * ytree: see ytree.h. Enters: text of whoever wrote the file. libyaml makes events of it; a stack of the open lists and
 * mappings makes the tree, so nothing recurses as deep as the text says.
 */
#include "wire/ytree.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/own.h"
#include "base/str.h"

struct build {
	struct ytree *root;
	struct ytree *open[YTREE_DEPTH]; /* borrowed: lists and mappings that have not ended */
	struct ytree **end[YTREE_DEPTH]; /* where the next one of each goes */
	size_t depth, nodes;
	char *key; /* owned: of the member whose value comes next */
	unsigned key_line;
};

void ytree_free(struct ytree *y)
{
	/* The members go to the front of what is left: no recursion. */
	while (y) {
		struct ytree *gone = y, **at = &gone->first;

		while (*at)
			at = &(*at)->next;
		*at = gone->next;
		y = gone->first;
		free(gone->key);
		free(gone->text);
		free(gone);
	}
}

const struct ytree *ytree_get(const struct ytree *y, const char *key)
{
	if (!y || y->kind != YTREE_MAP)
		return NULL;
	for (const struct ytree *m = y->first; m; m = m->next)
		if (str_eq(m->key, key))
			return m;
	return NULL;
}

static int fault(struct err *err, size_t line, const char *what)
{
	return err_set(err, ERR_INVALID, EINVAL, "line %zu: %s", line + 1, what);
}

static int take_key(struct build *b, const yaml_event_t *e, struct err *err)
{
	const char *text = (const char *)e->data.scalar.value;
	char shown[80];

	str_escape(shown, sizeof(shown), text, e->data.scalar.length);
	if (strlen(text) != e->data.scalar.length || !*text)
		return fault(err, e->start_mark.line, "a key that is no word");
	if (ytree_get(b->open[b->depth - 1], text))
		return err_set(err, ERR_INVALID, EEXIST, "line %zu: '%s' is there twice", e->start_mark.line + 1, shown);
	b->key = strdup(text);
	b->key_line = (unsigned)e->start_mark.line + 1;
	return b->key ? 0 : err_errno(err, ENOMEM, "the text");
}

/* A new node at its place in the tree, which owns it. */
static int add(struct build *b, enum ytree_kind kind, const yaml_event_t *e, struct ytree **ret, struct err *err)
{
	struct ytree *y, *in = b->depth ? b->open[b->depth - 1] : NULL;

	if (++b->nodes > YTREE_NODES)
		return fault(err, e->start_mark.line, "too many values");
	y = calloc(1, sizeof(*y));
	if (!y)
		return err_errno(err, ENOMEM, "the text");
	y->kind = kind;
	y->line = (unsigned)e->start_mark.line + 1;
	y->key = TAKE_PTR(b->key);
	y->key_line = b->key_line;
	if (!in) {
		b->root = y;
	} else {
		*b->end[b->depth - 1] = y;
		b->end[b->depth - 1] = &y->next;
		in->n++;
	}
	*ret = y;
	return 0;
}

static bool wants_key(const struct build *b)
{
	return b->depth > 0 && b->open[b->depth - 1]->kind == YTREE_MAP && !b->key;
}

static int scalar(struct build *b, const yaml_event_t *e, struct err *err)
{
	const char *text = (const char *)e->data.scalar.value;
	size_t n = e->data.scalar.length;
	struct ytree *y;
	int r;

	if (e->data.scalar.anchor || e->data.scalar.tag)
		return fault(err, e->start_mark.line, "anchors (&) and tags (!) are not taken");
	if (wants_key(b))
		return take_key(b, e, err);
	if (memchr(text, 0, n))
		return fault(err, e->start_mark.line, "a zero byte");
	r = add(b, YTREE_SCALAR, e, &y, err);
	if (r < 0)
		return r;
	y->text = strndup(text, n);
	y->len = n;
	return y->text ? 0 : err_errno(err, ENOMEM, "the text");
}

static int begin(struct build *b, enum ytree_kind kind, const yaml_event_t *e, struct err *err)
{
	bool marked = kind == YTREE_MAP ? e->data.mapping_start.anchor || e->data.mapping_start.tag
				       : e->data.sequence_start.anchor || e->data.sequence_start.tag;
	struct ytree *y;
	int r;

	if (marked)
		return fault(err, e->start_mark.line, "anchors (&) and tags (!) are not taken");
	if (wants_key(b))
		return fault(err, e->start_mark.line, "a key that is no word");
	if (b->depth == YTREE_DEPTH)
		return fault(err, e->start_mark.line, "too deep");
	r = add(b, kind, e, &y, err);
	if (r < 0)
		return r;
	b->open[b->depth] = y;
	b->end[b->depth++] = &y->first;
	return 0;
}

static int take(struct build *b, const yaml_event_t *e, struct err *err)
{
	switch (e->type) {
	case YAML_DOCUMENT_START_EVENT:
		return b->root ? fault(err, e->start_mark.line, "a second document") : 0;
	case YAML_ALIAS_EVENT:
		return fault(err, e->start_mark.line, "aliases (*) are not taken");
	case YAML_SCALAR_EVENT:
		return scalar(b, e, err);
	case YAML_SEQUENCE_START_EVENT:
		return begin(b, YTREE_LIST, e, err);
	case YAML_MAPPING_START_EVENT:
		return begin(b, YTREE_MAP, e, err);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		b->depth--;
		return 0;
	default:
		return 0;
	}
}

static int bad(const yaml_parser_t *p, const char *text, struct err *err)
{
	size_t line = p->problem_mark.line;

	if (p->error == YAML_MEMORY_ERROR)
		return err_errno(err, ENOMEM, "the text");
	/* The reader knows no line, only where it is. */
	if (p->error == YAML_READER_ERROR) {
		line = 0;
		for (size_t i = 0; i < p->problem_offset; i++)
			line += text[i] == '\n';
	}
	return err_set(err, ERR_INVALID, EINVAL, "line %zu: %.200s", line + 1, p->problem ? p->problem : "not YAML");
}

struct ytree *ytree_parse(const char *text, size_t n, struct err *err)
{
	struct build b = { 0 };
	yaml_parser_t p;
	bool over = false;
	int r = 0;

	if (!yaml_parser_initialize(&p)) {
		(void)err_errno(err, ENOMEM, "the text");
		return NULL;
	}
	yaml_parser_set_input_string(&p, (const unsigned char *)text, n);
	yaml_parser_set_encoding(&p, YAML_UTF8_ENCODING);
	while (r == 0 && !over) {
		yaml_event_t e;

		if (!yaml_parser_parse(&p, &e)) {
			r = bad(&p, text, err);
			break;
		}
		over = e.type == YAML_STREAM_END_EVENT;
		r = take(&b, &e, err);
		yaml_event_delete(&e);
	}
	yaml_parser_delete(&p);
	free(b.key);
	if (r == 0 && !b.root)
		r = err_set(err, ERR_INVALID, EINVAL, "line 1: the file is empty");
	if (r < 0) {
		ytree_free(b.root);
		return NULL;
	}
	return b.root;
}
