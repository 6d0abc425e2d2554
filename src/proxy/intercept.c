/* SPDX-License-Identifier: Apache-2.0
 *
 * intercept: see intercept.h. Requests cannot be seen yet: what needs it is refused.
 */
#include "proxy/intercept.h"

#include <unistd.h>

#include "proxy/proxy.h"

struct intercept *intercept_new(struct proxy *p)
{
	return NULL;
}

void intercept_free(struct intercept *i)
{
}

void intercept_begin(struct proxy *p, struct intercept_start *s)
{
	struct decision dn;

	if (!s->refusal) {
		decide_refuse(p->decide, "inspection_unavailable", "its requests cannot be seen", &dn);
		(void)decide_record(p->decide, &s->flow, &dn);
	}
	chan_free(s->chan);
}

bool intercept_ready(const struct proxy *p)
{
	return false;
}

void intercept_set_trust(struct proxy *p, int fd)
{
	(void)close(fd);
}

void intercept_set_keeper(struct proxy *p, int fd)
{
	(void)close(fd);
}
