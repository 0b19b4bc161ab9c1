/* SPDX-License-Identifier: MIT */
/*
 * Owns the search for published pools: descriptors of processes whose link in /proc has the name of
 * such a file. Descriptors that cannot write belong to readers and are skipped. A link's text is up
 * to the process that made it; percpu__open_memfd verifies that it leads to a memfd. All memfds are
 * on one device, so the inode number identifies a file.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "publish/publish.h"

#define LINK_PREFIX "/memfd:" PERCPU__FILE_PREFIX
#define LINK_SUFFIX " (deleted)"

struct search {
	int (*visit)(const struct percpu_publisher *publisher, void *arg);
	void *arg;
	pid_t pid;
	uid_t user;             /* of the process */
	uint64_t deadline_ns;   /* in CPU time of the thread; 0: none */
	unsigned nr_looked_at;
	bool is_late;
};

#define LOOKS_PER_TIME 64u /* descriptors between two readings of the clock */

/* Returns: the pool's name, cut out of the link's text in place; NULL if it is another file. */
static const char *name_of(char *link)
{
	const size_t prefix = sizeof(LINK_PREFIX) - 1, suffix = sizeof(LINK_SUFFIX) - 1,
		     length = strlen(link);

	if (length < prefix + suffix || strncmp(link, LINK_PREFIX, prefix) ||
	    strcmp(link + length - suffix, LINK_SUFFIX))
		return NULL;
	link[length - suffix] = '\0';
	return link + prefix;
}

static int visit_fd(int number, void *arg)
{
	struct search *search = arg;
	struct percpu_publisher publisher = { .pid = search->pid,
					      .fd = number,
					      .process_user = search->user };
	struct percpu__file_facts facts;
	char path[64], link[512];
	int fd, known;

	if (search->deadline_ns && search->nr_looked_at++ % LOOKS_PER_TIME == 0 &&
	    percpu__thread_time() >= search->deadline_ns) {
		search->is_late = true;
		return -ETIME;
	}
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
	publisher.user = facts.user;
	publisher.held_bytes = facts.held_bytes;
	return search->visit(&publisher, search->arg);
}

static int search_process(struct search *search)
{
	const int64_t user = percpu__process_user(search->pid);
	char path[64];

	if (user < 0)
		return user;
	search->user = user;
	snprintf(path, sizeof(path), "/proc/%d/fd", search->pid);
	return percpu__for_each_number(path, visit_fd, search);
}

/* A process that has ended or denies access counts as having no pools. */
static int search_if_there(struct search *search, pid_t pid)
{
	int result;

	search->pid = pid;
	result = search_process(search);
	return result == -ENOENT || result == -EACCES || result == -ESRCH ? 0 : result;
}

static int visit_process(int number, void *arg)
{
	return search_if_there(arg, number);
}

int percpu_publishers(pid_t pid, int (*visit)(const struct percpu_publisher *publisher, void *arg),
		      void *arg)
{
	struct search search = { .visit = visit, .arg = arg, .pid = pid };
	const int error = percpu__can_tell_memfds();

	if (error)
		return error;
	return pid ? search_process(&search)
		   : percpu__for_each_number("/proc", visit_process, &search);
}

/* ---- user by user ---- */

struct process {
	pid_t pid;
	uid_t user;
	size_t nr_of_user; /* processes */
};

struct processes {
	size_t nr, capacity;
	struct process *process;
};

static int note_process(int number, void *arg)
{
	struct processes *all = arg;
	const int64_t user = percpu__process_user(number);

	if (user < 0)
		return 0; /* it has ended */
	if (all->nr == all->capacity) {
		const size_t capacity = all->capacity ? 2 * all->capacity : 256;
		struct process *grown = reallocarray(all->process, capacity, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		all->process = grown;
		all->capacity = capacity;
	}
	all->process[all->nr++] = (struct process){ .pid = number, .user = user };
	return 0;
}

static int by_user(const void *a, const void *b)
{
	const struct process *x = a, *y = b;

	return x->user != y->user ? (x->user > y->user) - (x->user < y->user)
				  : (x->pid > y->pid) - (x->pid < y->pid);
}

static int by_number(const void *a, const void *b)
{
	const struct process *x = a, *y = b;

	return x->nr_of_user != y->nr_of_user
		       ? (x->nr_of_user > y->nr_of_user) - (x->nr_of_user < y->nr_of_user)
		       : by_user(a, b);
}

/* Sorts by the number of processes of the user, fewest first. Returns: the number of users. */
static size_t sort_processes(struct processes *all)
{
	size_t nr_users = 0, end;

	if (!all->nr)
		return 0;
	qsort(all->process, all->nr, sizeof(*all->process), by_user);
	for (size_t first = 0; first < all->nr; first = end, nr_users++) {
		for (end = first;
		     end < all->nr && all->process[end].user == all->process[first].user; end++)
			;
		for (size_t i = first; i < end; i++)
			all->process[i].nr_of_user = end - first;
	}
	qsort(all->process, all->nr, sizeof(*all->process), by_number);
	return nr_users;
}

int percpu_publishers_within(uint64_t nanoseconds,
			     int (*visit)(const struct percpu_publisher *publisher, void *arg),
			     void (*missed)(uid_t process_user, void *arg), void *arg)
{
	struct search search = { .visit = visit, .arg = arg };
	const uint64_t deadline_ns = percpu__thread_time() + nanoseconds;
	struct processes all = { .nr = 0 };
	int result = percpu__can_tell_memfds();
	size_t nr_users;

	if (!result)
		result = percpu__for_each_number("/proc", note_process, &all);
	nr_users = sort_processes(&all);
	for (size_t first = 0; first < all.nr && !result;
	     first += all.process[first].nr_of_user, nr_users--) {
		const uint64_t now = percpu__thread_time();

		search.deadline_ns = now < deadline_ns ? now + (deadline_ns - now) / nr_users : 1;
		for (size_t i = first; i < first + all.process[first].nr_of_user && !result; i++)
			result = search_if_there(&search, all.process[i].pid);
		if (!search.is_late)
			continue;
		missed(all.process[first].user, arg);
		search.is_late = false;
		result = 0;
	}
	free(all.process);
	return result;
}
