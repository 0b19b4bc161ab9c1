/* SPDX-License-Identifier: MIT */
/*
 * The per-CPU part of the kernel's spelling: operations take lvalues, of memory from alloc_percpu
 * (`*p`, `p->field`) and of DEFINE_PER_CPU variables alike.
 *
 * DEFINE_PER_CPU variables live in one section of their module (program or shared object), which
 * holds their initial values and nothing else: touched directly, they are ordinary variables. The
 * module's section is attached as one per-CPU area, by a constructor or by whatever operation comes
 * first, and the macros here move addresses from the section to that area:
 *
 *	&variable  in  [start of section, its end)	->	area + (&variable - start)
 *	other addresses are per-CPU pointers		->	themselves
 *
 * Keep such variables static, or declare them with DECLARE_PER_CPU, which hides them from other
 * modules: one module's macros do not know the section of another.
 *
 * The operations (this_cpu_add and all below "Operations") are safe wherever the thread moves,
 * under each of their three prefixes. this_cpu_ptr and raw_cpu_ptr are not operations: they are the
 * address of a copy that was this CPU's a moment ago. The kernel's idiom
 *
 *	s = this_cpu_ptr(stats); s->packets++;
 *
 * needs preemption to be off, which a program cannot have, and so it loses updates: of other
 * threads, and those of this_cpu_inc(stats->packets). Write this_cpu_inc(stats->packets). In a file
 * that defines PERCPU_STRICT_THIS_PTR both are pointers to const, and such updates do not compile.
 * What needs preemption off by its name is missing: get_cpu_var().
 */
#ifndef PERCPU_KERNEL_PERCPU_H
#define PERCPU_KERNEL_PERCPU_H

#include <percpu/kernel/unmarked.h>

#include <percpu/alloc.h>
#include <percpu/ops.h>
#include <percpu/static.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PERCPU__HIDDEN __attribute__((__visibility__("hidden")))
#define PERCPU__SHARED_BY_MODULE __attribute__((__weak__, __visibility__("hidden")))
#define PERCPU__IN_SECTION __attribute__((__section__("percpu_static")))

/*
 * The linker sets both. The anchor keeps the section in being, and stays in every file that
 * includes this header, so that a module without variables is known by its section, which holds
 * nothing else.
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
		&percpu__module_area, __start_percpu_static,
		(uintptr_t)__stop_percpu_static - start,
		alignment < PERCPU_MAX_ALIGN ? alignment : PERCPU_MAX_ALIGN);

	__atomic_store_n(&percpu__module_area, area, __ATOMIC_RELEASE);
	return area;
}

/* A variable that looks like an anchor is attached by the first operation on it. */
PERCPU__SHARED_BY_MODULE __attribute__((__constructor__(PERCPU__STATIC_PRIORITY))) void
percpu__module_begin(void)
{
	const uintptr_t bytes = (uintptr_t)__stop_percpu_static - (uintptr_t)__start_percpu_static;
	typedef uint64_t __attribute__((__may_alias__)) percpu__any_word;
	const percpu__any_word *const words =
		(const percpu__any_word *)(uintptr_t)__start_percpu_static;

	/*
	 * A use: else linkers that collect what nobody uses take the section away
	 * under the two symbols.
	 */
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
PERCPU__SHARED_BY_MODULE __attribute__((__destructor__(PERCPU__STATIC_PRIORITY))) void
percpu__module_end(void)
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
#define percpu__of_copy(p, cpu)                                                                              \
	((percpu__typeof(p) *)(percpu__copy_at((uintptr_t)percpu__located((uintptr_t)(p)), cpu) +            \
			       0 * percpu__checked_align(__alignof__(*(p)))))
#define percpu__of_lvalue(v)                                                                                 \
	((void)percpu__checked_align(__alignof__(v)),                                                        \
	 (percpu__typeof(&(v)) __percpu *)(uintptr_t)percpu__located((uintptr_t)&(v)))

/* ---- Memory ---- */

#define alloc_percpu(type) percpu_new(type)
#define alloc_percpu_gfp(type, gfp) ((void)(gfp), percpu_new(type))
#define __alloc_percpu(size, align) percpu_alloc((size), (align))
#define __alloc_percpu_gfp(size, align, gfp) ((void)(gfp), percpu_alloc((size), (align)))
#define __alloc_reserved_percpu(size, align) percpu_alloc((size), (align))
#define free_percpu(p) percpu_free(p)

/* ---- Variables ---- */

/*
 * What is aligned to more than PERCPU_MAX_ALIGN is refused here as far as its type is, and else
 * where it is used.
 */
#ifdef __cplusplus
#define DEFINE_PER_CPU(type, name) PERCPU__IN_SECTION __typeof__(type) name
#else
#define DEFINE_PER_CPU(type, name)                                                                           \
	PERCPU__IN_SECTION __attribute__((__aligned__(percpu__alignof(type)))) __typeof__(type) name
#endif
#define DECLARE_PER_CPU(type, name) extern PERCPU__HIDDEN PERCPU__IN_SECTION __typeof__(type) name
#define DEFINE_PER_CPU_ALIGNED(type, name) DEFINE_PER_CPU(type, name) __attribute__((__aligned__(64)))
#define DECLARE_PER_CPU_ALIGNED(type, name) DECLARE_PER_CPU(type, name) __attribute__((__aligned__(64)))
#define DEFINE_PER_CPU_PAGE_ALIGNED(type, name) DEFINE_PER_CPU(type, name) __attribute__((__aligned__(4096)))
#define DECLARE_PER_CPU_PAGE_ALIGNED(type, name) DECLARE_PER_CPU(type, name) __attribute__((__aligned__(4096)))
#define DEFINE_PER_CPU_SHARED_ALIGNED(type, name) DEFINE_PER_CPU_ALIGNED(type, name)
#define DECLARE_PER_CPU_SHARED_ALIGNED(type, name) DECLARE_PER_CPU_ALIGNED(type, name)
#define DEFINE_PER_CPU_READ_MOSTLY(type, name) DEFINE_PER_CPU(type, name)
#define DECLARE_PER_CPU_READ_MOSTLY(type, name) DECLARE_PER_CPU(type, name)
#define DEFINE_PER_CPU_FIRST(type, name) DEFINE_PER_CPU(type, name)
#define DECLARE_PER_CPU_FIRST(type, name) DECLARE_PER_CPU(type, name)
#define DEFINE_PER_CPU_DECRYPTED(type, name) DEFINE_PER_CPU(type, name)
#define DECLARE_PER_CPU_DECRYPTED(type, name) DECLARE_PER_CPU(type, name)
#define DEFINE_PER_CPU_CACHE_HOT(type, name) DEFINE_PER_CPU(type, name)
#define DECLARE_PER_CPU_CACHE_HOT(type, name) DECLARE_PER_CPU(type, name)
#define DEFINE_PER_CPU_SECTION(type, name, section) DEFINE_PER_CPU(type, name)
#define DECLARE_PER_CPU_SECTION(type, name, section) DECLARE_PER_CPU(type, name)
#define EXPORT_PER_CPU_SYMBOL(name) PERCPU__STATIC_ASSERT(sizeof(name) > 0, "declared")
#define EXPORT_PER_CPU_SYMBOL_GPL(name) EXPORT_PER_CPU_SYMBOL(name)

/* ---- Copies ---- */

#define per_cpu_ptr(p, cpu) percpu__of_copy(p, cpu)
#define per_cpu(v, cpu) (*((void)percpu__checked_align(__alignof__(v)), percpu__of_copy(&(v), cpu)))
#ifdef PERCPU_STRICT_THIS_PTR
#define this_cpu_ptr(p) ((const percpu__typeof(p) *)percpu__of_copy(p, percpu_this_cpu()))
#else
#define this_cpu_ptr(p) percpu__of_copy(p, percpu_this_cpu())
#endif
#define raw_cpu_ptr(p) this_cpu_ptr(p)
#define raw_smp_processor_id() percpu_this_cpu()
#define smp_processor_id() percpu_this_cpu()
#define __smp_processor_id() percpu_this_cpu()

/*
 * A sum over the possible CPUs must be exact, and so it has to visit the fallback copy, which
 * belongs to no CPU. Therefore CPUs, possible, present or online, are the copies here, wherever
 * they are counted or walked.
 */
#define nr_cpu_ids percpu_nr_copies()
#define num_possible_cpus() percpu_nr_copies()
#define num_present_cpus() percpu_nr_copies()
#define num_online_cpus() percpu_nr_copies()
#define num_active_cpus() percpu_nr_copies()
#define cpu_possible(cpu) ((unsigned)(cpu) < nr_cpu_ids)
#define cpu_present(cpu) cpu_possible(cpu)
#define cpu_online(cpu) cpu_possible(cpu)
#define cpu_active(cpu) cpu_possible(cpu)
#define for_each_possible_cpu(cpu) for ((cpu) = 0; (unsigned)(cpu) < nr_cpu_ids; (cpu)++)
#define for_each_present_cpu(cpu) for_each_possible_cpu(cpu)
#define for_each_online_cpu(cpu) for_each_possible_cpu(cpu)

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
#define this_cpu_cmpxchg64(v, old, value) this_cpu_cmpxchg(v, old, value)
/* Whether it stored value; where not, *old is what the copy held. */
#define this_cpu_try_cmpxchg(v, old, value)                                                                  \
	__extension__({                                                                                      \
		percpu__plain_type(&(v)) *const percpu__at = (old);                                          \
		const percpu__plain_type(&(v)) percpu__wanted = *percpu__at;                                 \
		*percpu__at = this_cpu_cmpxchg(v, percpu__wanted, value);                                    \
		*percpu__at == percpu__wanted;                                                               \
	})
#define this_cpu_try_cmpxchg64(v, old, value) this_cpu_try_cmpxchg(v, old, value)

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
#define __this_cpu_try_cmpxchg(v, old, value) this_cpu_try_cmpxchg(v, old, value)

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
#define raw_cpu_cmpxchg64(v, old, value) this_cpu_cmpxchg(v, old, value)
#define raw_cpu_try_cmpxchg(v, old, value) this_cpu_try_cmpxchg(v, old, value)
#define raw_cpu_try_cmpxchg64(v, old, value) this_cpu_try_cmpxchg(v, old, value)

#endif
