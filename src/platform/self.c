/* SPDX-License-Identifier: MIT */
/*
 * Owns the identity of this process, for the library in it and for processes that
 * share memory with it.
 *
 * The generation is a different number in each child that has memory of its own. A child that was
 * made without the handlers of pthread_atfork is noticed by a page that the kernel wipes in it
 * (Linux 4.14), at the cost of a load; without such a page by its process number, at the cost of a
 * call. Numbers come from a count of which a child has a copy: no two processes of one line of
 * descent have the same.
 *
 * The word consists of the process number and the start time of the process. Other processes of the
 * same namespaces can tell whether that process has ended, and do not mistake a later process with
 * the same number for it.
 *
 *	word:	| start time, in clock ticks since boot: 42 bits | process number: 22 bits |
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/platform.h"
#include "platform/sys.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

/* ---- the generation ---- */

#define PID_SHIFT 32
#define NO_PAGE ((uint64_t *)8)

static uint64_t last_generation; /* at least that of every process of this line of descent */
static uint64_t *wiped;          /* the page: its first word is the generation, 0 in a child; or NO_PAGE */
static uint64_t of_pid;          /* without the page: generation << PID_SHIFT | its process number */

static uint64_t next_generation(void)
{
	return __atomic_add_fetch(&last_generation, 1, __ATOMIC_SEQ_CST);
}

/*
 * Returns: true if the kernel wipes the page in children. An emulated kernel that accepts any
 * advice is not trusted.
 */
static bool wipes(void *page, size_t bytes)
{
	return sys_madvise(page, bytes, -1) < 0 && sys_madvise(page, bytes, MADV_WIPEONFORK) == 0;
}

static uint64_t *make_page(void)
{
	const size_t bytes = percpu__page_bytes();
	uint64_t *page = percpu__map(bytes), *found = NULL, *made = page;

	if (page && !wipes(page, bytes)) {
		percpu__release(page, bytes);
		page = NULL;
	}
	made = page ? page : NO_PAGE;
	if (__atomic_compare_exchange_n(&wiped, &found, made, false, __ATOMIC_ACQ_REL,
					__ATOMIC_ACQUIRE))
		return made;
	if (page)
		percpu__release(page, bytes);
	return found;
}

static uint64_t generation_by_pid(void)
{
	const uint64_t pid = (uint32_t)percpu__own_pid();
	uint64_t known = __atomic_load_n(&of_pid, __ATOMIC_RELAXED), now;

	while ((uint32_t)known != pid) {
		now = next_generation() << PID_SHIFT | pid;
		if (__atomic_compare_exchange_n(&of_pid, &known, now, false, __ATOMIC_RELAXED,
						__ATOMIC_RELAXED))
			known = now;
	}
	return known >> PID_SHIFT;
}

uint64_t percpu__generation(void)
{
	uint64_t *page = __atomic_load_n(&wiped, __ATOMIC_ACQUIRE), known, now; /* pairs with make_page */

	if (percpu__unlikely(!page))
		page = make_page();
	if (percpu__unlikely(page == NO_PAGE))
		return generation_by_pid();
	known = __atomic_load_n(page, __ATOMIC_RELAXED);
	if (percpu__likely(known))
		return known;
	now = next_generation();
	return __atomic_compare_exchange_n(page, &known, now, false, __ATOMIC_RELAXED,
					   __ATOMIC_RELAXED)
		       ? now
		       : known;
}

void percpu__generation_forked(void)
{
	__atomic_store_n(&of_pid, 0, __ATOMIC_RELAXED);
}

/* ---- the word ---- */

#define NR_BITS 22 /* Linux has no greater process numbers */
#define NR_MASK ((UINT64_C(1) << NR_BITS) - 1)

struct facts {
	uint64_t pid;
	char state;
	uint64_t nr_threads, start;
};

/* Reads the beginning of a file in /proc. Returns: false if it cannot be read. */
static bool read_text(const char *path, char *text, size_t size)
{
	const int fd = percpu__open(path);
	ssize_t got;

	if (fd < 0)
		return false;
	got = percpu__read_at(fd, text, size - 1, 0);
	percpu__close(fd);
	text[got > 0 ? got : 0] = '\0';
	return got > 0;
}

/*
 * Parses /proc/PID/stat. Its second field may contain anything, so fields are counted
 * from the last parenthesis.
 */
static bool read_facts(const char *path, struct facts *facts)
{
	char text[1024], *at;

	if (!read_text(path, text, sizeof(text)) || !(at = strrchr(text, ')')) || strlen(at) < 3)
		return false;
	facts->pid = strtoull(text, NULL, 10);
	at += 2;
	facts->state = *at;
	for (unsigned field = 3; field < 22 && at; field++) {
		if (field == 20)
			facts->nr_threads = strtoull(at, NULL, 10);
		at = strchr(at, ' ');
		at = at ? at + 1 : NULL;
	}
	if (!at)
		return false;
	facts->start = strtoull(at, NULL, 10);
	return true;
}

uint64_t percpu__process_word(void)
{
	struct facts facts;

	if (!read_facts("/proc/self/stat", &facts) || facts.pid != (uint64_t)percpu__own_pid() ||
	    facts.pid > NR_MASK)
		return 0;
	return facts.start << NR_BITS | facts.pid;
}

/* Returns: the number in a link such as "pid:[4026531836]"; 0 if it has none. */
static uint64_t namespace_of(const char *path)
{
	char text[64];
	const char *at;

	if (percpu__read_link(path, text, sizeof(text)) < 0 || !(at = strchr(text, '[')))
		return 0;
	return strtoull(at + 1, NULL, 10);
}

/*
 * Returns: true if /proc numbers processes as this process does; /proc of another
 * container may be mounted.
 */
static bool is_proc_ours(void)
{
	char text[2048], *at, *end;
	unsigned long pid;

	if (!read_text("/proc/self/status", text, sizeof(text)))
		return false;
	at = strstr(text, "\nNSpid:");
	if (!at)
		return true; /* Linux before 4.1 does not tell */
	pid = strtoul(at + sizeof("\nNSpid:") - 1, &end, 10);
	return pid == (unsigned long)percpu__own_pid() && *end == '\n';
}

uint64_t percpu__process_space(void)
{
	const uint64_t pids = namespace_of("/proc/self/ns/pid");

	return pids && is_proc_ours() ? pids << 32 | (uint32_t)namespace_of("/proc/self/ns/time")
				      : 0;
}

bool percpu__process_is_gone(uint64_t word)
{
	const pid_t pid = word & NR_MASK;
	struct facts facts;
	char path[64];

	if (!pid)
		return false;
	if (sys_kill(pid, 0) == -ESRCH)
		return true;
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	if (!read_facts(path, &facts))
		return false;
	/* The first thread of a process may have ended before the others. */
	return facts.start != word >> NR_BITS ||
	       ((facts.state == 'Z' || facts.state == 'X') && facts.nr_threads <= 1);
}
