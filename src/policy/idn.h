/* SPDX-License-Identifier: Apache-2.0
 *
 * idn: resources as people write them, with names in any script, to the ASCII form that rule_parse takes (UTS 46,
 * non-transitional, IDNA 2008). For text of the host's user only: on the wire nothing is converted (wire/dest).
 */
#ifndef SBX_POLICY_IDN_H
#define SBX_POLICY_IDN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "policy/rule.h"

/* "tcp bücher.example:22" becomes "tcp xn--bcher-kva.example:22"; ASCII stays as it is. An A-label that does not say what it
 * would be written back as is an error, and so is any other script where this build has no libidn2. dst is terminated. */
int idn_to_ascii(const char *resource, char dst[RULE_RESOURCE_MAX], struct err *err);
/* Whether this build converts. */
bool idn_available(void);

#endif
