/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_policy_snapshot: a policy's JSON. What loads dumps to what loads to the same dump, and decides.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "policy/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct policy *p = NULL, *again = NULL;
	struct dest d;
	struct policy_query q = { .dest = &d, .method = "GET" };
	struct verdict v;
	struct buf one, two;
	struct err err;

	if (snapshot_load((const char *)bytes, n, &p, &err) < 0)
		return 0;
	buf_init(&one, SNAPSHOT_MAX_BYTES);
	buf_init(&two, SNAPSHOT_MAX_BYTES);
	assert(snapshot_dump(p, &one) == 0);
	assert(snapshot_load((const char *)buf_bytes(&one), buf_len(&one), &again, &err) == 0);
	assert(snapshot_dump(again, &two) == 0 && buf_len(&one) == buf_len(&two) &&
	       memcmp(buf_bytes(&one), buf_bytes(&two), buf_len(&one)) == 0);
	assert(dest_parse_authority("ok.test:443", 11, 0, DEST_HTTPS, &d) == DEST_OK);
	policy_decide(p, &q, &v);
	assert(v.id && (v.action == RULE_DENY || v.reason == POLICY_BY_RULE || v.reason == POLICY_BY_DEFAULT));
	buf_done(&one);
	buf_done(&two);
	policy_free(p);
	policy_free(again);
	return 0;
}
