/* SPDX-License-Identifier: MIT */
/*
 * A program of the first headers of 0.1.0 that had caches, counters and groups: it includes a
 * frozen copy of their structs and critical sections, and none of today's headers. It calls the
 * functions that take no layout. Its caches must work, always by the slow path; its counters,
 * groups and histograms, whose storage may be too small, must be refused.
 */
#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- frozen: percpu/abi.h ---- */

struct percpu_abi {
	ptrdiff_t rseq_offset;
	uint32_t cpu_limit;
	uint32_t nr_copies;
	uint64_t reserved[6];
} __attribute__((aligned(64)));
extern struct percpu_abi percpu_abi;

/* ---- frozen: percpu/cache.h ---- */

struct percpu__slab_id {
	const struct percpu_cache *cache;
	uint64_t home;
	uint64_t reserved[6];
};
struct percpu_cache {
	char *line;
	uintptr_t arena;
	size_t arena_bytes;
	const struct percpu__slab_id *slabs;
	uint64_t mask;
	uint64_t inverse;
	uint64_t link_bytes;
	uint64_t reserved;
};

struct percpu_cache *percpu_cache_create(const char *name, size_t size, size_t align,
					 unsigned flags, void (*ctor)(void *object));
int percpu_cache_destroy(struct percpu_cache *cache);
void *percpu_cache_alloc_slow(struct percpu_cache *cache);
void percpu_cache_free_slow(struct percpu_cache *cache, void *object);

/* ---- frozen: percpu/counter.h, percpu/snapshot.h (now percpu_group), percpu/histogram.h ---- */

struct percpu_counter {
	void *copies;
	uint64_t margin;
	uint64_t span;
	uint64_t reserved[5];
	int64_t approximate;
	int64_t base;
	uint64_t reserved2[6];
};
struct percpu_group {
	void *of[5];
	uint64_t nr_fields;
	void *spare;
	uint64_t reserved;
};
struct percpu_histogram {
	void *copies;
	uint32_t shape[4];
};

int percpu_counter_init(struct percpu_counter *counter, int64_t value, uint64_t batch);
int percpu_group_init(struct percpu_group *group, unsigned nr_fields);
int percpu_histogram_init(struct percpu_histogram *histogram, void *pool, uint64_t lowest,
			  uint64_t highest, unsigned precision_bits);

#ifdef __cplusplus
}
#endif

/* ---- frozen: percpu/arch/x86_64.h ---- */

#ifdef __x86_64__
#define PERCPU__COPY "0x40000"
#define PERCPU__SECTION(body)                                                                      \
	"	.pushsection __rseq_cs, \"aw?\"\n"                                                       \
	"	.balign	32\n"                                                                            \
	"3:	.long	0, 0\n"                                                                          \
	"	.quad	1f, 2f - 1f, 4f\n"                                                                 \
	"	.popsection\n"                                                                           \
	"	.pushsection __rseq_failure, \"ax?\"\n"                                                  \
	"	.byte	0x0f, 0xb9, 0x3d\n"                                                                \
	"	.long	0x53053053\n"                                                                      \
	"4:	jmp	5f\n"                                                                              \
	"	.popsection\n"                                                                           \
	"5:	leaq	3b(%%rip), %%rax\n"                                                               \
	"	movq	%%rax, %%fs:8(%[offset])\n"                                                         \
	"1:	movl	%%fs:4(%[offset]), %%eax\n"                                                       \
	"	cmpl	%[limit], %%eax\n"                                                                  \
	"	jae	%l[slow]\n"                                                                          \
	"	shlq	$18, %%rax\n"                                                                       \
	"	addq	%[p], %%rax\n" body "2:\n"                                                 \
	"	movq	$0, %%fs:8(%[offset])\n"
#define PERCPU__INPUTS [offset] "r"(offset), [limit] "m"(percpu_abi.cpu_limit), [p] "r"(p)
#define PERCPU__CACHE_HEAD(index) "16+" PERCPU__COPY "(%%rax," index ")"
#define PERCPU__CACHE_BEGIN                                                                        \
	"	movq	" PERCPU__COPY "(%%rax), %%rcx\n"                                          \
	"	movq	%%rcx, %%rdx\n"                                                                     \
	"	shrq	$13, %%rdx\n"                                                                       \
	"	andl	$8, %%edx\n"
#define PERCPU__CACHE_COMMIT "	movq	%%rcx, " PERCPU__COPY "(%%rax)\n"

static bool percpu__cache_take(void *p, void **result)
{
	ptrdiff_t offset = __atomic_load_n(&percpu_abi.rseq_offset, __ATOMIC_RELAXED);
	void *out, *after;

	if (!offset)
		return false;
	__asm__ __volatile__ goto(PERCPU__SECTION(PERCPU__CACHE_BEGIN
		    "	cmpl	$0, 8+" PERCPU__COPY "(%%rax)\n"
		    "	je	%l[slow]\n"
		    "	testw	%%cx, %%cx\n"
		    "	je	%l[slow]\n"
		    "	movq	" PERCPU__CACHE_HEAD("%%rdx") ", %[out]\n"
		    "	movq	(%[out]), %[after]\n"
		    "	xorl	$8, %%edx\n"
		    "	movq	%[after], " PERCPU__CACHE_HEAD("%%rdx") "\n"
		    "	addq	$0xffff, %%rcx\n"
		    PERCPU__CACHE_COMMIT)
		    : [out] "=&r"(out), [after] "=&r"(after)
		    : PERCPU__INPUTS
		    : "rax", "rcx", "rdx", "memory", "cc"
		    : slow);
	__asm__ __volatile__("");
	*result = out;
	return true;
slow:
	__asm__ __volatile__("movq $0, %%fs:8(%0)" : : "r"(offset) : "memory");
	return false;
}

static bool percpu__cache_put(void *p, void *item, void *home)
{
	ptrdiff_t offset = __atomic_load_n(&percpu_abi.rseq_offset, __ATOMIC_RELAXED);

	if (!offset)
		return false;
	__asm__ __volatile__ goto(PERCPU__SECTION("	cmpq	%[home], %%rax\n"
		    "	jne	%l[slow]\n"
		    PERCPU__CACHE_BEGIN
		    "	movzwl	%%cx, %%esi\n"
		    "	cmpl	8+" PERCPU__COPY "(%%rax), %%esi\n"
		    "	jae	%l[slow]\n"
		    "	movq	" PERCPU__CACHE_HEAD("%%rdx") ", %%rsi\n"
		    "	cmpq	%[item], %%rsi\n"
		    "	je	%l[slow]\n"
		    "	movq	%%rsi, (%[item])\n"
		    "	xorl	$8, %%edx\n"
		    "	movq	%[item], " PERCPU__CACHE_HEAD("%%rdx") "\n"
		    "	addq	$0x10001, %%rcx\n"
		    PERCPU__CACHE_COMMIT)
		    :
		    : [item] "r"(item), [home] "r"(home), PERCPU__INPUTS
		    : "rax", "rcx", "rdx", "rsi", "memory", "cc"
		    : slow);
	__asm__ __volatile__("");
	return true;
slow:
	__asm__ __volatile__("movq $0, %%fs:8(%0)" : : "r"(offset) : "memory");
	return false;
}
#else
static bool percpu__cache_take(void *p, void **result)
{
	return false;
}

static bool percpu__cache_put(void *p, void *item, void *home)
{
	return false;
}
#endif

/*
 * ---- frozen: the inline functions of percpu/cache.h, which count here how often they took the
 * fast path ----
 */

static unsigned long nr_fast;

static void *cache_alloc(struct percpu_cache *cache)
{
	void *link;

	if (!percpu__cache_take(cache->line, &link))
		return percpu_cache_alloc_slow(cache);
	__atomic_fetch_add(&nr_fast, 1, __ATOMIC_RELAXED);
	return (char *)link - cache->link_bytes;
}

static void cache_free(struct percpu_cache *cache, void *object)
{
	const uintptr_t offset = (uintptr_t)object - cache->arena;
	const struct percpu__slab_id *slab = &cache->slabs[offset >> 16];

	if (offset < cache->arena_bytes && slab->cache == cache &&
	    ((~offset & cache->mask) + 1) * cache->inverse < cache->inverse &&
	    percpu__cache_put(cache->line, (char *)object + cache->link_bytes,
			      cache->line + slab->home)) {
		__atomic_fetch_add(&nr_fast, 1, __ATOMIC_RELAXED);
		return;
	}
	percpu_cache_free_slow(cache, object);
}

/* ---- the program ---- */

#define NR_OBJECTS 5000u
#define SIZE 100u
#define ROUNDS 20u

static int nr_failed;

static void check(bool is_good, const char *text)
{
	if (is_good)
		return;
	printf("%s\n", text);
	__atomic_fetch_add(&nr_failed, 1, __ATOMIC_RELAXED);
}

static bool has_only(const void *object, size_t size, unsigned char byte)
{
	for (size_t i = 0; i < size; i++)
		if (((const unsigned char *)object)[i] != byte)
			return false;
	return true;
}

/* Objects do not overlap: each keeps its own bytes. */
static void fill_and_free(struct percpu_cache *cache)
{
	static __thread unsigned char *objects[NR_OBJECTS];

	for (unsigned i = 0; i < NR_OBJECTS; i++) {
		objects[i] = (unsigned char *)cache_alloc(cache);
		check(objects[i], "no object");
		memset(objects[i], (int)(i % 251), SIZE);
	}
	for (unsigned i = 0; i < NR_OBJECTS; i++)
		check(has_only(objects[i], SIZE, i % 251), "an object changed");
	for (unsigned i = 0; i < NR_OBJECTS; i++)
		cache_free(cache, objects[i * 7 % NR_OBJECTS]);
}

static void *use(void *cache)
{
	for (unsigned i = 0; i < ROUNDS; i++)
		fill_and_free((struct percpu_cache *)cache);
	return NULL;
}

static void caches(void)
{
	struct percpu_cache *cache = percpu_cache_create("old", SIZE, 0, 0, NULL);
	pthread_t thread;

	check(cache, "no cache");
	check(!pthread_create(&thread, NULL, use, cache), "no thread");
	use(cache);
	pthread_join(thread, NULL);
	cache_free(cache, NULL);
	check(!nr_fast, "a fast path of another layout was taken");
	check(!percpu_cache_destroy(cache), "objects are missing");
}

#define FILLER 0xa5
#define IS_UNTOUCHED(storage) has_only(&(storage), sizeof(storage), FILLER)

static void statistics(void)
{
	struct {
		struct percpu_counter counter;
		struct percpu_group group;
		struct percpu_histogram histogram;
		unsigned char behind[256];
	} s;

	memset(&s, FILLER, sizeof(s));
	check(percpu_counter_init(&s.counter, 7, 0) == -ENOTSUP,
	      "a counter of another layout was made");
	check(percpu_group_init(&s.group, 2) == -ENOTSUP, "a group of another layout was made");
	check(percpu_histogram_init(&s.histogram, NULL, 1, 1000, 3) == -ENOTSUP,
	      "a histogram of another layout was made");
	check(IS_UNTOUCHED(s), "the storage of another layout was written to");
}

int main(void)
{
	caches();
	statistics();
	return nr_failed != 0;
}
