/* SPDX-License-Identifier: MIT */
/*
 * Owns memory that lies in a file without a name: made, mapped and sealed by the process whose memory it
 * is, found by others among its descriptors, and read there. Who reads does not map: a page that is not
 * there would be made, and one that was cut off would be a signal. Nor does a reader take the word of a
 * descriptor for what it is: only a regular file that can bear seals, on the device of all memfds, is read at all.
 *
 * A file is known by its device and its inode number. The kernel keeps all memfds on a mount of its own, which nobody
 * can mount elsewhere, and numbers their inodes from 1 on: a tmpfs that anybody mounts has the same numbers.
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

/* Makes an empty one, without a mark for execution where the kernel knows that. -errno. */
static int make_any(const char *name)
{
	int fd = make(name, MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL)
		fd = make(name, 0);
	return fd < 0 ? -errno : fd;
}

int percpu__file_identify(int fd, struct percpu__file_id *id)
{
	const int saved_errno = errno;
	struct stat stat;
	const int result = fstat(fd, &stat) < 0 ? -errno : 0;

	errno = saved_errno;
	if (result == 0)
		*id = (struct percpu__file_id){ stat.st_dev, stat.st_ino };
	return result;
}

bool percpu__file_is(int fd, struct percpu__file_id id)
{
	struct percpu__file_id now;

	return percpu__file_identify(fd, &now) == 0 && now.device == id.device && now.inode == id.inode;
}

void percpu__file_close(int fd, struct percpu__file_id id)
{
	if (percpu__file_is(fd, id))
		percpu__close(fd);
}

int percpu__memfd_create_unlisted(struct percpu__memfd *file, const char *name, uint64_t bytes)
{
	const int saved_errno = errno;
	int result = 0;

	if (is_beyond_limit(bytes))
		return -EFBIG;
	file->fd = make_any(name);
	if (file->fd < 0)
		result = file->fd;
	else if (ftruncate(file->fd, bytes) < 0)
		result = -errno;
	else
		result = percpu__file_identify(file->fd, &file->id);
	if (result < 0)
		percpu__close(file->fd);
	errno = saved_errno;
	return result;
}

int percpu__memfd_create(struct percpu__memfd *file, const char *name, uint64_t bytes)
{
	const int result = percpu__memfd_create_unlisted(file, name, bytes);

	if (result == 0)
		percpu__ledger_add(PERCPU__LEDGER_FILE, file->fd, file->id.device, file->id.inode);
	return result;
}

void percpu__memfd_close(const struct percpu__memfd *file)
{
	percpu__ledger_strike(PERCPU__LEDGER_FILE, file->fd, 0);
	percpu__file_close(file->fd, file->id);
}

int percpu__memfd_map(const struct percpu__memfd *file, uint64_t offset, void *start, size_t bytes)
{
	const int saved_errno = errno;
	/* The range was reserved a moment ago: that told whether this mapping would be filled. */
	const bool locked = percpu__new_ones_are_locked();
	void *got = mmap(start, bytes, locked ? PROT_NONE : PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, file->fd,
			 offset);
	int result = got == MAP_FAILED ? -errno : 0;

	if (locked && result == 0) {
		munlock(start, bytes);
		result = mprotect(start, bytes, PROT_READ | PROT_WRITE) < 0 ? -errno : 0;
	}

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
	return percpu__file_is(file->fd, file->id) ? percpu__find(file->fd, find, offset) : -EBADF;
}

/* ---- the reader's side ---- */

/* The device of all memfds, as one of our own shows it: the same as long as the kernel runs. */
static int find_device(uint64_t *device)
{
	static uint64_t known; /* device + 1; every writer writes the same */
	struct percpu__file_id id = { 0, 0 };
	int fd, result;

	*device = __atomic_load_n(&known, __ATOMIC_RELAXED) - 1;
	if (*device != UINT64_MAX)
		return 0;
	fd = make_any("percpu");
	if (fd < 0)
		return fd;
	result = percpu__file_identify(fd, &id);
	percpu__close(fd);
	if (result < 0)
		return result;
	*device = id.device;
	__atomic_store_n(&known, id.device + 1, __ATOMIC_RELAXED);
	return 0;
}

int percpu__can_tell_memfds(void)
{
	const int saved_errno = errno;
	uint64_t device;
	const int result = find_device(&device);

	errno = saved_errno;
	return result;
}

/* No other file system has the device, huge pages' included; of its files, those of SysV are no descriptors. */
static bool is_memfd(int fd, uint64_t device)
{
	struct stat stat;

	return fstat(fd, &stat) == 0 && stat.st_dev == device && S_ISREG(stat.st_mode) && fcntl(fd, F_GET_SEALS) >= 0;
}

int percpu__open_memfd(const char *path)
{
	const int saved_errno = errno;
	uint64_t device;
	const int unknown = find_device(&device);
	/* Whatever it is, opening it neither waits nor makes it our terminal. */
	int fd = unknown < 0 ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		fd = unknown < 0 ? unknown : -errno;
	else if (!is_memfd(fd, device)) {
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
		.user = stat.st_uid,
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
