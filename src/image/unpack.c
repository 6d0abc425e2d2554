/* SPDX-License-Identifier: Apache-2.0
 *
 * unpack: see unpack.h.
 */
#include "image/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>

static int read_all(struct archive *a, struct buf *out, struct err *err)
{
	struct archive_entry *entry;
	int r = archive_read_next_header(a, &entry);

	if (r == ARCHIVE_EOF)
		return 0;
	while (r >= ARCHIVE_WARN) {
		const void *block;
		size_t n;
		la_int64_t offset;

		r = archive_read_data_block(a, &block, &n, &offset);
		if (r == ARCHIVE_EOF)
			return 0;
		if (r >= ARCHIVE_WARN && buf_append(out, block, n) < 0)
			return err_set(err, ERR_INVALID, EMSGSIZE, "it unpacks to more than %zu bytes", out->max);
	}
	return err_set(err, ERR_INVALID, EBADMSG, "cannot unpack: %.200s", archive_error_string(a));
}

int unpack_bytes(const void *bytes, size_t n, struct buf *out, struct err *err)
{
	struct archive *a = archive_read_new();
	int r;

	/* By name and not all: some of the others start programs. */
	if (!a || archive_read_support_filter_gzip(a) < ARCHIVE_WARN || archive_read_support_filter_bzip2(a) < ARCHIVE_WARN ||
	    archive_read_support_filter_xz(a) < ARCHIVE_WARN || archive_read_support_filter_lzma(a) < ARCHIVE_WARN ||
	    archive_read_support_filter_zstd(a) < ARCHIVE_WARN || archive_read_support_filter_lz4(a) < ARCHIVE_WARN ||
	    archive_read_support_format_raw(a) < ARCHIVE_WARN || archive_read_support_format_empty(a) < ARCHIVE_WARN)
		r = err_set(err, ERR_UNAVAILABLE, ENOMEM, "cannot set up libarchive");
	else if (archive_read_open_memory(a, bytes, n) != ARCHIVE_OK)
		r = err_set(err, ERR_INVALID, EBADMSG, "cannot unpack: %.200s", archive_error_string(a));
	else
		r = read_all(a, out, err);
	(void)archive_read_free(a);
	return r;
}
