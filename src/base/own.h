/* SPDX-License-Identifier: Apache-2.0
 *
 * own: ownership by cleanup attribute. A variable declared auto_free / auto_fd / auto_(type) owns what it
 * points to and lets go of it at the end of its scope; TAKE_PTR and TAKE_FD move it out. Descriptors that
 * hold nothing are -1.
 */
#ifndef SBX_BASE_OWN_H
#define SBX_BASE_OWN_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define must_check __attribute__((warn_unused_result))

static inline void own_free_p(void *p)
{
	free(*(void **)p);
}

/* Closes a descriptor and keeps errno. */
static inline void own_close_p(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		(void)close(*fd);
	*fd = -1;
	errno = saved;
}

static inline void own_fclose_p(FILE **f)
{
	if (*f)
		(void)fclose(*f);
}

static inline void own_closedir_p(DIR **d)
{
	if (*d)
		(void)closedir(*d);
}

#define auto_free __attribute__((cleanup(own_free_p)))
#define auto_fd __attribute__((cleanup(own_close_p)))
#define auto_file __attribute__((cleanup(own_fclose_p)))
#define auto_dir __attribute__((cleanup(own_closedir_p)))

/* auto_(foo) struct foo *x: calls foo_free(x). Needs DEFINE_AUTO(foo, struct foo *, foo_free) once. */
#define DEFINE_AUTO(name, type, func)                     \
	static inline void own_##name##_p(type *p)        \
	{                                                 \
		if (*p)                                   \
			func(*p);                         \
	}                                                 \
	struct own_##name##_semicolon_
#define auto_(name) __attribute__((cleanup(own_##name##_p)))

#define TAKE_PTR(p)                       \
	({                                \
		__typeof__(p) taken_ = (p); \
		(p) = NULL;               \
		taken_;                   \
	})
#define TAKE_FD(fd)                 \
	({                          \
		int taken_ = (fd);  \
		(fd) = -1;          \
		taken_;             \
	})

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

#endif
