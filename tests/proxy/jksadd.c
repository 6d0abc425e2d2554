/* SPDX-License-Identifier: Apache-2.0
 *
 * jksadd STORE PEM NEW: writes to NEW what the guest makes of the Java key store STORE when PEM is its CA.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/io.h"
#include "base/own.h"
#include "guest/trust.h"

#define MAX (8 * 1024 * 1024)

int main(int argc, char **argv)
{
	auto_free char *store = NULL, *pem = NULL;
	struct buf out;
	size_t n;
	int r;

	if (argc != 4 || io_read_file(AT_FDCWD, argv[1], MAX, &store, &n) < 0 ||
	    io_read_file(AT_FDCWD, argv[2], MAX, &pem, NULL) < 0 || !trust_is_pem(pem)) {
		(void)fprintf(stderr, "usage: jksadd STORE PEM NEW\n");
		return 2;
	}
	buf_init(&out, MAX);
	r = trust_java((const uint8_t *)store, n, pem, (int64_t)time(NULL) * 1000, &out);
	if (r == 1)
		r = io_write_file_atomic(AT_FDCWD, argv[3], buf_bytes(&out), buf_len(&out), 0644) < 0 ? -1 : 1;
	if (r < 0)
		(void)fprintf(stderr, "jksadd: %s\n", strerror(-r));
	buf_done(&out);
	return r == 1 ? 0 : 1;
}
