/* SPDX-License-Identifier: MIT */
/*
 * Owns the facts about other processes that /proc tells: their descriptors, their user, whether
 * they still run.
 */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/platform.h"
#include "platform/sys.h"

/* An entry of getdents64, whose header not every libc has. */
struct entry {
	uint64_t inode;
	int64_t next;
	uint16_t bytes;
	uint8_t type;
	char name[];
};

/* -1: the name is no number. */
static int number_of(const char *name)
{
	int64_t number = 0;
	const char *at = name;

	for (; *at >= '0' && *at <= '9' && number < INT32_MAX; at++)
		number = 10 * number + (*at - '0');
	return at != name && !*at && number <= INT32_MAX ? (int)number : -1;
}

static void close_folder(void *fd)
{
	percpu__close(*(int *)fd);
}

static int visit_entries(int fd, int (*visit)(int number, void *arg), void *arg)
{
	char buffer[4096] __attribute__((aligned(8)));
	int result = 0;
	long got;

	do {
		got = sys_getdents(fd, buffer, sizeof(buffer));
		for (long at = 0; at < got && !result;) {
			const struct entry *entry = (const struct entry *)(buffer + at);
			const int number = number_of(entry->name);

			at += entry->bytes;
			if (number >= 0)
				result = visit(number, arg);
		}
	} while (got > 0 && !result);
	return got < 0 && !result ? (int)got : result;
}

int percpu__for_each_number(const char *path, int (*visit)(int number, void *arg), void *arg)
{
	int fd = sys_open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), result = fd < 0 ? fd : 0;

	if (fd >= 0) {
		/* No call of ours lets a thread be cancelled, but visit may. */
		pthread_cleanup_push(close_folder, &fd);
		result = visit_entries(fd, visit, arg);
		pthread_cleanup_pop(1);
	}
	return result;
}

ssize_t percpu__read_link(const char *path, char *text, size_t size)
{
	const ssize_t got = sys_readlink(path, text, size - 1);

	if (got >= 0)
		text[got] = '\0';
	return got;
}

bool percpu__link_can_write(const char *path)
{
	struct stat stat;

	return sys_lstat(path, &stat) == 0 && (stat.st_mode & S_IWUSR);
}

pid_t percpu__own_pid(void)
{
	return getpid();
}

/* A process that is not dumpable looks like root's from outside, so that its status is asked. */
int64_t percpu__process_user(pid_t pid)
{
	char path[64], text[4096];
	const char *line;
	struct stat stat;
	int64_t user;

	snprintf(path, sizeof(path), "/proc/%d", pid);
	user = sys_lstat(path, &stat);
	if (user == 0)
		user = stat.st_uid;
	if (user)
		return user;
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	if (percpu__read_file(path, text, sizeof(text)) < 0)
		return user;
	line = strstr(text, "\nUid:");
	if (line && (line = strchr(line + 6, '\t')) && (line = strchr(line + 1, '\t'))) /* the second of four */
		user = strtoul(line + 1, NULL, 10);
	return user;
}

int percpu__pidfd_open(pid_t pid)
{
	return sys_pidfd_open(pid); /* the kernel sets its close-on-exec flag */
}

bool percpu__has_ended(int pidfd)
{
	struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };
	const struct timespec now = { 0, 0 };

	return sys_call(syscall(SYS_ppoll, &poll_fd, 1, &now, NULL, 0)) > 0;
}
