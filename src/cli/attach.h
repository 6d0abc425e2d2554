/* SPDX-License-Identifier: Apache-2.0
 *
 * attach: one session of a program in a sandbox, from here to the sandbox's supervisor, without the daemon. stdin,
 * stdout, stderr, the window's size and signals go over a Unix socket as records (wire/record.h).
 *
 * At most one record is held in each direction: what the reader of our stdout does not take is not read from the
 * supervisor, and stdin is read only while the supervisor takes it.
 */
#ifndef SBX_CLI_ATTACH_H
#define SBX_CLI_ATTACH_H

#include <jansson.h>
#include <stdbool.h>

#include "cli/cmd.h"

struct attach {
	const char *name;    /* the sandbox, for messages */
	const char *socket;  /* the supervisor's socket, absolute */
	const json_t *start; /* the START record without rows and cols */
	bool tty;            /* stdin and stdout are a terminal and the program gets one too */
	bool opens;          /* with tty: URLs that the sandbox wants opened are opened meanwhile (offers.h) */
	bool input;          /* stdin goes to the program; else it reads the end at once */
	bool started;        /* set by attach_run: the program ran, or the guest said that it cannot */
};

/* Runs the session to its end. The program's exit status; 128 + n where signal n killed it; 126, 127 with c->err
 * filled and printed where it could not be started; negative with c->err filled where we failed. */
int attach_run(struct cli *c, struct attach *a);

/* 127 for a program that is not there, 126 for one that cannot be run, 125 otherwise. */
int attach_failed_status(int errnum);

#endif
