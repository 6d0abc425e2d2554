/* SPDX-License-Identifier: Apache-2.0
 *
 * dotenv: a file of variables as programs keep one beside their code: NAME=VALUE lines, "export " before them or not.
 *
 *   NAME=value # comment    without blanks around it; a comment begins after a blank
 *   NAME='value'            as it is; may have line breaks
 *   NAME="value"            likewise, and \n \r \t \" \\ \$ \` stand for what they say
 *
 * There is no standard; what is read here is what the common readers agree about. Variables in values are not put in. No I/O, no
 * allocation.
 */
#ifndef SBX_WIRE_DOTENV_H
#define SBX_WIRE_DOTENV_H

#include <stddef.h>

#define DOTENV_NAME 128
#define DOTENV_VALUE 16384

struct dotenv {
	const char *at, *end; /* borrowed */
	size_t line;          /* of what was read last, from 1 */
};

/* Wipe it. */
struct dotenv_entry {
	char name[DOTENV_NAME];
	char value[DOTENV_VALUE + 1];
	size_t n;
};

void dotenv_init(struct dotenv *d, const char *text, size_t n);
/* 1: ret is filled; 0: the end; -EBADMSG: line is no such line, or -EMSGSIZE, a name or value too long: that line is passed over, and the
 * next call goes on behind it. */
int dotenv_next(struct dotenv *d, struct dotenv_entry *ret);

#endif
