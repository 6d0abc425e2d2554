/* SPDX-License-Identifier: Apache-2.0
 *
 * copied: see copied.h.
 */
#include "cli/copied.h"

void copied_tell(const json_t *v)
{
	const json_t *disk = json_object_get(v, "disk");
	json_int_t bytes = json_integer_value(json_object_get(disk, "bytes")), ms = json_integer_value(json_object_get(disk, "ms"));
	json_int_t stood = json_integer_value(json_object_get(v, "standing_ms")), lost = json_integer_value(json_object_get(v, "lost"));

	if (json_is_true(json_object_get(disk, "shared")))
		cli_say("Disk: shared with the original until one of them changes, in %lld ms", (long long)ms);
	else if (disk)
		cli_say("Disk: copied %lld MB in %lld.%lld s (this file system cannot share blocks)", (long long)(bytes / 1000000),
			(long long)(ms / 1000), (long long)(ms % 1000 / 100));
	if (stood > 0)
		cli_say("It stood still for %lld.%lld s", (long long)(stood / 1000), (long long)(stood % 1000 / 100));
	if (lost > 0)
		cli_say("Note: %lld open files of the workspaces had no name any more, and do not answer in the copy", (long long)lost);
	cli_say("Note: the files of the workspaces are the host's: they are neither copied nor rolled back");
}
