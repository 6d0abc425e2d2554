/* SPDX-License-Identifier: Apache-2.0
 *
 * sshident: whether what a side says first is SSH's identification (RFC 4253 section 4.2): "SSH-2.0-SOFTWARE[ COMMENTS]" and a line's end. It
 * looks at nothing behind it.
 *
 * A client's comes first of all. A server may send other lines before, which a server of another protocol might begin with as well: so nothing
 * of them is to be passed on before SSHIDENT_YES. Both lines and identification are bounded, by SSHIDENT_MAX bytes in all.
 *
 * Refused: a version other than 2.0 (of a server also 1.99, section 5.1), no software, bytes that are not printable ASCII in the identification, NUL
 * in any line, an identification of more than 255 bytes.
 *
 * No allocation, no I/O. A struct may be copied to look ahead.
 */
#ifndef SBX_WIRE_SSHIDENT_H
#define SBX_WIRE_SSHIDENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SSHIDENT_MAX 8192
#define SSHIDENT_LINE_MAX 255 /* of the identification, its line's end included */

enum sshident_from { SSHIDENT_CLIENT, SSHIDENT_SERVER };

enum sshident_result {
	SSHIDENT_MORE, /* so far it may become one */
	SSHIDENT_YES,  /* there it is; what comes now is not looked at */
	SSHIDENT_NO,   /* never; stays so */
};

struct sshident {
	enum sshident_from from;
	enum sshident_result result;
	uint16_t all, n;  /* bytes in all, of the line that is being read */
	bool other;       /* this line is none; from a server only */
	bool old;         /* its version is 1.99 */
	bool cr;          /* the last byte was CR */
};

void sshident_init(struct sshident *s, enum sshident_from from);
/* n more bytes. */
enum sshident_result sshident_feed(struct sshident *s, const uint8_t *bytes, size_t n);

#endif
