/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_clienthello: the bytes of a client, behind one byte that says how they are cut. However they come, the answer is
 * the same; a name that is read is a name.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "wire/clienthello.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static enum clienthello_result feed(struct clienthello *ch, const uint8_t *bytes, size_t n, size_t step)
{
	enum clienthello_result r = CLIENTHELLO_MORE;

	for (size_t at = 0; at < n && r == CLIENTHELLO_MORE; at += step)
		r = clienthello_feed(ch, bytes + at, n - at < step ? n - at : step);
	return r;
}

static void check(const struct clienthello *ch, size_t n)
{
	struct dest d;
	size_t len;

	assert(ch->taken <= n && ch->alpn_count <= CLIENTHELLO_ALPN_MAX);
	for (size_t i = 0; i < ch->alpn_count; i++) {
		const uint8_t *p = clienthello_alpn(ch, i, &len);

		assert(len > 0 && p >= ch->msg && p + len <= ch->msg + ch->n);
	}
	if (!ch->has_sni)
		return;
	assert(dest_make(ch->sni, strlen(ch->sni), 443, DEST_HTTPS, &d) == DEST_OK);
	assert(d.kind == DEST_NAME && strcmp(d.host, ch->sni) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct clienthello *whole = calloc(1, sizeof(*whole)), *pieces = calloc(1, sizeof(*pieces));
	enum clienthello_result r;

	if (n > 1 && whole && pieces) {
		r = feed(whole, bytes + 1, n - 1, n - 1);
		assert(r == feed(pieces, bytes + 1, n - 1, 1 + bytes[0]));
		if (r == CLIENTHELLO_OK) {
			check(whole, n - 1);
			assert(whole->taken == pieces->taken && whole->has_sni == pieces->has_sni && whole->ech == pieces->ech &&
			       strcmp(whole->sni, pieces->sni) == 0);
		} else if (r != CLIENTHELLO_MORE) {
			assert(whole->reason && pieces->reason && strcmp(whole->reason, pieces->reason) == 0);
		}
	}
	free(whole);
	free(pieces);
	return 0;
}
