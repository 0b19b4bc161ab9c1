/* SPDX-License-Identifier: MIT */
/*
 * Owns the domains: the sets of CPUs that share a core, an L3 cache, a node or a package, as hwloc
 * sees the machine. hwloc is large and reads hundreds of files, so it is loaded at the first call,
 * asked once, and unloaded.
 *
 * The answers for all levels form one map, which is published as a whole and never changes
 * afterwards. Concurrent first callers each build a map, and all but one discard theirs; this
 * avoids a lock that a fork could leave held.
 */
#include <errno.h>

#include "platform/platform.h"
#include "topology/topology.h"

#ifdef HAVE_HWLOC
#include <dlfcn.h>
#include <hwloc.h>

static const hwloc_obj_type_t types[PERCPU__NR_LEVELS] = {
	[PERCPU__LEVEL_CORE] = HWLOC_OBJ_CORE,
	[PERCPU__LEVEL_L3] = HWLOC_OBJ_L3CACHE,
	[PERCPU__LEVEL_NODE] = HWLOC_OBJ_NUMANODE,
	[PERCPU__LEVEL_PACKAGE] = HWLOC_OBJ_PACKAGE,
};

/* Followed by the arrays number and of_cpu of each level, with nr_cpus elements each. */
struct map {
	size_t bytes;
	struct percpu__domains level[PERCPU__NR_LEVELS];
};

static struct map *published; /* set once */

/* ---- hwloc, loaded with dlopen ---- */

#define CALLS(X)                                                                            \
	X(hwloc_get_api_version)                                                            \
	X(hwloc_topology_init) X(hwloc_topology_set_flags) X(hwloc_topology_load)           \
	X(hwloc_topology_destroy) X(hwloc_get_type_depth) X(hwloc_get_nbobjs_by_depth)      \
	X(hwloc_get_obj_by_depth) X(hwloc_bitmap_next)

struct calls {
#define DECLARE(name) __typeof__(&(name)) name;
	CALLS(DECLARE)
#undef DECLARE
};

static void *open_hwloc(struct calls *call)
{
	void *library = dlopen("libhwloc.so.15", RTLD_NOW | RTLD_LOCAL);

	if (!library)
		return NULL;
#define FIND(name)                                                                          \
	call->name = (__typeof__(&(name)))dlsym(library, #name);                            \
	if (!call->name)                                                                    \
		goto close;
	CALLS(FIND)
#undef FIND
	if (call->hwloc_get_api_version() >> 16 == HWLOC_API_VERSION >> 16)
		return library;
close:
	dlclose(library);
	return NULL;
}

/* ---- the map ---- */

static struct map *make_map(unsigned nr_cpus)
{
	const size_t of_level = nr_cpus * (sizeof(int) + sizeof(uint16_t));
	const size_t bytes = sizeof(struct map) + PERCPU__NR_LEVELS * of_level;
	struct map *map = percpu__map(bytes);
	char *at = (char *)(map + 1);

	if (!map)
		return NULL;
	map->bytes = bytes;
	for (unsigned i = 0; i < PERCPU__NR_LEVELS; i++, at += nr_cpus * sizeof(int))
		map->level[i].number = (int *)at;
	for (unsigned i = 0; i < PERCPU__NR_LEVELS; i++, at += nr_cpus * sizeof(uint16_t))
		map->level[i].of_cpu = (uint16_t *)at;
	return map;
}

/* An object makes a domain only if it has a CPU below nr_cpus that no earlier object has. */
static void fill_level(struct percpu__domains *domains, unsigned nr_cpus, const struct calls *call,
		       hwloc_topology_t topology, hwloc_obj_type_t type)
{
	const int depth = call->hwloc_get_type_depth(topology, type);
	unsigned nr_objects = 0;

	if (depth != HWLOC_TYPE_DEPTH_UNKNOWN)
		nr_objects = call->hwloc_get_nbobjs_by_depth(topology, depth);
	for (unsigned cpu = 0; cpu < nr_cpus; cpu++)
		domains->of_cpu[cpu] = UINT16_MAX;
	for (unsigned i = 0; i < nr_objects; i++) {
		const hwloc_obj_t object = call->hwloc_get_obj_by_depth(topology, depth, i);
		bool has_cpu = false;

		for (int cpu = call->hwloc_bitmap_next(object->cpuset, -1);
		     cpu >= 0 && cpu < (int)nr_cpus;
		     cpu = call->hwloc_bitmap_next(object->cpuset, cpu))
			if (domains->of_cpu[cpu] == UINT16_MAX) {
				domains->of_cpu[cpu] = domains->nr;
				has_cpu = true;
			}
		if (has_cpu)
			domains->number[domains->nr++] =
				object->os_index == HWLOC_UNKNOWN_INDEX ? i : object->os_index;
	}
	for (unsigned cpu = 0; cpu < nr_cpus; cpu++)
		if (domains->of_cpu[cpu] == UINT16_MAX)
			domains->of_cpu[cpu] = domains->nr;
	domains->nr++;
}

static int ask_hwloc(struct map *map, unsigned nr_cpus)
{
	hwloc_topology_t topology;
	struct calls call;
	void *library = open_hwloc(&call);
	int error = -ENOTSUP;

	if (!library)
		return error;
	if (call.hwloc_topology_init(&topology) == 0) {
		/* CPUs outside this process's cpuset belong to a domain, too. */
		call.hwloc_topology_set_flags(topology, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
		if (call.hwloc_topology_load(topology) == 0) {
			for (unsigned i = 0; i < PERCPU__NR_LEVELS; i++)
				fill_level(&map->level[i], nr_cpus, &call, topology, types[i]);
			error = 0;
		}
		call.hwloc_topology_destroy(topology);
	}
	dlclose(library);
	return error;
}

static struct map *publish(struct map *mine)
{
	struct map *first = NULL;

	/* pairs with percpu__domains_at */
	if (__atomic_compare_exchange_n(&published, &first, mine, false, __ATOMIC_ACQ_REL,
					__ATOMIC_ACQUIRE))
		return mine;
	percpu__release(mine, mine->bytes);
	return first;
}

int percpu__domains_at(enum percpu__level level, unsigned nr_cpus,
		       const struct percpu__domains **domains)
{
	struct map *map = __atomic_load_n(&published, __ATOMIC_ACQUIRE); /* pairs with publish */
	int error, cancel_state;

	if ((unsigned)level >= PERCPU__NR_LEVELS)
		return -EINVAL;
	if (!map) {
		const int saved_errno = errno;

		map = make_map(nr_cpus);
		if (!map)
			return -ENOMEM;
		/* hwloc reads files, and cancellation in the middle of it would leak. */
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
		error = ask_hwloc(map, nr_cpus);
		pthread_setcancelstate(cancel_state, NULL);
		errno = saved_errno;
		if (error) {
			percpu__release(map, map->bytes);
			return error;
		}
		map = publish(map);
	}
	*domains = &map->level[level];
	return 0;
}
#else
int percpu__domains_at(enum percpu__level level, unsigned nr_cpus,
		       const struct percpu__domains **domains)
{
	return (unsigned)level < PERCPU__NR_LEVELS ? -ENOTSUP : -EINVAL;
}
#endif
