/* SPDX-License-Identifier: Apache-2.0
 *
 * build: see build.h. States: running (the tool runs) -> over (last word said, handles closing) -> freed.
 */
#include "daemon/build.h"

#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/own.h"
#include "base/str.h"
#include "daemon/host.h"
#include "daemon/template.h"
#include "daemon/tool.h"

#define BUILD_MAX_MS (3U * 3600 * 1000)

struct build {
	struct daemon *daemon; /* borrowed */
	struct tool *tool;
	struct audience audience;
	struct daemon_template before; /* when it began; all zero: not known */
	uv_timer_t timer;
	unsigned handles;
};

static int take_marks(const struct daemon *d, struct daemon_template *ret)
{
	auto_free char *tool = env_program("sbx-image");
	auto_free char *manifest = str_new("%s/templates/" TEMPLATE_BASE ".json", d->dirs.cache);
	struct daemon_template now;
	int r = tool && manifest ? filemark_take(tool, &now.tool) : -ENOMEM;

	if (r == 0)
		r = filemark_take(manifest, &now.manifest);
	if (r == 0)
		*ret = now;
	return r;
}

static bool same_marks(const struct daemon_template *a, const struct daemon_template *b)
{
	return filemark_same(&a->tool, &b->tool) && filemark_same(&a->manifest, &b->manifest);
}

/* It found nothing to do with what is still there. */
static void remember(struct build *b, const json_t *result)
{
	struct daemon_template now;

	if (json_is_false(json_object_get(result, "built")) && take_marks(b->daemon, &now) == 0 && same_marks(&b->before, &now))
		b->daemon->whole = now;
}

static bool is_whole(const struct daemon *d)
{
	struct daemon_template now;

	return take_marks(d, &now) == 0 && same_marks(&d->whole, &now) && template_is_whole(d->dirs.cache);
}

static void on_handle_closed(uv_handle_t *h)
{
	struct build *b = h->data;

	if (--b->handles == 0)
		free(b);
}

/* The last word: everybody is told, and the daemon may start another build. */
static void finish(struct build *b, const json_t *line)
{
	b->daemon->build = NULL;
	b->handles = 2;
	uv_close((uv_handle_t *)&b->timer, on_handle_closed);
	audience_end(&b->audience, line);
	audience_close(&b->audience, on_handle_closed, b);
}

static void fail(struct build *b, enum err_kind kind, const char *message)
{
	json_t *o = json_pack("{s:{s:s, s:s}}", "error", "kind", err_kind_name(kind), "message", message);

	log_error("event=build_failed error=\"%s\"", message);
	finish(b, o);
	json_decref(o);
}

static void on_progress(void *user, const json_t *line)
{
	audience_say(&((struct build *)user)->audience, line);
}

static void on_end(void *user, const json_t *result)
{
	struct build *b = user;

	if (result)
		remember(b, result);
	if (result)
		finish(b, result);
	else
		fail(b, ERR_INTERNAL, "sbx-image ended without a result: see sandboxd.log");
}

static const struct tool_ops tool_ops = { .progress = on_progress, .end = on_end };

static void on_timeout(uv_timer_t *t)
{
	struct build *b = t->data;

	tool_kill(b->tool);
	fail(b, ERR_TIMEOUT, "the base template was not ready within 3 hours: is the package mirror reachable?");
}

static struct build *start(struct daemon *d, struct err *err)
{
	static const char *const args[] = { "ensure", "base", "--json", NULL };
	struct build *b = calloc(1, sizeof(*b));

	if (!b) {
		(void)err_errno(err, ENOMEM, "cannot start sbx-image");
		return NULL;
	}
	b->daemon = d;
	(void)take_marks(d, &b->before);
	b->tool = tool_start(&d->loop, args, NULL, &tool_ops, b, err);
	if (!b->tool) {
		free(b);
		return NULL;
	}
	audience_init(&b->audience, &d->loop);
	(void)uv_timer_init(&d->loop, &b->timer);
	b->timer.data = b;
	(void)uv_timer_start(&b->timer, on_timeout, BUILD_MAX_MS, 0);
	log_info("event=build_started");
	return b;
}

int build_join(struct daemon *d, audience_line *line, void *user, struct err *err)
{
	if (!d->build && host_ready(d, err) == 0) {
		if (is_whole(d))
			return 1;
		d->build = start(d, err);
	}
	if (!d->build)
		return err ? err_code(err) : -EIO;
	return audience_join(&d->build->audience, line, user, "the base template", err);
}

void build_cancel(struct daemon *d)
{
	struct build *b = d->build;

	if (!b)
		return;
	tool_kill(b->tool);
	fail(b, ERR_UNAVAILABLE, "the daemon was stopped while it made the base template: the next call continues");
}
