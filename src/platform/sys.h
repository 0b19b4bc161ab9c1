/* SPDX-License-Identifier: MIT */
/*
 * Owns the system calls of this layer: thin wrappers that return the result of a call, or -errno,
 * and leave the errno of the program alone. They call libc's functions, which sanitizers and
 * Valgrind know; calls that libc makes points of cancellation (open, read, close) are made by
 * number, since nobody expects an allocation, which may hold a lock, to be cancelled.
 */
#ifndef PERCPU_PLATFORM_SYS_H
#define PERCPU_PLATFORM_SYS_H

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* The result of an expression that is -1 with errno where it failed: that, or -errno. */
#define sys_call(expression)                                                                                 \
	__extension__({                                                                                      \
		const int sys_errno = errno;                                                                 \
		long sys_result = (long)(expression);                                                        \
		if (sys_result == -1)                                                                        \
			sys_result = -errno;                                                                 \
		errno = sys_errno;                                                                           \
		sys_result;                                                                                  \
	})

/* ---- memory ---- */

/* Returns: the address, or -errno. */
static inline intptr_t sys_mmap(void *start, size_t bytes, int protection, int flags, int fd,
				uint64_t offset)
{
	return sys_call(mmap(start, bytes, protection, flags, fd, (off_t)offset));
}

static inline int sys_munmap(void *start, size_t bytes)
{
	return sys_call(munmap(start, bytes));
}

static inline int sys_mprotect(void *start, size_t bytes, int protection)
{
	return sys_call(mprotect(start, bytes, protection));
}

static inline int sys_madvise(void *start, size_t bytes, int advice)
{
	return sys_call(madvise(start, bytes, advice));
}

static inline int sys_mlock2(void *start, size_t bytes, int flags)
{
	return sys_call(syscall(SYS_mlock2, start, bytes, flags));
}

static inline int sys_munlock(void *start, size_t bytes)
{
	return sys_call(munlock(start, bytes));
}

static inline int sys_mincore(void *start, size_t bytes, unsigned char *present)
{
	return sys_call(mincore(start, bytes, present));
}

static inline int sys_mbind(void *start, size_t bytes, int mode, const unsigned long *nodes,
			    unsigned long nr_bits)
{
	return sys_call(syscall(SYS_mbind, start, bytes, mode, nodes, nr_bits, 0));
}

static inline int sys_get_mempolicy(int *mode, void *address, unsigned long flags)
{
	return sys_call(syscall(SYS_get_mempolicy, mode, NULL, 0, address, flags));
}

static inline int sys_move_pages(unsigned long nr, void **pages, const int *nodes, int *status)
{
	return sys_call(syscall(SYS_move_pages, 0, nr, pages, nodes, status, 0));
}

static inline int sys_membarrier(int command)
{
	return sys_call(syscall(SYS_membarrier, command, 0, 0));
}

/* ---- files ---- */

static inline int sys_open(const char *path, int flags)
{
	return sys_call(syscall(SYS_openat, AT_FDCWD, path, flags));
}

static inline int sys_close(int fd)
{
	return sys_call(syscall(SYS_close, fd));
}

static inline ssize_t sys_read(int fd, void *buffer, size_t bytes)
{
	return sys_call(syscall(SYS_read, fd, buffer, bytes));
}

static inline ssize_t sys_pread(int fd, void *buffer, size_t bytes, uint64_t offset)
{
	return sys_call(syscall(SYS_pread64, fd, buffer, bytes, offset));
}

static inline ssize_t sys_getdents(int fd, void *buffer, size_t bytes)
{
	return sys_call(syscall(SYS_getdents64, fd, buffer, bytes));
}

static inline int64_t sys_lseek(int fd, uint64_t offset, int whence)
{
	return sys_call(lseek(fd, (off_t)offset, whence));
}

static inline int sys_fstat(int fd, struct stat *stat)
{
	return sys_call(fstat(fd, stat));
}

static inline int sys_lstat(const char *path, struct stat *stat)
{
	return sys_call(lstat(path, stat));
}

static inline ssize_t sys_readlink(const char *path, char *text, size_t bytes)
{
	return sys_call(readlink(path, text, bytes));
}

static inline int sys_ftruncate(int fd, uint64_t bytes)
{
	return sys_call(ftruncate(fd, (off_t)bytes));
}

static inline int sys_add_seals(int fd, int seals)
{
	return sys_call(fcntl(fd, F_ADD_SEALS, seals));
}

static inline int sys_get_seals(int fd)
{
	return sys_call(fcntl(fd, F_GET_SEALS));
}

static inline int sys_memfd_create(const char *name, unsigned flags)
{
	return sys_call(syscall(SYS_memfd_create, name, flags));
}

static inline int sys_ioctl(int fd, unsigned long request, void *arg)
{
	return sys_call(ioctl(fd, request, arg));
}

/* ---- processes and CPUs ---- */

static inline int sys_kill(pid_t pid, int signal)
{
	return sys_call(kill(pid, signal));
}

static inline int sys_pidfd_open(pid_t pid)
{
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434 /* Linux 5.3; the same number everywhere */
#endif
	return sys_call(syscall(SYS_pidfd_open, pid, 0));
}

static inline int sys_getrlimit(int resource, struct rlimit *limit)
{
	return sys_call(getrlimit(resource, limit));
}

static inline int sys_getrusage(int who, struct rusage *usage)
{
	return sys_call(getrusage(who, usage));
}

static inline int sys_clock_gettime(clockid_t clock, struct timespec *now)
{
	return sys_call(clock_gettime(clock, now));
}

/* By libc, which asks the vDSO where there is one. */
static inline int sys_getcpu(void)
{
	return sys_call(sched_getcpu());
}

/* Returns: the bytes of the mask that the kernel wrote, or -errno. */
static inline ssize_t sys_sched_getaffinity(size_t bytes, unsigned long *mask)
{
	return sys_call(syscall(SYS_sched_getaffinity, 0, bytes, mask));
}

static inline long sys_sysconf(int name)
{
	return sys_call(sysconf(name));
}

#endif
