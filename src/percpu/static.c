/* SPDX-License-Identifier: MIT */
/*
 * Owns static per-CPU variables of modules: the program, its shared libraries, and plugins.
 *
 * A module attaches its variables (each one, or an ELF section of them) in a constructor and
 * detaches them in a destructor. Destructors run at dlclose(), when the memory is to be freed, and
 * at process exit, when it must stay because other threads may still use it. A destructor cannot
 * distinguish the two: exit handlers run before or after the loader's part, depending on the order
 * of registration. So a detached area is only set aside. It is freed once the loader no longer has
 * the module, which is looked up when a module attaches or detaches and at each trim or statistics
 * call. At exit modules stay loaded to the end.
 *
 * A module is identified by its address. A module that attaches for the first time was not there
 * before, so areas set aside for that address belonged to another module. A key that lies in no
 * module is freed when it is detached.
 *
 * Areas come from the default pool and are allocated without the debug hook: a variable is no leak.
 * Neither malloc nor the loader is called under a lock, because their lock holders may call these
 * functions.
 */
#include <link.h>
#include <string.h>

#include "percpu/attachments.h"
#include "percpu/percpu.h"

#include <percpu/static.h>

static uint64_t nr_unloaded; /* modules at the last look at all that is set aside; a hint */

/* ---- modules ---- */

struct walk {
	uintptr_t address;
	const void *module;
};

/* Of dl_iterate_phdr(): stops at the module that contains the address. */
static int step(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct walk *walk = arg;

	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		const uintptr_t start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;

		if (info->dlpi_phdr[i].p_type == PT_LOAD &&
		    walk->address - start < info->dlpi_phdr[i].p_memsz) {
			walk->module = info->dlpi_phdr;
			return 1;
		}
	}
	return 0;
}

/*
 * Returns: the module at the address; NULL if the loader has none.
 * Context: no lock is held, because the loader takes its own.
 */
static const void *module_at(const void *address)
{
	struct walk walk = { .address = (uintptr_t)address };

	dl_iterate_phdr(step, &walk);
	return walk.module;
}

static int read_subs(struct dl_phdr_info *info, size_t size, void *arg)
{
	*(uint64_t *)arg = info->dlpi_subs;
	return 1;
}

/* Returns: the number of modules unloaded so far. Context: as module_at. */
static uint64_t unloaded_so_far(void)
{
	uint64_t nr = 0;

	dl_iterate_phdr(read_subs, &nr);
	return nr;
}

/* ---- set aside ---- */

/* Frees all areas that are set aside and for which is_gone(attachment, arg) is true. */
static void free_all(percpu__is_gone_fn *is_gone, const struct percpu__attachment *arg)
{
	void __percpu *area;

	while ((area = percpu__attachment_take_out(is_gone, arg)))
		percpu__pool_return(area);
}

static bool was_there_before(const struct percpu__attachment *one,
			     const struct percpu__attachment *coming)
{
	return one->key == coming->key || (one->module && one->module == coming->module);
}

static bool is_same(const struct percpu__attachment *one, const struct percpu__attachment *asked)
{
	return one->number == asked->number;
}

/*
 * Asks the loader about copies of the attachments, without the lock: a module that was gone then
 * cannot have come back.
 */
void percpu__static_collect(void)
{
	struct percpu__attachment asked = { .number = 0 };
	uint64_t nr;

	if (!percpu__attachments_set_aside())
		return;
	nr = unloaded_so_far();
	if (nr == __atomic_load_n(&nr_unloaded, __ATOMIC_RELAXED))
		return;
	while (percpu__attachment_next_set_aside(&asked))
		if (module_at(asked.key) != asked.module)
			free_all(is_same, &asked);
	__atomic_store_n(&nr_unloaded, nr, __ATOMIC_RELAXED);
}

/* ---- the public entries ---- */

/* Writes only granules that are not zero, so that zeros allocate no page. */
static void initialise(void __percpu *area, const void *initial, size_t size)
{
	percpu_for_each_copy(i) {
		char *copy = percpu_ptr((char __percpu *)area, i);

		for (size_t at = 0, n; at < size; at += n) {
			static const char zeros[PERCPU__GRANULE];

			n = size - at < sizeof(zeros) ? size - at : sizeof(zeros);
			if (memcmp((const char *)initial + at, zeros, n))
				memcpy(copy + at, (const char *)initial + at, n);
		}
	}
}

/* Ends the process, because no caller of a constructor could handle the error. */
static _Noreturn void attach_fatal(const void *key, size_t value, size_t limit,
				   enum percpu__fault fault)
{
	percpu__fatal("percpu_static_attach",
		      &(struct percpu__subject){ .pointer = key, .value = { value, limit } },
		      fault);
}

/* Returns: an initialised area; ends the process if that fails. */
static void __percpu *make_area(const void *key, const void *initial, size_t size, size_t align)
{
	struct percpu_pool *pool = percpu__pool_default();
	const uint32_t granules = (size + PERCPU__GRANULE - 1) >> PERCPU__GRANULE_SHIFT;
	const uint32_t align_granules =
		align > PERCPU__GRANULE ? align >> PERCPU__GRANULE_SHIFT : 1;
	void __percpu *area;

	if (size > PERCPU_MAX_SIZE)
		attach_fatal(key, size, PERCPU_MAX_SIZE, PERCPU__FAULT_STATIC_SIZE);
	if (align > PERCPU_MAX_ALIGN)
		attach_fatal(key, align, PERCPU_MAX_ALIGN, PERCPU__FAULT_STATIC_ALIGN);
	if (!pool || !(area = percpu__pool_take_zeroed(pool, granules, align_granules)))
		attach_fatal(key, 0, 0, PERCPU__FAULT_STATIC_MEMORY);
	if (initial)
		initialise(area, initial, size);
	return area;
}

void __percpu *percpu_static_attach(const void *key, const void *initial, size_t size, size_t align)
{
	struct percpu__attachment coming = { .key = key };
	void __percpu *area = percpu__attachment_area(key);

	if (area) {
		percpu__static_collect();
		return area;
	}
	percpu__fork_init();
	coming.module = module_at(key);
	free_all(was_there_before, &coming);
	percpu__static_collect();
	coming.area = make_area(key, initial, size, align);
	area = percpu__attachment_enter(coming);
	if (!area)
		attach_fatal(key, 0, 0, PERCPU__FAULT_STATIC_MEMORY);
	if (area != coming.area)
		percpu__pool_return(coming.area);
	return area;
}

void percpu_static_detach(const void *key)
{
	struct percpu__attachment gone;

	if (percpu__attachment_set_aside(key, &gone) && !gone.module)
		free_all(is_same, &gone);
	percpu__static_collect();
}
