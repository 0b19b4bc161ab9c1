/* SPDX-License-Identifier: MIT */
/*
 * Owns memory in a memfd. The owner process makes, maps and seals it; other processes find it among
 * the owner's descriptors and read it. A reader does not map the file: it would make missing pages,
 * and get a signal for pages that were cut off. A reader does not trust a descriptor: it reads a
 * regular file that can bear seals, on the device of all memfds, and no other.
 *
 * A file is identified by its device and its inode number. The kernel keeps all memfds on a mount
 * of its own, which cannot be mounted elsewhere, and numbers their inodes from 1; any tmpfs has the
 * same numbers.
 */
#include <stdio.h>
#include <string.h>

#include "platform/platform.h"
#include "platform/sys.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U /* Linux 6.3; not every libc has it yet */
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010 /* Linux 5.1 */
#endif

#define NAME_BYTES_MAX 249 /* the kernel's limit */

/* Returns: true if setting this size would raise a signal (RLIMIT_FSIZE), not return an error. */
static bool is_beyond_limit(uint64_t bytes)
{
	struct rlimit limit;

	return sys_getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
	       bytes > limit.rlim_cur;
}

static int make(const char *name, unsigned flags)
{
	char cut[NAME_BYTES_MAX + 1];

	snprintf(cut, sizeof(cut), "%s", name);
	return sys_memfd_create(cut, MFD_CLOEXEC | MFD_ALLOW_SEALING | flags);
}

/*
 * Makes an empty memfd, not executable if the kernel supports that. Returns:
 * a descriptor or -errno.
 */
static int make_any(const char *name)
{
	const int fd = make(name, MFD_NOEXEC_SEAL);

	return fd == -EINVAL ? make(name, 0) : fd;
}

int percpu__file_identify(int fd, struct percpu__file_id *id)
{
	struct stat stat;
	const int result = sys_fstat(fd, &stat);

	if (result == 0)
		*id = (struct percpu__file_id){ stat.st_dev, stat.st_ino };
	return result;
}

bool percpu__file_is(int fd, struct percpu__file_id id)
{
	struct percpu__file_id now;

	return percpu__file_identify(fd, &now) == 0 && now.device == id.device &&
	       now.inode == id.inode;
}

void percpu__file_close(int fd, struct percpu__file_id id)
{
	if (percpu__file_is(fd, id))
		percpu__close(fd);
}

int percpu__memfd_create_unlisted(struct percpu__memfd *file, const char *name, uint64_t bytes)
{
	int result;

	if (is_beyond_limit(bytes))
		return -EFBIG;
	file->fd = make_any(name);
	if (file->fd < 0)
		return file->fd;
	result = sys_ftruncate(file->fd, bytes);
	if (result == 0)
		result = percpu__file_identify(file->fd, &file->id);
	if (result < 0)
		percpu__close(file->fd);
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
	/*
	 * The range was reserved a moment ago, which told whether the kernel
	 * would fill this mapping.
	 */
	const bool locked = percpu__new_ones_are_locked();
	const int protection = locked ? PROT_NONE : PROT_READ | PROT_WRITE;
	const intptr_t got = sys_mmap(start, bytes, protection,
				      MAP_SHARED | MAP_FIXED | MAP_NORESERVE, file->fd, offset);

	if (got < 0)
		return (int)got;
	if (!locked)
		return 0;
	sys_munlock(start, bytes);
	return sys_mprotect(start, bytes, PROT_READ | PROT_WRITE);
}

int percpu__memfd_seal(const struct percpu__memfd *file)
{
	const int size = F_SEAL_SHRINK | F_SEAL_GROW;
	const int result = sys_add_seals(file->fd, size | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL);

	/* Linux before 5.1 refuses F_SEAL_FUTURE_WRITE. */
	return result == -EINVAL ? sys_add_seals(file->fd, size | F_SEAL_SEAL) : result;
}

int64_t percpu__memfd_seek_data(const struct percpu__memfd *file, uint64_t offset)
{
	return percpu__file_is(file->fd, file->id) ? percpu__seek_data(file->fd, offset) : -EBADF;
}

int64_t percpu__memfd_seek_hole(const struct percpu__memfd *file, uint64_t offset)
{
	return percpu__file_is(file->fd, file->id) ? percpu__seek_hole(file->fd, offset) : -EBADF;
}

/* ---- the reader's side ---- */

/* Finds the device of all memfds from one of our own. It is the same while the kernel runs. */
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
	uint64_t device;

	return find_device(&device);
}

/*
 * No other file system has the device, nor do huge pages; SysV segments, on it
 * too, have no descriptors.
 */
static bool is_memfd(int fd, uint64_t device)
{
	struct stat stat;

	return sys_fstat(fd, &stat) == 0 && stat.st_dev == device && S_ISREG(stat.st_mode) &&
	       sys_get_seals(fd) >= 0;
}

int percpu__open_memfd(const char *path)
{
	uint64_t device;
	const int error = find_device(&device);
	int fd;

	if (error < 0)
		return error;
	/* Opening neither blocks nor acquires a terminal, whatever the file is. */
	fd = sys_open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd >= 0 && !is_memfd(fd, device)) {
		percpu__close(fd);
		fd = -EINVAL;
	}
	return fd;
}

int percpu__file_facts(int fd, struct percpu__file_facts *facts)
{
	struct stat stat;
	const int result = sys_fstat(fd, &stat);

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
	size_t filled = 0;
	ssize_t got = 0;

	if (offset > INT64_MAX - bytes)
		return -EOVERFLOW;
	do {
		got = sys_pread(fd, (char *)buffer + filled, bytes - filled, offset + filled);
		if (got > 0)
			filled += got;
	} while ((got > 0 && filled < bytes) || got == -EINTR);
	return got < 0 ? got : (ssize_t)filled;
}

int64_t percpu__seek_data(int fd, uint64_t offset)
{
	return offset > INT64_MAX ? -ENXIO : sys_lseek(fd, offset, SEEK_DATA);
}

int64_t percpu__seek_hole(int fd, uint64_t offset)
{
	return offset > INT64_MAX ? -ENXIO : sys_lseek(fd, offset, SEEK_HOLE);
}
