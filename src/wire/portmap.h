/* SPDX-License-Identifier: Apache-2.0
 *
 * portmap: one published port: an address and a port of the host that lead to a port of the sandbox. As people write it,
 * as docs/api.md has it, and as a struct. TCP only: nothing else reaches a sandbox. No I/O.
 *
 *   [[HOST_IP:]HOST_PORT:]SANDBOX_PORT[/PROTO]     PROTO: tcp, tcp4, tcp6
 *
 * Without HOST_IP it is 127.0.0.1 (with tcp6: ::1); an IPv6 address may stand in brackets. Without HOST_PORT, or with 0, the host
 * chooses one.
 */
#ifndef SBX_WIRE_PORTMAP_H
#define SBX_WIRE_PORTMAP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define PORTMAP_IP_MAX 46
#define PORTMAP_TEXT_MAX 96
/* Published by one sandbox at most. */
#define PORTMAP_MAX 64

struct portmap {
	char host_ip[PORTMAP_IP_MAX]; /* canonical text (inet_ntop) */
	bool v6;
	uint16_t host_port;    /* 0: the host chooses */
	uint16_t sandbox_port; /* 1 .. 65535 */
};

/* Which mappings are meant: what is not said fits all. */
struct portmap_match {
	bool has_ip, has_host_port;
	struct portmap map;
};

/* What is to be published and what to be taken back. */
struct portmap_change {
	struct portmap add[PORTMAP_MAX];
	size_t nadd;
	struct portmap_match del[PORTMAP_MAX];
	size_t ndel;
};

int portmap_parse(const char *spec, struct portmap *ret, struct err *err);
/* [[HOST_IP:]HOST_PORT:]SANDBOX_PORT[/PROTO]; a HOST_PORT of 0 is an error. */
int portmap_parse_match(const char *spec, struct portmap_match *ret, struct err *err);
/* {"host_ip", "host_port", "sandbox_port", "protocol"}: all but sandbox_port may be absent. A key that is not listed is an
 * error; what: the list that it stands in. */
int portmap_read(const json_t *o, const char *what, struct portmap *ret, struct err *err);
int portmap_read_match(const json_t *o, const char *what, struct portmap_match *ret, struct err *err);
/* {"publish": [..], "unpublish": [..]}: both may be absent, other keys are not looked at. */
int portmap_read_change(const json_t *o, struct portmap_change *ret, struct err *err);
/* A new reference, NULL on -ENOMEM. */
json_t *portmap_write(const struct portmap *m);
json_t *portmap_write_match(const struct portmap_match *m);
/* "127.0.0.1:8080", "[::1]:8080"; "127.0.0.1:auto" where none was chosen yet. */
void portmap_host(char dst[PORTMAP_TEXT_MAX], const struct portmap *m);

bool portmap_fits(const struct portmap_match *match, const struct portmap *m);
/* ERR_NOT_FOUND: nothing fits. */
int portmap_not_found(const struct portmap_match *match, struct err *err);
/* The same place on the host: both cannot be published. Chosen ports never clash. */
bool portmap_clash(const struct portmap *a, const struct portmap *b);

#endif
