/* SPDX-License-Identifier: Apache-2.0
 *
 * reach: see reach.h. Lists are cut at REACH_MAX_ITEMS, so that the reply fits one record.
 */
#include "vm/reach.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/own.h"
#include "base/str.h"

#define REACH_MAX_ITEMS 120

static void namespaces(json_t *o, pid_t pid)
{
	static const char *const names[] = { "user", "mnt", "pid", "net", "ipc", "uts" };
	json_t *ns = json_object();

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		char path[64], theirs[64] = "", ours[64] = "";

		(void)str_format(path, sizeof(path), "/proc/%d/ns/%s", pid, names[i]);
		if (readlink(path, theirs, sizeof(theirs) - 1) < 0)
			continue;
		(void)str_format(path, sizeof(path), "/proc/self/ns/%s", names[i]);
		(void)!readlink(path, ours, sizeof(ours) - 1);
		(void)json_object_set_new(ns, names[i], json_string(str_eq(theirs, ours) ? "host" : "own"));
	}
	(void)json_object_set_new(o, "namespaces", ns);
}

static void status(json_t *o, pid_t pid)
{
	auto_free char *text = NULL;
	char path[64], caps[32], *at, *end;

	(void)str_format(path, sizeof(path), "/proc/%d/status", pid);
	if (io_read_file(AT_FDCWD, path, 65536, &text, NULL) < 0)
		return;
	at = strstr(text, "\nCapEff:\t");
	if (at) {
		at += 9;
		end = strchr(at, '\n');
		(void)str_format(caps, sizeof(caps), "%.*s", end ? (int)(end - at) : 16, at);
		(void)json_object_set_new(o, "capabilities", json_string(caps));
	}
	(void)json_object_set_new(o, "seccomp", json_boolean(strstr(text, "\nSeccomp:\t2") != NULL));
	(void)json_object_set_new(o, "no_new_privs", json_boolean(strstr(text, "\nNoNewPrivs:\t1") != NULL));
}

static void mounts(json_t *o, pid_t pid)
{
	auto_free char *text = NULL;
	json_t *list = json_array();
	char path[64], *line, *rest;

	(void)str_format(path, sizeof(path), "/proc/%d/mountinfo", pid);
	if (io_read_file(AT_FDCWD, path, 1024 * 1024, &text, NULL) == 0) {
		rest = text;
		while ((line = strsep(&rest, "\n")) && json_array_size(list) < REACH_MAX_ITEMS) {
			char where[512], flags[256], item[800];

			/* proc_pid_mountinfo(5): id, parent, major:minor, root, mount point, options. */
			if (sscanf(line, "%*s %*s %*s %*s %511s %255s", where, flags) != 2)
				continue;
			(void)str_format(item, sizeof(item), "%.2s %s", flags, where);
			(void)json_array_append_new(list, json_string(item));
		}
	}
	(void)json_object_set_new(o, "mounts", list);
}

static void descriptors(json_t *o, pid_t pid)
{
	json_t *list = json_array();
	char path[64];
	auto_dir DIR *d = NULL;
	struct dirent *e;

	(void)str_format(path, sizeof(path), "/proc/%d/fd", pid);
	d = opendir(path);
	while (d && (e = readdir(d)) && json_array_size(list) < REACH_MAX_ITEMS) {
		char to[300] = "";

		if (e->d_name[0] == '.' || readlinkat(dirfd(d), e->d_name, to, sizeof(to) - 1) < 0)
			continue;
		(void)json_array_append_new(list, json_string(to));
	}
	(void)json_object_set_new(o, "descriptors", list);
}

static void add(json_t *list, const char *name, pid_t pid)
{
	json_t *o;

	if (pid <= 0)
		return;
	o = json_pack("{s:s, s:i}", "process", name, "pid", (int)pid);
	if (!o)
		return;
	namespaces(o, pid);
	status(o, pid);
	mounts(o, pid);
	descriptors(o, pid);
	(void)json_array_append_new(list, o);
}

json_t *reach_describe(const struct machine *m)
{
	json_t *list = json_array();

	add(list, "qemu", m->qemu.pid);
	add(list, "sbx-fs", m->fs.pid);
	add(list, "sbx-proxy", netdoor_pid(m->net));
	return json_pack("{s:o}", "processes", list);
}
