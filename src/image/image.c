/* SPDX-License-Identifier: Apache-2.0
 *
 * image: see image.h. Enters: the command line. Leaves: lines on stderr, or with --json objects on stdout, the last
 * of which is {"manifest":PATH,"built":BOOL} or {"error":{"kind","message"}}.
 */
#include "image/image.h"

#include <argp.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/env.h"
#include "base/own.h"
#include "base/str.h"
#include "image/ensure.h"
#include "image/layer.h"
#include "image/stop.h"

#define KEY_JSON 0x100
#define KEY_REFRESH 0x101

struct options {
	const char *command;
	const char *name;
	bool json;
	bool refresh;
};

static error_t option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case KEY_JSON:
		o->json = true;
		return 0;
	case KEY_REFRESH:
		o->refresh = true;
		return 0;
	case ARGP_KEY_ARG:
		if (state->arg_num == 0 && (str_eq(arg, "ensure") || str_eq(arg, "check") || str_eq(arg, "layer")))
			o->command = arg;
		else if (state->arg_num == 1 && !str_eq(o->command, "layer"))
			o->name = arg;
		else
			argp_error(state, "do not understand '%s'", arg);
		return 0;
	case ARGP_KEY_END:
		if (!o->command || (!o->name && !str_eq(o->command, "layer")))
			argp_error(state, "a command and a template are needed");
		if (o->refresh && !str_eq(o->command, "ensure"))
			argp_error(state, "--refresh goes with ensure");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp_option options[] = {
	{ "json", KEY_JSON, NULL, 0, "Write progress and result as JSON, an object per line, to stdout", 0 },
	{ "refresh", KEY_REFRESH, NULL, 0, "Make it again, from Debian's newest packages", 0 },
	{ 0 },
};

static const struct argp argp = {
	.options = options,
	.parser = option,
	.args_doc = "ensure TEMPLATE\ncheck TEMPLATE\nlayer <JOB",
	.doc = "Makes the templates that sandboxes start from.\v"
	       "ensure makes the template where it is missing or its inputs changed; updates that Debian publishes are no such "
	       "change, --refresh takes them in. check exits with 0 where ensure has nothing to do, else with 1. "
	       "layer makes an agent's, as sandboxd describes it on stdin, in a sandbox that runs. The one template is: base.",
};

/* An object as a line on stdout; takes it over. */
static void print_json(json_t *object)
{
	auto_free char *s = object ? json_dumps(object, JSON_COMPACT) : NULL;

	json_decref(object);
	if (s)
		(void)puts(s);
	(void)fflush(stdout);
}

static int fail(const struct options *o, const struct err *err)
{
	if (o->json)
		print_json(json_pack("{s{ss ss%}}", "error", "kind", err_kind_name(err->kind), "message", err->msg,
				     strnlen(err->msg, sizeof(err->msg))));
	else
		(void)fprintf(stderr, "sbx-image: %s\n", err->msg);
	return 1;
}

static int ensure(const struct options *o, const char *cache, const struct template *t)
{
	auto_free char *path = str_new("%s/templates/%s.json", cache, t->name);
	struct progress p;
	struct err err = { 0 };
	bool built = false;
	int r = stop_init(&err);

	progress_init(&p, o->json, ENSURE_STEPS);
	if (r == 0)
		r = ensure_template(cache, t, o->refresh, &p, &built, &err);
	progress_done(&p);
	if (r < 0)
		return fail(o, &err);
	if (o->json)
		print_json(json_pack("{ss* sb}", "manifest", path, "built", built));
	else if (built)
		(void)fprintf(stderr, "the template %s is ready\n", t->name);
	return 0;
}

static int check(const struct options *o, const char *cache, const struct template *t)
{
	struct manifest m;
	struct err err = { 0 };
	int r = ensure_check(cache, t, &m, &err);

	if (r == 0)
		return 0;
	if (!err.msg[0])
		(void)err_set(&err, ERR_NOT_FOUND, ENOENT, "the template %s must be made: sbx-image ensure %s", t->name, t->name);
	return fail(o, &err);
}

/* The job is sandboxd's, of one object. */
static int layer(const struct options *o, const char *cache)
{
	struct layer_result done = { 0 };
	struct progress p;
	struct err err = { 0 };
	json_error_t je;
	json_t *job = json_loadf(stdin, JSON_REJECT_DUPLICATES, &je), *error = NULL;
	int r = job ? stop_init(&err) : err_set(&err, ERR_INVALID, EINVAL, "the job is not JSON");

	progress_init(&p, o->json, LAYER_STEPS);
	if (r == 0)
		r = layer_make(cache, job, &p, &done, &err);
	progress_done(&p);
	if (r < 0 && o->json)
		error = json_pack("{s:{s:s, s:s%, s:o*}}", "error", "kind", err_kind_name(err.kind), "message", err.msg,
				  strnlen(err.msg, sizeof(err.msg)), "tail", done.tail);
	if (r < 0 && !o->json)
		(void)fail(o, &err);
	if (o->json)
		print_json(r < 0 ? error : json_pack("{ss sb}", "manifest", done.manifest, "built", done.built));
	json_decref(job);
	return r < 0 ? 1 : 0;
}

int image_main(int argc, char **argv)
{
	struct options o = { 0 };
	struct env_dirs dirs;
	struct err err = { 0 };
	const struct template *t;

	argp_program_version = "sbx-image " SBX_VERSION;
	if (argp_parse(&argp, argc, argv, 0, NULL, &o) != 0)
		return 64;
	if (str_eq(o.command, "layer"))
		return env_dirs(&dirs, &err) < 0 ? fail(&o, &err) : layer(&o, dirs.cache);
	t = template_find(o.name);
	if (!t) {
		(void)err_set(&err, ERR_NOT_FOUND, ENOENT, "no template is called '%.80s': the one there is, is called base", o.name);
		return fail(&o, &err);
	}
	if (env_dirs(&dirs, &err) < 0)
		return fail(&o, &err);
	return str_eq(o.command, "ensure") ? ensure(&o, dirs.cache, t) : check(&o, dirs.cache, t);
}
