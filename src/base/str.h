/* SPDX-License-Identifier: Apache-2.0
 *
 * str: strings and numbers. Formatting into fixed arrays that reports truncation, allocation of formatted
 * strings, and strict number parsing (no leading blanks, no sign where none is meant, no trailing text).
 */
#ifndef SBX_BASE_STR_H
#define SBX_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* 0, or -ENAMETOOLONG where the result does not fit (dst then holds a terminated prefix). */
int str_format(char *dst, size_t size, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* An owned string, NULL on -ENOMEM. */
char *str_new(const char *fmt, ...) __attribute__((format(printf, 1, 2), malloc));

static inline bool str_eq(const char *a, const char *b)
{
	return __builtin_strcmp(a, b) == 0;
}
bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);

/* Decimal only: -EINVAL for anything else, -ERANGE past max. */
int str_u64(const char *s, uint64_t max, uint64_t *ret);
/* A size with optional unit b k m g t (binary, either case, optional "b"/"ib" after it; none: bytes). */
int str_bytes(const char *s, uint64_t *ret_bytes);
/* "30s", "500ms", "2m", "1h"; a bare number is seconds. */
int str_duration(const char *s, uint64_t *ret_ms);

/* Lower-case hex of n bytes into dst (2n + 1 bytes). */
void str_hex(char *dst, const uint8_t *bytes, size_t n);
/* n random bytes as an owned hex string; NULL on failure. */
char *str_random_hex(size_t n);

/* Copies s with every byte outside printable ASCII, and backslash, as \xNN; for text that a guest said.
 * Always terminates; cuts at size. */
void str_escape(char *dst, size_t size, const char *s, size_t n);

#endif
