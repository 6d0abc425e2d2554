/* SPDX-License-Identifier: Apache-2.0
 *
 * disks: see disks.h. sysfs says which device a target became; its node in devtmpfs must open too.
 */
#include "guest/disks.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/own.h"
#include "base/str.h"
#include "guest/uevent.h"

#define CLASS_DIR "/sys/class/scsi_device"

struct find {
	unsigned target;
	char dev[DISKS_PATH_MAX];
};

bool disks_address_is(const char *hctl, unsigned target)
{
	char want[32];
	const char *c = strchr(hctl, ':');

	return c && str_format(want, sizeof(want), ":0:%u:0", target) == 0 && str_eq(c, want);
}

/* devtmpfs shows the node a moment before the device can be opened (ENXIO); the uevent comes after that. */
static bool opens(const char *dev)
{
	auto_fd int fd = open(dev, O_RDONLY | O_CLOEXEC);

	return fd >= 0;
}

/* The one entry of .../device/block is the disk's name. */
static bool block_of(const char *hctl, char dev[DISKS_PATH_MAX])
{
	char path[128];
	auto_dir DIR *d = NULL;
	struct dirent *e;

	if (str_format(path, sizeof(path), CLASS_DIR "/%s/device/block", hctl) < 0 || !(d = opendir(path)))
		return false;
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			return str_format(dev, DISKS_PATH_MAX, "/dev/%s", e->d_name) == 0 && opens(dev);
	return false;
}

static int look(void *arg)
{
	struct find *f = arg;
	auto_dir DIR *d = opendir(CLASS_DIR);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (disks_address_is(e->d_name, f->target) && block_of(e->d_name, f->dev))
			return 1;
	return 0;
}

int disks_wait(unsigned target, uint64_t deadline_ms, char ret[DISKS_PATH_MAX], struct err *err)
{
	struct find f = { .target = target };
	int r = uevent_until(look, &f, deadline_ms);

	if (r < 0)
		return err_set(err, r == -ETIMEDOUT ? ERR_TIMEOUT : ERR_INTERNAL, -r,
			       "the disk with SCSI target %u did not appear in time", target);
	return str_format(ret, DISKS_PATH_MAX, "%s", f.dev);
}
