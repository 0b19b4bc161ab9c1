/* SPDX-License-Identifier: MIT */
/*
 * Owns per-CPU variables of modules: the program, the libraries it starts with, and plugins.
 *
 * A module attaches each of its variables (or its whole section of them) in a constructor and detaches
 * it in a destructor. Destructors run at dlclose(), when the memory shall go, and at process exit, when
 * it must not: other threads may still count. Plugins are told apart by an exit handler: registered
 * when main already runs, it comes before all destructors. Of libraries that the process started with,
 * it would come after, for the loader registers its own handler in between; so what they detach is only
 * set aside. Should it have been a dlclose() after all, the next module that attaches frees it.
 *
 * Areas come from the default pool, past the watchers of allocations: a variable is no leak.
 */
#include <link.h>
#include <stdlib.h>
#include <string.h>

#include "percpu/percpu.h"

#include <percpu/static.h>

struct attachment {
	const void *key;
	void __percpu *area;
	bool from_start; /* its module may be one that the process started with */
	bool set_aside;  /* detached, not freed */
	struct attachment *next;
};

static struct percpu__lock lock = PERCPU__LOCK_INIT(PERCPU__RANK_STATIC);
static struct attachment *attachments;   /* this and all below: lock */
static unsigned long long loads_at_start; /* modules loaded so far, when this library came up */
static bool has_start, has_fork_handlers, has_exit_handler, is_exiting;

static int read_loads(struct dl_phdr_info *info, size_t size, void *loads)
{
	*(unsigned long long *)loads = info->dlpi_adds;
	return 1;
}

/* Whether no module was loaded since this library was. */
static bool is_from_start(void)
{
	unsigned long long loads = 0;

	dl_iterate_phdr(read_loads, &loads);
	if (!has_start) {
		has_start = true;
		loads_at_start = loads;
	}
	return loads == loads_at_start;
}

__attribute__((constructor(PERCPU__STATIC_PRIORITY))) static void note_start(void)
{
	percpu__lock(&lock);
	is_from_start();
	percpu__unlock(&lock);
}

static void before_fork(void)
{
	percpu__lock(&lock);
}

static void after_fork(void)
{
	percpu__unlock(&lock);
}

static void begin_exit(void)
{
	percpu__lock(&lock);
	is_exiting = true;
	percpu__unlock(&lock);
}

/* Called once the pools are ready: fork handlers run last registered first, and the lowest rank must be first. */
static void add_handlers(bool from_start)
{
	if (!has_fork_handlers) {
		has_fork_handlers = true;
		pthread_atfork(before_fork, after_fork, after_fork);
	}
	if (!from_start && !has_exit_handler) {
		has_exit_handler = true;
		percpu__at_exit(begin_exit);
	}
}

/* Frees what was set aside. */
static void free_set_aside(void)
{
	struct attachment **link = &attachments, *gone;

	while ((gone = *link)) {
		if (!gone->set_aside) {
			link = &gone->next;
			continue;
		}
		*link = gone->next;
		percpu__pool_return(gone->area);
		free(gone);
	}
}

/* Copies granule by granule what is not zero, so that copies of zeros stay without pages. */
static void initialise(void __percpu *area, const void *initial, size_t size)
{
	percpu_for_each_copy(i) {
		char *copy = percpu_ptr((char *)(uintptr_t)area, i);

		for (size_t at = 0, n; at < size; at += n) {
			static const char zeros[PERCPU__GRANULE];

			n = size - at < sizeof(zeros) ? size - at : sizeof(zeros);
			if (memcmp((const char *)initial + at, zeros, n))
				memcpy(copy + at, (const char *)initial + at, n);
		}
	}
}

static struct attachment *attach(const void *key, const void *initial, size_t size, size_t align)
{
	struct attachment *made = malloc(sizeof(*made));
	struct percpu_pool *pool = percpu__pool_default();
	const uint32_t granules = (size + PERCPU__GRANULE - 1) >> PERCPU__GRANULE_SHIFT;
	const uint32_t align_granules = align > PERCPU__GRANULE ? align >> PERCPU__GRANULE_SHIFT : 1;

	if (size > PERCPU_MAX_SIZE || align > PERCPU_MAX_ALIGN)
		percpu__die("static per-CPU variables of module at", key, "fit in PERCPU_MAX_SIZE bytes");
	if (!made || !pool || !(made->area = percpu__pool_take_zeroed(pool, granules, align_granules)))
		percpu__die("no memory for static per-CPU variables of module at", key, "they cannot fail");
	if (initial)
		initialise(made->area, initial, size);
	made->key = key;
	made->set_aside = false;
	made->from_start = is_from_start();
	add_handlers(made->from_start);
	made->next = attachments;
	return attachments = made;
}

static struct attachment *find(const void *key)
{
	struct attachment *found = attachments;

	while (found && (found->key != key || found->set_aside))
		found = found->next;
	return found;
}

void __percpu *percpu_static_attach(const void *key, const void *initial, size_t size, size_t align)
{
	struct attachment *found;
	void __percpu *area;

	percpu__lock(&lock);
	free_set_aside();
	found = find(key);
	if (!found)
		found = attach(key, initial, size, align);
	area = found->area;
	percpu__unlock(&lock);
	return area;
}

void percpu_static_detach(const void *key)
{
	struct attachment *found;

	percpu__lock(&lock);
	found = is_exiting ? NULL : find(key);
	if (found)
		found->set_aside = true;
	if (found && !found->from_start)
		free_set_aside();
	percpu__unlock(&lock);
}
