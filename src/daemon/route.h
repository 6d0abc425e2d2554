/* SPDX-License-Identifier: Apache-2.0
 *
 * route: which handler of api/ a method and a path mean.
 */
#ifndef SBX_DAEMON_ROUTE_H
#define SBX_DAEMON_ROUTE_H

#include "base/err.h"
#include "daemon/request.h"
#include "wire/http1.h"

/* Fills method, path, name and force of r from a head. Errors: a bad escape, an unknown query. */
int route_parse(struct request *r, const struct http1_head *head, struct err *err);
/* Parses the body (text may be empty) into r->body, or fails. */
int route_body(struct request *r, const char *text, size_t n, struct err *err);
/* Hands r to its handler, which answers it; an unknown path is answered here. */
void route_run(struct request *r);

#endif
