/* SPDX-License-Identifier: MIT */
/*
 * Owns the reading of small files of /sys and /proc. Trusts neither their length nor their content.
 * The calls are made by number: libc's open and read are points where a thread may be cancelled, and
 * nobody expects that of an allocation, which may hold a lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/platform.h"

int percpu__open(const char *path)
{
	const int saved_errno = errno;
	int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		fd = -errno;
	errno = saved_errno;
	return fd;
}

void percpu__close(int fd)
{
	const int saved_errno = errno;

	if (fd >= 0)
		syscall(SYS_close, fd);
	errno = saved_errno;
}

ssize_t percpu__read_file(const char *path, char *buffer, size_t size)
{
	const int saved_errno = errno, fd = percpu__open(path);
	size_t filled = 0;
	ssize_t got;

	if (fd < 0)
		return fd;
	do {
		got = syscall(SYS_read, fd, buffer + filled, size - filled);
		if (got > 0)
			filled += got;
	} while ((got > 0 && filled < size) || (got < 0 && errno == EINTR));
	if (got < 0)
		got = -errno;
	errno = saved_errno;
	percpu__close(fd);
	if (got < 0)
		return got;
	if (filled == size)
		return -EFBIG;
	buffer[filled] = '\0';
	return filled;
}
