/* SPDX-License-Identifier: MIT */
/*
 * Owns memory that lies in a file without a name: made, mapped and sealed by the process whose memory it
 * is, found by others among its descriptors, and read there. Who reads does not map: a page that is not
 * there would be made, and one that was cut off would be a signal. Nor does a reader take the word of a
 * descriptor for what it is: only a regular file that can bear seals is read at all.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "platform/platform.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3; not every libc has it yet */
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010 /* Linux 5.1 */
#endif

#define NAME_BYTES_MAX 249 /* the kernel's limit */

/* To set the size of a file past this limit is a signal, not an error. */
static bool is_beyond_limit(uint64_t bytes)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && bytes > limit.rlim_cur;
}

static int make(const char *name, unsigned flags)
{
	char cut[NAME_BYTES_MAX + 1];

	snprintf(cut, sizeof(cut), "%s", name);
	return syscall(SYS_memfd_create, cut, MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);
}

static int identify(int fd, uint64_t *inode)
{
	struct stat stat;

	if (fstat(fd, &stat) < 0)
		return -errno;
	*inode = stat.st_ino;
	return 0;
}

int percpu__memfd_create(struct percpu__memfd *file, const char *name, uint64_t bytes)
{
	const int saved_errno = errno;
	int result = 0;

	if (is_beyond_limit(bytes))
		return -EFBIG;
	file->fd = make(name, MFD_NOEXEC_SEAL);
	if (file->fd < 0 && errno == EINVAL)
		file->fd = make(name, 0);
	if (file->fd < 0)
		result = -errno;
	else if (ftruncate(file->fd, bytes) < 0)
		result = -errno;
	else
		result = identify(file->fd, &file->inode);
	if (result < 0)
		percpu__close(file->fd);
	errno = saved_errno;
	return result;
}

/* Programs close what they never opened, and get the number for a file of their own. */
static bool is_ours(const struct percpu__memfd *file)
{
	uint64_t inode = 0;

	return identify(file->fd, &inode) == 0 && inode == file->inode;
}

void percpu__memfd_close(const struct percpu__memfd *file)
{
	const int saved_errno = errno;

	if (is_ours(file))
		percpu__close(file->fd);
	errno = saved_errno;
}

int percpu__memfd_map(const struct percpu__memfd *file, uint64_t offset, void *start, size_t bytes)
{
	const int saved_errno = errno;
	void *got = mmap(start, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, file->fd, offset);
	const int result = got == MAP_FAILED ? -errno : 0;

	errno = saved_errno;
	return result;
}

int percpu__memfd_seal(const struct percpu__memfd *file)
{
	const int size = F_SEAL_SHRINK | F_SEAL_GROW, saved_errno = errno;
	int result = fcntl(file->fd, F_ADD_SEALS, size | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL);

	if (result < 0 && errno == EINVAL) /* Linux before 5.1 */
		result = fcntl(file->fd, F_ADD_SEALS, size | F_SEAL_SEAL);
	result = result < 0 ? -errno : 0;
	errno = saved_errno;
	return result;
}

int64_t percpu__memfd_find(const struct percpu__memfd *file, enum percpu__find find, uint64_t offset)
{
	const int saved_errno = errno;
	const bool ours = is_ours(file);

	errno = saved_errno;
	return ours ? percpu__find(file->fd, find, offset) : -EBADF;
}

/* ---- the reader's side ---- */

int percpu__open_memfd(const char *path)
{
	const int saved_errno = errno;
	/* Whatever it is, opening it neither waits nor makes it our terminal. */
	int fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat stat;

	if (fd < 0)
		fd = -errno;
	else if (fstat(fd, &stat) < 0 || !S_ISREG(stat.st_mode) || fcntl(fd, F_GET_SEALS) < 0) {
		percpu__close(fd);
		fd = -EINVAL;
	}
	errno = saved_errno;
	return fd;
}

int percpu__file_facts(int fd, struct percpu__file_facts *facts)
{
	const int saved_errno = errno;
	struct stat stat;
	const int result = fstat(fd, &stat) < 0 ? -errno : 0;

	errno = saved_errno;
	if (result < 0)
		return result;
	*facts = (struct percpu__file_facts){
		.inode = stat.st_ino,
		.bytes = stat.st_size,
		.held_bytes = (uint64_t)stat.st_blocks * 512,
	};
	return 0;
}

ssize_t percpu__read_at(int fd, void *buffer, size_t bytes, uint64_t offset)
{
	const int saved_errno = errno;
	size_t filled = 0;
	ssize_t got = 0;

	if (offset > INT64_MAX - bytes)
		return -EOVERFLOW;
	do {
		got = syscall(SYS_pread64, fd, (char *)buffer + filled, bytes - filled, offset + filled);
		if (got > 0)
			filled += got;
	} while ((got > 0 && filled < bytes) || (got < 0 && errno == EINTR));
	if (got < 0)
		got = -errno;
	errno = saved_errno;
	return got < 0 ? got : (ssize_t)filled;
}

int64_t percpu__find(int fd, enum percpu__find find, uint64_t offset)
{
	const int saved_errno = errno;
	int64_t found = offset > INT64_MAX ? -1 : lseek(fd, offset, find == PERCPU__FIND_DATA ? SEEK_DATA : SEEK_HOLE);

	if (found < 0)
		found = offset > INT64_MAX ? -ENXIO : -errno;
	errno = saved_errno;
	return found;
}
