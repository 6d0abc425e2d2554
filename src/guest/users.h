/* SPDX-License-Identifier: Apache-2.0
 *
 * users: who a session runs as. Reads the image's own /etc/passwd and /etc/group (passwd(5), group(5)): a static
 * program has no name service.
 */
#ifndef SBX_GUEST_USERS_H
#define SBX_GUEST_USERS_H

#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

#define USERS_GROUPS_MAX 256
#define USERS_FILE_MAX (1024 * 1024)

struct user {
	uid_t uid;
	gid_t gid;
	gid_t groups[USERS_GROUPS_MAX]; /* supplementary, without gid */
	size_t ngroups;
	char name[64];   /* the number where passwd has none */
	char home[1024]; /* absolute */
	char shell[1024];
};

/* spec is "name", "uid", "name:group", "uid:gid", with either kind on either side. passwd and group are the files'
 * texts. A number that passwd does not know is allowed (group 0, home /); a name is not: ERR_NOT_FOUND. */
int users_resolve(const char *passwd, const char *group, const char *spec, struct user *ret, struct err *err);
/* The same with the files of the present root. A missing file is an empty one. */
int users_lookup(const char *spec, struct user *ret, struct err *err);

#endif
