/* SPDX-License-Identifier: MIT */
/*
 * A process that is refused nodes, mappings or CPUs: everything works, and statistics count the
 * chunks that were not placed. On a machine of one node there is nothing to place.
 */
#include "harness/filter.h"
#include "vm/nodes.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>

#define NR_CHUNKS 10000
#define MAPPING_LIMIT 65530
#define OBJECT_BYTES 200

static char __percpu *chunks[NR_CHUNKS]; /* each area fills a chunk */
static unsigned nr_nodes;

static void setup(void)
{
	ask_nodes();
	nr_nodes = count_nodes();
}

static struct percpu_pool_stats stats_now(void)
{
	struct percpu_pool_stats stats = { .size = sizeof(stats) };

	ck_assert_int_eq(percpu_pool_stats(NULL, &stats), 0);
	return stats;
}

static void take_chunks(unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		ck_assert_ptr_nonnull((void *)(uintptr_t)(chunks[i] = percpu_alloc(PERCPU_MAX_SIZE, 8)));
}

static void free_chunks(unsigned nr)
{
	for (unsigned i = 0; i < nr; i++)
		percpu_free(chunks[i]);
	ck_assert_int_ge(percpu_trim(NULL), 0);
}

/* Touches a page of every copy from this CPU. Returns: the number of pages on a wrong node. */
static size_t touch_from(unsigned cpu, unsigned chunk, size_t offset)
{
	size_t nr_wrong = 0;

	ck_assert(pin(cpu));
	for (unsigned copy = 0; copy < percpu_nr_cpus(); copy++)
		if (node_of[copy] >= 0) {
			char *at = percpu_ptr(chunks[chunk], copy) + offset;

			*at = 1;
			nr_wrong += node_of_page(at) != node_of[copy];
		}
	return nr_wrong;
}

static uint64_t __percpu *counter;
static struct percpu_cache *cache;

/* Memory from before still works. */
static void check_working(void)
{
	const uint64_t before = percpu_sum(counter);
	void *objects[1000];

	for (unsigned i = 0; i < 1000; i++) {
		ck_assert(pin(random_online()));
		percpu_inc(counter);
		ck_assert_ptr_nonnull(objects[i] = percpu_cache_alloc(cache));
		memset(objects[i], 1, OBJECT_BYTES);
	}
	ck_assert_uint_eq(percpu_sum(counter), before + 1000);
	for (unsigned i = 0; i < 1000; i++) {
		ck_assert(pin(random_online()));
		percpu_cache_free(cache, objects[i]);
	}
}

static void check_new_ones(void)
{
	ck_assert_ptr_nonnull(counter = percpu_new(uint64_t));
	ck_assert_ptr_nonnull(cache = percpu_cache_create("refused", OBJECT_BYTES, 0, 0, NULL));
	check_working();
	percpu_free(counter);
	ck_assert_int_eq(percpu_cache_destroy(cache), 0);
}

/* ---- the policy of the whole process, as numactl sets it ---- */

START_TEST(bound_to_one_node_as_by_numactl)
{
	unsigned long nodes;

	setup();
	nodes = 1ul << node_of[last_online()];
	ck_assert_int_eq(syscall(SYS_set_mempolicy, MPOL_BIND, &nodes, 8 * sizeof(nodes) + 1), 0);
	take_chunks(4);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_uint_eq(touch_from(random_online(), i, 0), 0);
	check_new_ones();
	ck_assert_uint_eq(stats_now().nr_chunks_unplaced, 0);
	ck_assert_int_eq(percpu_pool_misplaced(NULL), 0);
	free_chunks(4);
}
END_TEST

/* ---- a full node ---- */

#define HOG_BYTES ((size_t)2 << 20)
#define MAX_HOGS 1024

/* Allocates a node's memory, until the kernel takes pages of another node. */
static unsigned fill_node(int node, char **hogs)
{
	unsigned long nodes = 1ul << node;

	for (unsigned nr = 0; nr < MAX_HOGS; nr++) {
		hogs[nr] = mmap(NULL, HOG_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		ck_assert_ptr_ne(hogs[nr], MAP_FAILED);
		madvise(hogs[nr], HOG_BYTES, MADV_NOHUGEPAGE);
		ck_assert_int_eq(syscall(SYS_mbind, hogs[nr], HOG_BYTES, MPOL_PREFERRED, &nodes, 8 * sizeof(nodes) + 1, 0), 0);
		memset(hogs[nr], 1, HOG_BYTES);
		if (node_of_page(hogs[nr] + HOG_BYTES - 1) != node)
			return nr + 1;
	}
	ck_abort_msg("node %d has no end", node);
}

START_TEST(a_full_node)
{
	static char *hogs[MAX_HOGS];
	size_t nr_wrong;
	unsigned nr_hogs;
	int node;

	setup();
	if (nr_nodes < 2 || !is_guest())
		SKIP("not a guest of several nodes");
	node = node_of[last_online()];
	take_chunks(4);
	ck_assert_uint_eq(touch_from(0, 0, 0), 0);
	nr_hogs = fill_node(node, hogs);
	printf("# node %d was full with %zu MiB more\n", node, nr_hogs * HOG_BYTES >> 20);
	fflush(stdout);
	nr_wrong = 0;
	for (size_t at = 0; at < PERCPU_STRIDE; at += 4096)
		nr_wrong += touch_from(0, 1, at);
	ck_assert_uint_gt(nr_wrong, 0);
	ck_assert_int_ge(percpu_pool_misplaced(NULL), (ssize_t)(nr_wrong * 4096));
	ck_assert_uint_eq(stats_now().nr_chunks_unplaced, 0); /* the policy is set; the kernel used another node */
	check_new_ones();
	for (unsigned i = 0; i < nr_hogs; i++)
		munmap(hogs[i], HOG_BYTES);
	/* There is room for new pages again. */
	ck_assert_uint_eq(touch_from(0, 2, 0), 0);
	free_chunks(4);
	/* The remaining pages are in the area caches. */
	ck_assert_int_lt(percpu_pool_misplaced(NULL) * 10, (ssize_t)(nr_wrong * 4096));
}
END_TEST

/* ---- a sandbox ---- */

static size_t take_chunks_without_mbind(void)
{
	size_t nr_wrong = 0;

	ck_assert(filter_refuse(SYS_mbind, EPERM));
	take_chunks(4);
	for (unsigned i = 0; i < 4; i++)
		nr_wrong += touch_from(0, i, 0);
	return nr_wrong;
}

START_TEST(a_sandbox_without_mbind)
{
	size_t nr_wrong;

	setup();
	nr_wrong = take_chunks_without_mbind();
	ck_assert(nr_nodes == 1 || nr_wrong > 0);
	ck_assert_int_eq(percpu_pool_misplaced(NULL), (ssize_t)(nr_wrong * (size_t)sysconf(_SC_PAGESIZE)));
	check_new_ones();
	ck_assert_uint_eq(stats_now().nr_chunks_unplaced, nr_nodes > 1 ? stats_now().nr_chunks : 0);
	free_chunks(4);
}
END_TEST

/*
 * NUMA balancing scans the pages without a policy of a thread that ran for a second; Linux 6.1 then
 * hides them.
 */
START_TEST(pages_that_balancing_watches)
{
	size_t nr_wrong;

	if (!is_guest())
		SKIP("not a guest");
	setup();
	nr_wrong = take_chunks_without_mbind();
	while (clock() < 4 * CLOCKS_PER_SEC)
		;
	ck_assert_int_eq(percpu_pool_misplaced(NULL), (ssize_t)(nr_wrong * (size_t)sysconf(_SC_PAGESIZE)));
	free_chunks(4);
}
END_TEST

/* ---- mappings ---- */

static bool write_to(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");
	bool done = file && fputs(text, file) >= 0;

	return file && fclose(file) == 0 && done;
}

static void set_mapping_limit(unsigned nr)
{
	char text[32];

	snprintf(text, sizeof(text), "%u", nr);
	ck_assert(!is_guest() || write_to("/proc/sys/vm/max_map_count", text));
}

/* Makes mappings that do not merge. */
static void map_a_thousand(void)
{
	char *pages = mmap(NULL, 2000 * 4096ul * 16, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ck_assert_ptr_ne(pages, MAP_FAILED);
	for (unsigned i = 0; i < 500; i++)
		ck_assert_int_eq(mprotect(pages + i * 2 * 65536ul, 65536, PROT_READ), 0);
	munmap(pages, 2000 * 4096ul * 16);
}

/*
 * The first chunks are placed; the pages of the others are where they were touched, and statistics
 * say so.
 */
static void check_placed_within_budget(unsigned nr)
{
	const unsigned nr_placed = nr - (unsigned)stats_now().nr_chunks_unplaced;

	printf("# %u of %u chunks placed\n", nr_placed, nr);
	fflush(stdout);
	for (unsigned i = 0; i < nr_placed; i += nr_placed / 20)
		ck_assert_uint_eq(touch_from(random_online(), i, 0), 0);
	ck_assert_int_eq(percpu_pool_misplaced(NULL), 0);
	if (nr_placed < nr) {
		ck_assert_uint_gt(touch_from(0, nr - 1, 0), 0);
		ck_assert_int_gt(percpu_pool_misplaced(NULL), 0);
	}
	ck_assert_uint_gt(nr_placed, nr_nodes > 1 ? 20 : nr - 1);
}

START_TEST(ten_thousand_chunks_leave_room_for_other_mappings)
{
	setup();
	set_mapping_limit(MAPPING_LIMIT);
	take_chunks(NR_CHUNKS);
	map_a_thousand();
	check_placed_within_budget(NR_CHUNKS);
	check_new_ones();
	free_chunks(NR_CHUNKS);
	/*
	 * The chunks released their mappings. Two unplaced chunks may remain: the empty chunk that the
	 * pool keeps, and the chunk of check_new_ones(), if an area cache holds an area of it.
	 */
	take_chunks(10);
	ck_assert_uint_le(stats_now().nr_chunks_unplaced, 2);
	free_chunks(10);
}
END_TEST

START_TEST(a_process_without_another_mapping)
{
	unsigned nr = 0;

	setup();
	if (!is_guest())
		SKIP("not a guest");
	set_mapping_limit(4000);
	ck_assert_ptr_nonnull(counter = percpu_new(uint64_t));
	ck_assert_ptr_nonnull(cache = percpu_cache_create("refused", OBJECT_BYTES, 0, 0, NULL));
	check_working();
	errno = 0;
	while ((chunks[nr] = percpu_alloc(PERCPU_MAX_SIZE, 8)) != NULL)
		nr++;
	ck_assert_int_eq(errno, ENOMEM);
	check_working();
	check_placed_within_budget(nr);
	free_chunks(nr);
	map_a_thousand();
	take_chunks(10);
	check_working();
	free_chunks(10);
	set_mapping_limit(MAPPING_LIMIT);
}
END_TEST

/* ---- a cpuset ---- */

/* Puts the process into a control group of its own; mems: the nodes whose memory it may use. */
static void enter_cpuset(const char *name, const char *cpus, const char *mems)
{
	static const char root[] = "/sys/fs/cgroup";
	char path[128], pid[32];

	ck_assert(write_to("/sys/fs/cgroup/cgroup.subtree_control", "+cpuset"));
	snprintf(path, sizeof(path), "%s/%s", root, name);
	ck_assert(mkdir(path, 0755) == 0);
	snprintf(path, sizeof(path), "%s/%s/cpuset.cpus", root, name);
	ck_assert(write_to(path, cpus));
	snprintf(path, sizeof(path), "%s/%s/cpuset.mems", root, name);
	ck_assert(!mems || write_to(path, mems));
	snprintf(path, sizeof(path), "%s/%s/cgroup.procs", root, name);
	snprintf(pid, sizeof(pid), "%d", (int)getpid());
	ck_assert(write_to(path, pid));
}

START_TEST(a_cpuset_changes_nothing_but_what_is_touched)
{
	cpu_set_t allowed;
	unsigned last;
	char cpus[32];

	setup();
	if (!is_guest())
		SKIP("not a guest");
	last = last_online();
	snprintf(cpus, sizeof(cpus), "%u", last);
	enter_cpuset("narrow", cpus, NULL);
	ck_assert_int_eq(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
	ck_assert_int_eq(CPU_COUNT(&allowed), 1);
	check_fresh_view();
	take_chunks(4);
	for (unsigned i = 0; i < 4; i++)
		ck_assert_uint_eq(touch_from(last, i, 0), 0);
	ck_assert_int_eq(percpu_pool_misplaced(NULL), 0);
	ck_assert_uint_eq(stats_now().nr_chunks_unplaced, 0);
	percpu_inc(chunks[0]);
	ck_assert_int_eq(percpu_ptr(chunks[0], last)[0], 2);
	free_chunks(4);
}
END_TEST

/* The kernel refuses policies for other nodes then. */
START_TEST(a_cpuset_of_one_nodes_memory)
{
	char cpus[32], mems[32];
	size_t nr_wrong = 0;

	setup();
	if (!is_guest() || nr_nodes < 2)
		SKIP("not a guest of several nodes");
	snprintf(cpus, sizeof(cpus), "0-%u", last_online());
	snprintf(mems, sizeof(mems), "%d", node_of[last_online()]);
	enter_cpuset("one-node", cpus, mems);
	check_fresh_view();
	take_chunks(4);
	for (unsigned i = 0; i < 4; i++)
		nr_wrong += touch_from(random_online(), i, 0);
	ck_assert_uint_gt(nr_wrong, 0);
	ck_assert_int_eq(percpu_pool_misplaced(NULL), (ssize_t)(nr_wrong * (size_t)sysconf(_SC_PAGESIZE)));
	ck_assert_uint_eq(stats_now().nr_chunks_unplaced, stats_now().nr_chunks);
	check_new_ones();
	free_chunks(4);
}
END_TEST

/* ---- possible CPUs with holes between them ---- */

/*
 * Replaces the kernel's list for this process, by one with a hole before its last CPU. Returns: N
 * by that list.
 */
static unsigned make_possible_sparse(void)
{
	static const char possible[] = "/sys/devices/system/cpu/possible", ours[] = "/tmp/possible";
	const unsigned last = last_online() + 3;
	char list[1000] = "";
	FILE *file = fopen("/sys/devices/system/cpu/online", "r");

	ck_assert(file && fgets(list, sizeof(list) - 8, file));
	fclose(file);
	sprintf(list + strcspn(list, "\n"), ",%u\n", last);
	ck_assert(write_to(ours, list));
	ck_assert(!unshare(CLONE_NEWNS) && !mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	ck_assert(!mount(ours, possible, NULL, MS_BIND, NULL));
	return last + 1;
}

START_TEST(holes_between_possible_cpus)
{
	unsigned nr_cpus;

	if (!is_guest())
		SKIP("not a guest");
	ask_all_nodes();
	nr_cpus = make_possible_sparse();
	setup();
	ck_assert_uint_eq(percpu_nr_cpus(), nr_cpus);
	take_chunks(4);
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_uint_eq(touch_from(random_online(), i, 0), 0);
		for (unsigned cpu = 0; cpu < nr_cpus; cpu++)
			ck_assert_int_eq(node_of_page(percpu_ptr(chunks[i], cpu)) >= 0, node_of[cpu] >= 0);
	}
	check_new_ones();
	ck_assert_uint_eq(stats_now().nr_chunks_unplaced, 0);
	ck_assert_int_eq(percpu_pool_misplaced(NULL), 0);
	free_chunks(4);
}
END_TEST

TEST_MAIN("vm/refused", 120, bound_to_one_node_as_by_numactl, a_full_node, a_sandbox_without_mbind,
	  pages_that_balancing_watches, ten_thousand_chunks_leave_room_for_other_mappings, a_process_without_another_mapping,
	  a_cpuset_changes_nothing_but_what_is_touched, a_cpuset_of_one_nodes_memory, holes_between_possible_cpus)
