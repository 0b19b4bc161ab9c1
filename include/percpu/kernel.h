/* SPDX-License-Identifier: MIT */
/*
 * The kernel's spelling, so that kernel code compiles unchanged: operations take lvalues, of memory
 * from alloc_percpu (`*p`, `p->field`) and of DEFINE_PER_CPU variables alike.
 *
 * DEFINE_PER_CPU variables live in one section of their module (program or shared object), which holds
 * their initial values and nothing else: touched directly, they are ordinary variables. The module's
 * section is attached as one per-CPU area, by a constructor or by whatever operation comes first, and
 * the macros here move addresses from the section to that area:
 *
 *	&variable  in  [start of section, its end)	->	area + (&variable - start)
 *	other addresses are per-CPU pointers		->	themselves
 *
 * Keep such variables static, or declare them with DECLARE_PER_CPU, which hides them from other modules:
 * one module's macros do not know the section of another.
 *
 * Not for preemption: without it get_cpu_var() would promise what nobody keeps, so that it is missing.
 * All of this_cpu_, __this_cpu_ and raw_cpu_ are safe wherever the thread moves.
 */
#ifndef PERCPU_KERNEL_H
#define PERCPU_KERNEL_H

#include <percpu/alloc.h>
#include <percpu/cache.h>
#include <percpu/counter.h>
#include <percpu/ops.h>
#include <percpu/static.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PERCPU__HIDDEN __attribute__((__visibility__("hidden")))
#define PERCPU__SHARED_BY_MODULE __attribute__((__weak__, __visibility__("hidden")))
#define PERCPU__IN_SECTION __attribute__((__section__("percpu_static")))

/*
 * The linker sets both. The anchor keeps the section in being, and stays in every file that includes this header, so
 * that a module without variables is known by its section, which holds nothing else.
 */
extern char __start_percpu_static[] PERCPU__HIDDEN;
extern char __stop_percpu_static[] PERCPU__HIDDEN;
#define PERCPU__ANCHOR UINT64_C(0x726f68636e615550)
PERCPU__SHARED_BY_MODULE PERCPU__IN_SECTION uint64_t percpu__static_anchor = PERCPU__ANCHOR;

/*
 * The module's area; NULL: not attached. One per module, whatever file comes first. Its release in
 * percpu__module_attach pairs with percpu__located.
 */
PERCPU__SHARED_BY_MODULE char *percpu__module_area = NULL;

char *percpu__module_attach(void);
void percpu__module_begin(void);
void percpu__module_end(void);

PERCPU__SHARED_BY_MODULE __attribute__((__cold__, __noinline__)) char *percpu__module_attach(void)
{
	const uintptr_t start = (uintptr_t)__start_percpu_static;
	const uintptr_t alignment = start & -start;
	char *area = (char *)(uintptr_t)percpu_static_attach(
		&percpu__module_area, __start_percpu_static, (uintptr_t)__stop_percpu_static - start,
		alignment < PERCPU_MAX_ALIGN ? alignment : PERCPU_MAX_ALIGN);

	__atomic_store_n(&percpu__module_area, area, __ATOMIC_RELEASE);
	return area;
}

/* A variable that looks like an anchor is attached by the first operation on it. */
PERCPU__SHARED_BY_MODULE __attribute__((__constructor__(PERCPU__STATIC_PRIORITY))) void percpu__module_begin(void)
{
	const uintptr_t bytes = (uintptr_t)__stop_percpu_static - (uintptr_t)__start_percpu_static;
	typedef uint64_t __attribute__((__may_alias__)) percpu__any_word;
	const percpu__any_word *const words = (const percpu__any_word *)(uintptr_t)__start_percpu_static;

	/* A use: else linkers that collect what nobody uses take the section away under the two symbols. */
	__asm__ __volatile__("" : : "r"(&percpu__static_anchor));
	for (uintptr_t i = 0; i < bytes / sizeof(*words); i++)
		if (words[i] != PERCPU__ANCHOR) {
			percpu__module_attach();
			return;
		}
	if (bytes % sizeof(*words))
		percpu__module_attach();
}

#if defined(__PIC__) && !defined(__PIE__)
PERCPU__SHARED_BY_MODULE __attribute__((__destructor__(PERCPU__STATIC_PRIORITY))) void percpu__module_end(void)
{
	percpu_static_detach(&percpu__module_area);
}
#endif

/* The per-CPU pointer of what looks like one variable. */
PERCPU__INLINE void *percpu__located(uintptr_t address)
{
	const uintptr_t offset = address - (uintptr_t)__start_percpu_static;
	char *area;

	if (offset >= (uintptr_t)__stop_percpu_static - (uintptr_t)__start_percpu_static)
		return (void *)address;
	area = __atomic_load_n(&percpu__module_area, __ATOMIC_ACQUIRE);
	if (__builtin_expect(!area, 0))
		area = percpu__module_attach();
	return area + offset;
}

#ifdef __cplusplus
}
#endif

/* An array is a pointer to its first element, as everywhere in C. */
#define percpu__of_pointer(p) ((percpu__typeof(p) __percpu *)(uintptr_t)percpu__located((uintptr_t)(p)))
#define percpu__of_lvalue(v) ((percpu__typeof(&(v)) __percpu *)(uintptr_t)percpu__located((uintptr_t)&(v)))

/* ---- Memory ---- */

#define alloc_percpu(type) percpu_new(type)
#define __alloc_percpu(size, align) percpu_alloc((size), (align))
#define free_percpu(p) percpu_free(p)

#define DEFINE_PER_CPU(type, name) PERCPU__IN_SECTION __typeof__(type) name
#define DECLARE_PER_CPU(type, name) extern PERCPU__HIDDEN PERCPU__IN_SECTION __typeof__(type) name
#define DEFINE_PER_CPU_ALIGNED(type, name) DEFINE_PER_CPU(type, name) __attribute__((__aligned__(64)))
#define DECLARE_PER_CPU_ALIGNED(type, name) DECLARE_PER_CPU(type, name) __attribute__((__aligned__(64)))
#define DEFINE_PER_CPU_SHARED_ALIGNED(type, name) DEFINE_PER_CPU_ALIGNED(type, name)
#define DECLARE_PER_CPU_SHARED_ALIGNED(type, name) DECLARE_PER_CPU_ALIGNED(type, name)
#define DEFINE_PER_CPU_READ_MOSTLY(type, name) DEFINE_PER_CPU(type, name)
#define DECLARE_PER_CPU_READ_MOSTLY(type, name) DECLARE_PER_CPU(type, name)
#define EXPORT_PER_CPU_SYMBOL(name) PERCPU__STATIC_ASSERT(sizeof(name) > 0, "declared")
#define EXPORT_PER_CPU_SYMBOL_GPL(name) EXPORT_PER_CPU_SYMBOL(name)

/* ---- Copies ---- */

#define per_cpu_ptr(p, cpu) percpu_ptr(percpu__of_pointer(p), (cpu))
#define per_cpu(v, cpu) (*percpu_ptr(percpu__of_lvalue(v), (cpu)))
#define this_cpu_ptr(p) percpu_this_ptr(percpu__of_pointer(p)) /* a hint, as all addresses of copies are */
#define raw_cpu_ptr(p) this_cpu_ptr(p)
#define raw_smp_processor_id() percpu_this_cpu()

/*
 * A sum over the possible CPUs must be exact, and so it has to visit the foreign copy, which belongs to
 * no CPU. Therefore "possible CPUs" are the copies here, wherever they are counted or walked.
 */
#define nr_cpu_ids percpu_nr_copies()
#define num_possible_cpus() percpu_nr_copies()
#define for_each_possible_cpu(cpu) for ((cpu) = 0; (unsigned)(cpu) < nr_cpu_ids; (cpu)++)

/* ---- Operations ---- */

#define this_cpu_read(v) percpu_read(percpu__of_lvalue(v))
#define this_cpu_write(v, value) percpu_write(percpu__of_lvalue(v), (value))
#define this_cpu_add(v, value) percpu_add(percpu__of_lvalue(v), (value))
#define this_cpu_sub(v, value) percpu_sub(percpu__of_lvalue(v), (value))
#define this_cpu_inc(v) percpu_inc(percpu__of_lvalue(v))
#define this_cpu_dec(v) percpu_dec(percpu__of_lvalue(v))
#define this_cpu_and(v, value) percpu_and(percpu__of_lvalue(v), (value))
#define this_cpu_or(v, value) percpu_or(percpu__of_lvalue(v), (value))
#define this_cpu_add_return(v, value) percpu_add_return(percpu__of_lvalue(v), (value))
#define this_cpu_sub_return(v, value) percpu_sub_return(percpu__of_lvalue(v), (value))
#define this_cpu_inc_return(v) percpu_inc_return(percpu__of_lvalue(v))
#define this_cpu_dec_return(v) percpu_dec_return(percpu__of_lvalue(v))
#define this_cpu_xchg(v, value) percpu_xchg(percpu__of_lvalue(v), (value))
#define this_cpu_cmpxchg(v, old, value) percpu_cmpxchg(percpu__of_lvalue(v), (old), (value))

#define __this_cpu_read(v) this_cpu_read(v)
#define __this_cpu_write(v, value) this_cpu_write(v, value)
#define __this_cpu_add(v, value) this_cpu_add(v, value)
#define __this_cpu_sub(v, value) this_cpu_sub(v, value)
#define __this_cpu_inc(v) this_cpu_inc(v)
#define __this_cpu_dec(v) this_cpu_dec(v)
#define __this_cpu_and(v, value) this_cpu_and(v, value)
#define __this_cpu_or(v, value) this_cpu_or(v, value)
#define __this_cpu_add_return(v, value) this_cpu_add_return(v, value)
#define __this_cpu_sub_return(v, value) this_cpu_sub_return(v, value)
#define __this_cpu_inc_return(v) this_cpu_inc_return(v)
#define __this_cpu_dec_return(v) this_cpu_dec_return(v)
#define __this_cpu_xchg(v, value) this_cpu_xchg(v, value)
#define __this_cpu_cmpxchg(v, old, value) this_cpu_cmpxchg(v, old, value)

#define raw_cpu_read(v) this_cpu_read(v)
#define raw_cpu_write(v, value) this_cpu_write(v, value)
#define raw_cpu_add(v, value) this_cpu_add(v, value)
#define raw_cpu_sub(v, value) this_cpu_sub(v, value)
#define raw_cpu_inc(v) this_cpu_inc(v)
#define raw_cpu_dec(v) this_cpu_dec(v)
#define raw_cpu_and(v, value) this_cpu_and(v, value)
#define raw_cpu_or(v, value) this_cpu_or(v, value)
#define raw_cpu_add_return(v, value) this_cpu_add_return(v, value)
#define raw_cpu_sub_return(v, value) this_cpu_sub_return(v, value)
#define raw_cpu_inc_return(v) this_cpu_inc_return(v)
#define raw_cpu_dec_return(v) this_cpu_dec_return(v)
#define raw_cpu_xchg(v, value) this_cpu_xchg(v, value)
#define raw_cpu_cmpxchg(v, old, value) this_cpu_cmpxchg(v, old, value)

/* ---- Counters ---- */

/*
 * Most names are the native ones; init takes the kernel's arguments in a file that includes this header.
 * A batch that an addition names bounds what it may hold back; a comparison is exact, whatever it names.
 */
#define percpu_counter_init(counter, value, gfp) ((void)(gfp), (percpu_counter_init)((counter), (value), 0))
#define percpu_counter_init_many(counters, value, gfp, nr)                                                   \
	((void)(gfp), percpu_counter_init_bulk((nr), (counters), (value), 0))
#define percpu_counter_destroy(counter) percpu_counter_fini(counter)
#define percpu_counter_destroy_many(counters, nr) percpu_counter_fini_bulk((nr), (counters))
#define percpu_counter_add_local(counter, amount) percpu_counter_add((counter), (amount))
#define percpu_counter_sub_local(counter, amount) percpu_counter_sub((counter), (amount))
#define __percpu_counter_compare(counter, limit, batch) ((void)(batch), percpu_counter_compare((counter), (limit)))
#define percpu_counter_sum_all(counter) percpu_counter_sum(counter)
#define __percpu_counter_sum(counter) percpu_counter_sum(counter)
#define percpu_counter_sync(counter) percpu_counter_add_batch((counter), 0, 1)

/* A counter that cannot be negative may be read so. */
PERCPU__INLINE int64_t percpu_counter_read_positive(const struct percpu_counter *counter)
{
	const int64_t value = percpu_counter_read(counter);

	return value < 0 ? 0 : value;
}

PERCPU__INLINE int64_t percpu_counter_sum_positive(const struct percpu_counter *counter)
{
	const int64_t value = percpu_counter_sum(counter);

	return value < 0 ? 0 : value;
}

PERCPU__INLINE bool percpu_counter_initialized(const struct percpu_counter *counter)
{
	return counter->copies != NULL;
}

/* ---- Object caches ---- */

/*
 * Flags of allocations mean nothing here but __GFP_ZERO. For SLAB_TYPESAFE_BY_RCU a flavour must be
 * named: create such a cache by percpu_cache_create_attr.
 */
#ifndef GFP_KERNEL
typedef unsigned gfp_t;
#define GFP_KERNEL 0u
#define GFP_ATOMIC 0u
#define GFP_NOWAIT 0u
#define __GFP_ZERO 1u
#endif
#define SLAB_HWCACHE_ALIGN PERCPU_CACHE_LINE_ALIGN
#define SLAB_PANIC 0u /* and then they fail as they would without */
#define SLAB_ACCOUNT 0u
#define SLAB_RECLAIM_ACCOUNT 0u
#define kmem_cache percpu_cache

#define kmem_cache_create(name, size, align, flags, ctor)                                                    \
	percpu_cache_create((name), (size) < PERCPU_CACHE_MIN_SIZE ? PERCPU_CACHE_MIN_SIZE : (size), (align),  \
			    (flags), (ctor))
#define KMEM_CACHE(type, flags) kmem_cache_create(#type, sizeof(struct type), __alignof__(struct type), (flags), NULL)
#define kmem_cache_free(cache, object) percpu_cache_free((cache), (object))
#define kmem_cache_free_bulk(cache, n, objects) percpu_cache_free_bulk((cache), (n), (objects))
#define kmem_cache_shrink(cache) (percpu_cache_shrink(cache) < 0)
#define kmem_cache_size(cache) ((unsigned)(cache)->size)

PERCPU__INLINE void *kmem_cache_alloc(struct percpu_cache *cache, unsigned flags)
{
	void *object = percpu_cache_alloc(cache);

	return flags & __GFP_ZERO && object ? __builtin_memset(object, 0, cache->size) : object;
}

PERCPU__INLINE void *kmem_cache_zalloc(struct percpu_cache *cache, unsigned flags)
{
	return kmem_cache_alloc(cache, flags | __GFP_ZERO);
}

/* Returns: n, or 0 and no object. */
PERCPU__INLINE int kmem_cache_alloc_bulk(struct percpu_cache *cache, unsigned flags, size_t n, void **objects)
{
	if (percpu_cache_alloc_bulk(cache, n, objects) < 0)
		return 0;
	for (size_t i = 0; flags & __GFP_ZERO && i < n; i++)
		__builtin_memset(objects[i], 0, cache->size);
	return (int)n;
}

/* NULL is fine; a cache with objects in use stays. */
PERCPU__INLINE void kmem_cache_destroy(struct percpu_cache *cache)
{
	if (cache)
		(void)percpu_cache_destroy(cache);
}

#endif
