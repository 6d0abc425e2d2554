/* SPDX-License-Identifier: Apache-2.0
 *
 * netlog: one line of a sandbox's decision log (docs/network.md, "The log"), as a proxy wrote it that a guest may have taken over: nothing of
 * it is believed to be well formed. No I/O.
 */
#ifndef SBX_WIRE_NETLOG_H
#define SBX_WIRE_NETLOG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire/dest.h"

#define NETLOG_LINE_MAX 16384 /* a longer line is none of ours */
#define NETLOG_NAME_MAX 64

enum netlog_event { NETLOG_DECISION, NETLOG_END };
enum netlog_verdict { NETLOG_DENY, NETLOG_ALLOW };
/* By which way it came, and whether its content was looked at. */
enum netlog_way { NETLOG_FORWARD, NETLOG_FORWARD_BYPASS, NETLOG_TRANSPARENT };

struct netlog {
	enum netlog_event event;
	uint64_t time_ms; /* since the epoch */
	/* Of a decision. */
	enum netlog_verdict verdict;
	enum netlog_way way;
	uint64_t count;               /* 1, or more where refusals were counted and not written */
	char host[DEST_HOST_MAX + 1]; /* canonical; "" where the request named none */
	enum dest_kind kind;
	uint16_t port; /* 0: likewise */
	char reason[NETLOG_NAME_MAX + 1], rule[NETLOG_NAME_MAX + 1]; /* [A-Za-z0-9._:-] */
};

/* Reads a line, without its end. 0; -EINVAL for anything else than a record that follows the page; -ENOMEM. *ret_json (may be NULL)
 * gets the whole object, owned. */
int netlog_parse(const char *line, size_t n, struct netlog *ret, json_t **ret_json);
const char *netlog_way_name(enum netlog_way way); /* "forward-bypass" */

#endif
