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
 * Areas come from the default pool, past the watchers of allocations: a variable is no leak. malloc is
 * not called under the lock, which a fork takes after a malloc of the program's may have taken its own.
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
static unsigned nr_modules_at_start;      /* when this library came up */
static bool has_exit_handler, is_exiting;

/* A walk over the modules, oldest first, to the one that holds an address. */
struct walk {
	uintptr_t address; /* 0: to the end */
	unsigned nr_before;
};

static int step(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct walk *walk = arg;

	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const uintptr_t start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;

		if (info->dlpi_phdr[i].p_type == PT_LOAD && walk->address - start < info->dlpi_phdr[i].p_memsz)
			return 1;
	}
	walk->nr_before++;
	return 0;
}

static unsigned nr_modules_before(uintptr_t address)
{
	struct walk walk = { .address = address };

	dl_iterate_phdr(step, &walk);
	return walk.nr_before;
}

/* All that the process starts with is mapped before any constructor runs; later modules stand behind. */
__attribute__((constructor(PERCPU__STATIC_PRIORITY))) static void note_start(void)
{
	nr_modules_at_start = nr_modules_before(0);
}

static bool is_from_start(const void *key)
{
	return !nr_modules_at_start || nr_modules_before((uintptr_t)key) < nr_modules_at_start;
}

void percpu__static_lock_for_fork(void)
{
	percpu__lock_for_fork(&lock);
}

void percpu__static_unlock_after_fork(void)
{
	percpu__unlock_after_fork(&lock);
}

static void begin_exit(void)
{
	percpu__lock(&lock);
	is_exiting = true;
	percpu__unlock(&lock);
}

/* Gives back the areas set aside. Returns: their attachments, chained, for the caller to free unlocked. */
static struct attachment *take_set_aside(void)
{
	struct attachment **link = &attachments, *gone = NULL;

	while (*link) {
		struct attachment *found = *link;

		if (!found->set_aside) {
			link = &found->next;
			continue;
		}
		*link = found->next;
		percpu__pool_return(found->area);
		found->next = gone;
		gone = found;
	}
	return gone;
}

static void free_chain(struct attachment *chain)
{
	while (chain) {
		struct attachment *next = chain->next;

		free(chain);
		chain = next;
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

/* Fills in and enters what the caller allocated. */
static void attach(struct attachment *made, const void *initial, size_t size, size_t align)
{
	struct percpu_pool *pool = percpu__pool_default();
	const uint32_t granules = (size + PERCPU__GRANULE - 1) >> PERCPU__GRANULE_SHIFT;
	const uint32_t align_granules = align > PERCPU__GRANULE ? align >> PERCPU__GRANULE_SHIFT : 1;

	if (size > PERCPU_MAX_SIZE || align > PERCPU_MAX_ALIGN)
		percpu__die("static per-CPU variables of module at", made->key, "fit in PERCPU_MAX_SIZE bytes");
	if (!pool || !(made->area = percpu__pool_take_zeroed(pool, granules, align_granules)))
		percpu__die("no memory for static per-CPU variables of module at", made->key, "they cannot fail");
	if (initial)
		initialise(made->area, initial, size);
	if (!made->from_start && !has_exit_handler) {
		has_exit_handler = true;
		percpu__at_exit(begin_exit);
	}
	made->next = attachments;
	attachments = made;
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
	struct attachment *made = malloc(sizeof(*made)), *found, *gone;
	void __percpu *area;

	if (!made)
		percpu__die("no memory for static per-CPU variables of module at", key, "they cannot fail");
	*made = (struct attachment){ .key = key, .from_start = is_from_start(key) };
	percpu__lock(&lock);
	gone = take_set_aside();
	found = find(key);
	if (!found) {
		attach(made, initial, size, align);
		found = made;
	}
	area = found->area;
	percpu__unlock(&lock);
	if (found != made)
		free(made);
	free_chain(gone);
	return area;
}

void percpu_static_detach(const void *key)
{
	struct attachment *found, *gone = NULL;

	percpu__lock(&lock);
	found = is_exiting ? NULL : find(key);
	if (found)
		found->set_aside = true;
	if (found && !found->from_start)
		gone = take_set_aside();
	percpu__unlock(&lock);
	free_chain(gone);
}
