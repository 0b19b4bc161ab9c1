/* SPDX-License-Identifier: MIT */
/* Owns the reading of small files of /sys and /proc. Trusts neither their length nor their content. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "platform/platform.h"

ssize_t percpu__read_file(const char *path, char *buffer, size_t size)
{
	size_t filled = 0;
	ssize_t got;
	int saved_errno = errno;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		ssize_t error = -errno;

		errno = saved_errno;
		return error;
	}
	do {
		got = read(fd, buffer + filled, size - filled);
		if (got > 0)
			filled += got;
	} while ((got > 0 && filled < size) || (got < 0 && errno == EINTR));
	if (got < 0)
		got = -errno;
	close(fd);
	errno = saved_errno;
	if (got < 0)
		return got;
	if (filled == size)
		return -EFBIG;
	buffer[filled] = '\0';
	return filled;
}
