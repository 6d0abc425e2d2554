/* SPDX-License-Identifier: Apache-2.0
 *
 * refusal: see refusal.h.
 */
#include "proxy/refusal.h"

#include "wire/httphead.h"

int refusal_text(struct buf *out, const struct dest *dest, const struct decision *dn)
{
	char where[DEST_PRINT_MAX] = "";
	int r;

	if (dest->host[0])
		dest_print(dest, where);
	r = buf_printf(out, "Blocked by network policy: domain %s\nrule: %s\norigin: %s\nreason: %s\ndetail: %s\n", where, dn->rule,
		       dn->origin, dn->reason, dn->text);
	if (r >= 0 && dn->remedy[0])
		r = buf_printf(out, "to allow it, on the host: %s\n", dn->remedy);
	return r < 0 ? r : 0;
}

int refusal_response(struct buf *out, int status, const struct dest *dest, const struct decision *dn)
{
	struct buf text;
	int r;

	buf_init(&text, REFUSAL_MAX / 2);
	r = status == 403 ? refusal_text(&text, dest, dn) : buf_printf(&text, "Refused: %s\n", dn->text);
	if (r >= 0)
		r = buf_printf(out,
			       "HTTP/1.1 %d %s\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
			       status, httphead_phrase((unsigned int)status), buf_len(&text));
	if (r >= 0)
		r = buf_append(out, buf_bytes(&text), buf_len(&text));
	buf_done(&text);
	return r < 0 ? r : 0;
}
