/* SPDX-License-Identifier: MIT */
/*
 * Owns the reading of small files of /sys and /proc. It trusts neither their
 * length nor their content.
 */
#include "platform/platform.h"
#include "platform/sys.h"

int percpu__open(const char *path)
{
	return sys_open(path, O_RDONLY | O_CLOEXEC);
}

void percpu__close(int fd)
{
	if (fd >= 0)
		sys_close(fd);
}

ssize_t percpu__read_file(const char *path, char *buffer, size_t size)
{
	const int fd = percpu__open(path);
	size_t filled = 0;
	ssize_t got;

	if (fd < 0)
		return fd;
	do {
		got = sys_read(fd, buffer + filled, size - filled);
		if (got > 0)
			filled += got;
	} while ((got > 0 && filled < size) || got == -EINTR);
	percpu__close(fd);
	if (got < 0)
		return got;
	if (filled == size)
		return -EFBIG;
	buffer[filled] = '\0';
	return filled;
}
