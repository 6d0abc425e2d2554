/* SPDX-License-Identifier: Apache-2.0
 *
 * truststore: the authorities that this host trusts, as one text of PEM certificates.
 */
#ifndef SBX_BASE_TRUSTSTORE_H
#define SBX_BASE_TRUSTSTORE_H

#include <stddef.h>

#include "base/err.h"

/* The system's and, where extra is not NULL, those of that file, too; max: bytes of each. Owned, with a NUL behind its *ret_n bytes. 0, or
 * negative with err: ERR_UNAVAILABLE where the host has no store. */
int truststore_read(const char *extra, size_t max, char **ret, size_t *ret_n, struct err *err);

#endif
