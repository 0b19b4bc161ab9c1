/* SPDX-License-Identifier: MIT */
/* Owns what /proc tells of other processes: their descriptors, and whether they still run. */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/platform.h"

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434 /* Linux 5.3; the same number everywhere */
#endif

int percpu__for_each_number(const char *path, int (*visit)(int number, void *arg), void *arg)
{
	const int saved_errno = errno;
	DIR *folder = opendir(path);
	struct dirent *entry;
	int result = 0;

	if (!folder) {
		result = -errno;
		errno = saved_errno;
		return result;
	}
	while (!result && (entry = readdir(folder))) {
		int64_t number = 0;
		const char *at = entry->d_name;

		for (; *at >= '0' && *at <= '9' && number < INT32_MAX; at++)
			number = 10 * number + (*at - '0');
		if (at != entry->d_name && !*at && number <= INT32_MAX)
			result = visit(number, arg);
	}
	closedir(folder);
	errno = saved_errno;
	return result;
}

ssize_t percpu__read_link(const char *path, char *text, size_t size)
{
	const int saved_errno = errno;
	ssize_t got = readlink(path, text, size - 1);

	if (got < 0)
		got = -errno;
	errno = saved_errno;
	if (got >= 0)
		text[got] = '\0';
	return got;
}

bool percpu__link_can_write(const char *path)
{
	const int saved_errno = errno;
	struct stat stat;
	const bool can = lstat(path, &stat) == 0 && (stat.st_mode & S_IWUSR);

	errno = saved_errno;
	return can;
}

pid_t percpu__own_pid(void)
{
	return getpid();
}

int percpu__watch_process(pid_t pid)
{
	const int saved_errno = errno;
	int fd = syscall(SYS_pidfd_open, pid, 0); /* closed at exec by itself */

	if (fd < 0)
		fd = -errno;
	errno = saved_errno;
	return fd;
}

bool percpu__has_ended(int watch)
{
	const int saved_errno = errno;
	struct pollfd poll_fd = { .fd = watch, .events = POLLIN };
	const bool ended = poll(&poll_fd, 1, 0) > 0;

	errno = saved_errno;
	return ended;
}
