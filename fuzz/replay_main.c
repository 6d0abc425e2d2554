/* SPDX-License-Identifier: Apache-2.0
 *
 * replay_main: the main of a fuzz target where there is no fuzzing engine. Feeds it the empty input, then each file of
 * the directories given as arguments: whole, and cut off at up to CUTS places. Every input is an allocation of exactly
 * its size, so that a sanitizer sees the first byte read past its end. Ends by assertion or sanitizer where the target
 * finds fault; 2 where a directory is missing or holds nothing.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "base/own.h"

#define FILE_MAX (4U << 20)
#define CUTS 512

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static int feed(const char *bytes, size_t n)
{
	auto_free uint8_t *copy = malloc(n ? n : 1);

	if (!copy)
		return -ENOMEM;
	if (n)
		memcpy(copy, bytes, n);
	(void)LLVMFuzzerTestOneInput(copy, n);
	return 0;
}

static int replay_file(int dirfd, const char *name)
{
	auto_free char *bytes = NULL;
	size_t n = 0, step;
	int r = io_read_file(dirfd, name, FILE_MAX, &bytes, &n);

	if (r < 0)
		return r;
	step = n / CUTS + 1;
	for (size_t cut = 0; cut < n && r == 0; cut += step)
		r = feed(bytes, cut);
	return r < 0 ? r : feed(bytes, n);
}

static int replay_directory(const char *path)
{
	auto_dir DIR *dir = opendir(path);
	struct dirent *entry;
	int files = 0, r;

	if (!dir)
		return -errno;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		r = replay_file(dirfd(dir), entry->d_name);
		if (r < 0) {
			fprintf(stderr, "%s/%s: %s\n", path, entry->d_name, strerror(-r));
			return r;
		}
		files++;
	}
	printf("ok 1 - %s: %d files\n", path, files);
	return files > 0 ? 0 : -ENOENT;
}

int main(int argc, char **argv)
{
	if (feed("", 0) < 0)
		return 2;
	for (int i = 1; i < argc; i++) {
		int r = replay_directory(argv[i]);

		if (r < 0) {
			fprintf(stderr, "%s: %s\n", argv[i], strerror(-r));
			return 2;
		}
	}
	return 0;
}
