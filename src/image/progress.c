/* SPDX-License-Identifier: Apache-2.0
 *
 * progress: see progress.h.
 */
#include "image/progress.h"

#include <stdio.h>
#include <unistd.h>

#include "base/io.h"

#define REDRAW_MS 200
#define REDRAW_JSON_MS 1000

void progress_init(struct progress *p, bool json, int steps)
{
	*p = (struct progress){ .json = json, .terminal = !json && isatty(STDERR_FILENO), .steps = steps };
}

static void show_json(const struct progress *p)
{
	printf("{\"progress\":\"%s\",\"step\":%d,\"steps\":%d", p->what, p->step, p->steps);
	if (p->percent >= 0)
		printf(",\"percent\":%d", p->percent);
	puts("}");
	(void)fflush(stdout);
}

static void show_terminal(const struct progress *p)
{
	unsigned long long s = (p->shown_ms - p->began_ms) / 1000;

	(void)fputs("\r\033[K", stderr);
	if (p->step > 0)
		(void)fprintf(stderr, "[%d/%d] ", p->step, p->steps);
	(void)fprintf(stderr, "%s...", p->what);
	if (p->percent >= 0)
		(void)fprintf(stderr, " %d %%", p->percent);
	if (s > 0)
		(void)fprintf(stderr, " (%llu s)", s);
	(void)fflush(stderr);
}

static void show(struct progress *p)
{
	p->shown_ms = io_now_ms();
	if (p->json)
		show_json(p);
	else if (p->terminal)
		show_terminal(p);
}

void progress_step(struct progress *p, int step, const char *what)
{
	p->step = step;
	p->what = what;
	p->percent = -1;
	p->began_ms = io_now_ms();
	if (p->json || p->terminal)
		show(p);
	else if (step > 0)
		(void)fprintf(stderr, "[%d/%d] %s\n", step, p->steps, what);
	else
		(void)fprintf(stderr, "%s\n", what);
}

void progress_percent(struct progress *p, int percent)
{
	if (percent < 0 || percent > 100 || percent <= p->percent)
		return;
	p->percent = percent;
	if (io_now_ms() - p->shown_ms >= (p->json ? REDRAW_JSON_MS : REDRAW_MS))
		show(p);
}

void progress_tick(struct progress *p)
{
	if (p->terminal && p->what)
		show(p);
}

void progress_done(struct progress *p)
{
	if (p->terminal && p->what)
		(void)fputs("\r\033[K", stderr);
	p->what = NULL;
}
