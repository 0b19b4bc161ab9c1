/* SPDX-License-Identifier: MIT */
/*
 * Owns the search for published pools: descriptors of processes whose link in /proc has the name of such a file.
 * Those that can only read are of readers like us. A link says what its maker likes: percpu__open_memfd tells whether
 * there is a memfd behind it. These are all on one device, so that the inode number alone tells one from another.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "publish/publish.h"

#define LINK_PREFIX "/memfd:" PERCPU__WIRE_PREFIX
#define LINK_SUFFIX " (deleted)"

struct search {
	int (*visit)(const struct percpu_publisher *publisher, void *arg);
	void *arg;
	pid_t pid;
};

/* The name in a link's text, cut out of it; NULL: another file. */
static const char *name_of(char *link)
{
	const size_t prefix = sizeof(LINK_PREFIX) - 1, suffix = sizeof(LINK_SUFFIX) - 1, length = strlen(link);

	if (length < prefix + suffix || strncmp(link, LINK_PREFIX, prefix) || strcmp(link + length - suffix, LINK_SUFFIX))
		return NULL;
	link[length - suffix] = '\0';
	return link + prefix;
}

static int visit_fd(int number, void *arg)
{
	const struct search *search = arg;
	struct percpu_publisher publisher = { .pid = search->pid, .fd = number };
	struct percpu__file_facts facts;
	char path[64], link[512];
	int fd, known;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", search->pid, number);
	if (percpu__read_link(path, link, sizeof(link)) < 0 || !(publisher.name = name_of(link)) ||
	    !percpu__link_can_write(path))
		return 0;
	fd = percpu__open_memfd(path);
	if (fd < 0)
		return 0;
	known = percpu__file_facts(fd, &facts);
	percpu__close(fd);
	if (known < 0)
		return 0;
	publisher.file = facts.inode;
	return search->visit(&publisher, search->arg);
}

static int search_process(struct search *search)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd", search->pid);
	return percpu__for_each_number(path, visit_fd, search);
}

/* A process that has ended meanwhile, or does not let us look, is none of those that do. */
static int visit_process(int number, void *arg)
{
	struct search *search = arg;
	int result;

	search->pid = number;
	result = search_process(search);
	return result == -ENOENT || result == -EACCES || result == -ESRCH ? 0 : result;
}

int percpu_publishers(pid_t pid, int (*visit)(const struct percpu_publisher *publisher, void *arg), void *arg)
{
	struct search search = { .visit = visit, .arg = arg, .pid = pid };
	const int error = percpu__can_tell_memfds();

	if (error)
		return error;
	return pid ? search_process(&search) : percpu__for_each_number("/proc", visit_process, &search);
}
