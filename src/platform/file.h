/* SPDX-License-Identifier: MIT */
/* Files: file.c (/sys and /proc), memfd.c (memory that other processes may read). */
#ifndef PERCPU_PLATFORM_FILE_H
#define PERCPU_PLATFORM_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- file.c ---- */

/*
 * Opens for reading. No function of this layer is a point of cancellation. Returns:
 * a descriptor or -errno.
 */
int percpu__open(const char *path);
void percpu__close(int fd);

/*
 * percpu__read_file - up to size - 1 bytes of a file, and a zero byte.
 * Context: async-signal-safe.
 * Returns: the number of bytes, or -errno (-EFBIG: the file is longer).
 */
ssize_t percpu__read_file(const char *path, char *buffer, size_t size);

/* ---- memfd.c ---- */

/* The identity of a file, whatever its name or descriptor. */
struct percpu__file_id {
	uint64_t device, inode;
};

struct percpu__memfd {
	int fd;
	struct percpu__file_id id;
};

/* Makes a file of bytes, all of them a hole. A long name is cut. Returns: 0 or -errno. */
int percpu__memfd_create(struct percpu__memfd *file, const char *name, uint64_t bytes);

/* As percpu__memfd_create, but unknown to the ledger. Closed by percpu__close. */
int percpu__memfd_create_unlisted(struct percpu__memfd *file, const char *name, uint64_t bytes);
void percpu__memfd_close(const struct percpu__memfd *file);

/*
 * Maps part of the file over a reserved range, readable, writable and shared with children.
 * Returns: 0 or -errno.
 */
int percpu__memfd_map(const struct percpu__memfd *file, uint64_t offset, void *start, size_t bytes);

/* Fixes the size, and allows no writable mapping besides those that exist. Returns: 0 or -errno. */
int percpu__memfd_seal(const struct percpu__memfd *file);

/*
 * As percpu__seek_data and percpu__seek_hole. Returns: also -EBADF (the program
 * has closed the file).
 */
int64_t percpu__memfd_seek_data(const struct percpu__memfd *file, uint64_t offset);
int64_t percpu__memfd_seek_hole(const struct percpu__memfd *file, uint64_t offset);

/*
 * Returns: 0 if percpu__open_memfd can work here, or the -errno of a memfd that could not be made.
 */
int percpu__can_tell_memfds(void);

/*
 * Opens a file of percpu__memfd_create in another process, for reading. Returns: also -EINVAL
 * (another kind of file).
 */
int percpu__open_memfd(const char *path);

/*
 * Programs close descriptors that they never opened, as daemons do at start, and get the number for
 * a file of their own. Therefore a descriptor that the library keeps is identified when it is new.
 * Returns: identify: 0 or -errno; is: true if fd is still that file. close: closes fd if it is.
 */
int percpu__file_identify(int fd, struct percpu__file_id *id);
bool percpu__file_is(int fd, struct percpu__file_id id);
void percpu__file_close(int fd, struct percpu__file_id id);

struct percpu__file_facts {
	uint64_t inode;
	uint32_t user;       /* the owner */
	uint64_t bytes;      /* the size */
	uint64_t held_bytes; /* of memory and swap */
};
int percpu__file_facts(int fd, struct percpu__file_facts *facts);

/* Returns: the bytes read, fewer than asked only at the end of the file; or -errno. */
ssize_t percpu__read_at(int fd, void *buffer, size_t bytes, uint64_t offset);

/*
 * Returns: the offset of the first data, or hole, at or after offset; -ENXIO: none. Fills no hole.
 */
int64_t percpu__seek_data(int fd, uint64_t offset);
int64_t percpu__seek_hole(int fd, uint64_t offset);

#endif
