/* SPDX-License-Identifier: MIT */
/*
 * Operations on the copy of the CPU that the caller runs on.
 *
 * p is a per-CPU pointer to an integer of 1, 2, 4 or 8 bytes, an enum, a bool or a pointer; it may
 * point into the middle of an allocation (`&stats->packets`). Values convert as in plain C: what
 * `*p += v` would add to one variable, percpu_add(p, v) adds to one copy.
 * Arguments are evaluated once.
 *
 *	percpu_add(p, v)  percpu_sub(p, v)  percpu_inc(p)  percpu_dec(p)	integers and enums
 *	percpu_and(p, v)  percpu_or(p, v)					the same, and bools
 *	percpu_add_return(p, v)  _sub_  _inc_  _dec_return			the new value
 *	percpu_read(p)    percpu_write(p, v)					everything
 *	percpu_xchg(p, v)							the value before
 *	percpu_cmpxchg(p, old, v)		stores v where the copy holds old; the value before
 *
 * Each is one step to everything that runs on the same CPU: threads, signal handlers, the operation
 * itself after a migration. A sum over all copies (percpu_for_each_copy) taken after the writers
 * stopped is exact. Against a reader on another CPU an operation orders nothing but itself.
 *
 * Context: any thread, any time, signal handlers and constructors too. Nothing fails.
 */
#ifndef PERCPU_OPS_H
#define PERCPU_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <percpu/abi/list.h>
#include <percpu/alloc.h>
#include <percpu/sanitizers.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The list of operations. The shape says what goes in and out:
 *	UPDATE  void f(p, v)		FETCH    result f(p, v)
 *	READ    result f(p)		COMPARE  result f(p, old, v)
 */
#define PERCPU__OPERATIONS_OF(X, bits)                                                                       \
	X(UPDATE, add, bits)                                                                                 \
	X(UPDATE, and, bits)                                                                                 \
	X(UPDATE, or, bits)                                                                                  \
	X(UPDATE, write, bits)                                                                               \
	X(READ, read, bits)                                                                                  \
	X(FETCH, add_return, bits)                                                                           \
	X(FETCH, xchg, bits)                                                                                 \
	X(COMPARE, cmpxchg, bits)
#define PERCPU__OPERATIONS(X)                                                                                \
	PERCPU__OPERATIONS_OF(X, 8)                                                                          \
	PERCPU__OPERATIONS_OF(X, 16)                                                                         \
	PERCPU__OPERATIONS_OF(X, 32)                                                                         \
	PERCPU__OPERATIONS_OF(X, 64)

/*
 * Internal: a bounded stack of pointers in each copy, for caches in front of slower paths. A push
 * fails when it is full, a pop when it is empty, and both without a usable rseq area. To close the
 * stack of another CPU, store limit = 0, then fence: no section that still saw it open is left.
 */
struct percpu__stack {
	uint32_t nr;    /* slots in use; written by the sections of its CPU */
	uint32_t limit; /* slots; 0: closed */
	void *slot[];
};

#if defined(PERCPU__ARCH_X86_64)
#include <percpu/arch/x86_64.h>
#elif defined(PERCPU__ARCH_AARCH64)
#include <percpu/arch/aarch64.h>
#else
#include <percpu/arch/generic.h>
#endif

/*
 * The slow paths, exported. Each is the complete operation, including cold start, atomic mode and
 * the fallback copy. A generic machine has no other path.
 */
#define PERCPU__SLOW_UPDATE(op, bits) PERCPU_API PERCPU__OUTLINE void percpu_op_##op##_u##bits(void *p, uint##bits##_t v);
#define PERCPU__SLOW_READ(op, bits) PERCPU_API PERCPU__OUTLINE uint##bits##_t percpu_op_##op##_u##bits(void *p);
#define PERCPU__SLOW_FETCH(op, bits)                                                               \
	PERCPU_API PERCPU__OUTLINE uint##bits##_t percpu_op_##op##_u##bits(void *p,                \
									   uint##bits##_t v);
#define PERCPU__SLOW_COMPARE(op, bits)                                                                       \
	PERCPU_API PERCPU__OUTLINE uint##bits##_t percpu_op_##op##_u##bits(void *p, uint##bits##_t old,      \
									   uint##bits##_t v);
#define PERCPU__SLOW(shape, op, bits) PERCPU__SLOW_##shape(op, bits)
PERCPU__OPERATIONS(PERCPU__SLOW)
PERCPU_API PERCPU__OUTLINE void percpu_op_list_push(struct percpu_list *list,
						    struct percpu_list_node *node);
PERCPU_API PERCPU__OUTLINE struct percpu_list_node *percpu_op_list_pop(struct percpu_list *list);
PERCPU_API PERCPU__OUTLINE struct percpu_list_node *
percpu_op_list_pop_all(struct percpu_list *list);
PERCPU_API PERCPU__OUTLINE unsigned percpu_op_this_cpu(void);

/*
 * The fast paths, one for each width: bool percpu__try_<op>_u<bits>().
 * Returns: true if done; false if the caller must take the slow path.
 */
#define PERCPU__TRY(shape, op, bits) PERCPU__TRY_##shape(op, bits)
PERCPU__OPERATIONS(PERCPU__TRY)

/*
 * Number of the copy of the CPU that the caller was on a moment ago; the fallback copy's where it
 * has none.
 */
PERCPU__INLINE unsigned percpu_this_cpu(void)
{
	uint32_t cpu = percpu__cpu_id();

	if (__builtin_expect(cpu >= __atomic_load_n(&percpu_abi.cpu_limit, __ATOMIC_RELAXED), 0))
		return percpu_op_this_cpu();
	return cpu;
}

/* The typed address of that copy: a hint, for the caller may be elsewhere already. */
#define percpu_this_ptr(p) percpu_ptr((p), percpu_this_cpu())

/* Both paths of an operation; a constant size chooses the width: percpu__<op>(p, ..., size). */
#define PERCPU__BOTH_UPDATE(op, bits)                                                                        \
	if (__builtin_expect(!percpu__try_##op##_u##bits(p, (uint##bits##_t)v), 0))                          \
		percpu_op_##op##_u##bits(p, (uint##bits##_t)v);                                              \
	break;
#define PERCPU__BOTH_RESULT(op, bits, ...)                                                                   \
	{                                                                                                    \
		uint##bits##_t result;                                                                       \
		if (__builtin_expect(!percpu__try_##op##_u##bits(__VA_ARGS__, &result), 0))                  \
			result = percpu_op_##op##_u##bits(__VA_ARGS__);                                      \
		return result;                                                                               \
	}
#define PERCPU__SIZED_UPDATE(op)                                                                             \
	PERCPU__INLINE void percpu__##op(void *p, uint64_t v, size_t size)                                   \
	{                                                                                                    \
		percpu__will_store(p, size);                                                                 \
		switch (size) {                                                                              \
		case 1: PERCPU__BOTH_UPDATE(op, 8)                                                           \
		case 2: PERCPU__BOTH_UPDATE(op, 16)                                                          \
		case 4: PERCPU__BOTH_UPDATE(op, 32)                                                          \
		case 8: PERCPU__BOTH_UPDATE(op, 64)                                                          \
		}                                                                                            \
	}
#define PERCPU__SIZED_READ(op)                                                                               \
	PERCPU__INLINE uint64_t percpu__##op(void *p, size_t size)                                           \
	{                                                                                                    \
		percpu__will_load(p, size);                                                                  \
		switch (size) {                                                                              \
		case 1: PERCPU__BOTH_RESULT(op, 8, p)                                                        \
		case 2: PERCPU__BOTH_RESULT(op, 16, p)                                                       \
		case 4: PERCPU__BOTH_RESULT(op, 32, p)                                                       \
		default: PERCPU__BOTH_RESULT(op, 64, p)                                                      \
		}                                                                                            \
	}
#define PERCPU__SIZED_FETCH(op)                                                                              \
	PERCPU__INLINE uint64_t percpu__##op(void *p, uint64_t v, size_t size)                               \
	{                                                                                                    \
		percpu__will_store(p, size);                                                                 \
		switch (size) {                                                                              \
		case 1: PERCPU__BOTH_RESULT(op, 8, p, (uint8_t)v)                                            \
		case 2: PERCPU__BOTH_RESULT(op, 16, p, (uint16_t)v)                                          \
		case 4: PERCPU__BOTH_RESULT(op, 32, p, (uint32_t)v)                                          \
		default: PERCPU__BOTH_RESULT(op, 64, p, v)                                                   \
		}                                                                                            \
	}
#define PERCPU__SIZED_COMPARE(op)                                                                            \
	PERCPU__INLINE uint64_t percpu__##op(void *p, uint64_t old, uint64_t v, size_t size)                 \
	{                                                                                                    \
		percpu__will_store(p, size);                                                                 \
		switch (size) {                                                                              \
		case 1: PERCPU__BOTH_RESULT(op, 8, p, (uint8_t)old, (uint8_t)v)                              \
		case 2: PERCPU__BOTH_RESULT(op, 16, p, (uint16_t)old, (uint16_t)v)                           \
		case 4: PERCPU__BOTH_RESULT(op, 32, p, (uint32_t)old, (uint32_t)v)                           \
		default: PERCPU__BOTH_RESULT(op, 64, p, old, v)                                              \
		}                                                                                            \
	}
#define PERCPU__SIZED(shape, op, bits) PERCPU__SIZED_##shape(op)
PERCPU__OPERATIONS_OF(PERCPU__SIZED, )

/* Context: any, as for all operations. */
PERCPU__INLINE void percpu__list_push(struct percpu_list *list, struct percpu_list_node *node)
{
	percpu__will_store(list, sizeof(*list));
	percpu__hand_over(node);
	if (__builtin_expect(!percpu__try_list_push(list, node), 0))
		percpu_op_list_push(list, node);
}

PERCPU__INLINE struct percpu_list_node *percpu__list_pop(struct percpu_list *list)
{
	struct percpu_list_node *node;

	percpu__will_store(list, sizeof(*list));
	if (__builtin_expect(!percpu__try_list_pop(list, &node), 0))
		node = percpu_op_list_pop(list);
	percpu__take_over(node);
	return node;
}

PERCPU__INLINE struct percpu_list_node *percpu__list_pop_all(struct percpu_list *list)
{
	struct percpu_list_node *first;

	percpu__will_store(list, sizeof(*list));
	if (__builtin_expect(!percpu__try_list_pop_all(list, &first), 0))
		first = percpu_op_list_pop_all(list);
	for (struct percpu_list_node *node = first; PERCPU__TSAN && node; node = node->next)
		percpu__take_over(node);
	return first;
}

PERCPU__INLINE bool percpu__stack_push(struct percpu__stack __percpu *s, void *item)
{
	percpu__hand_over(item);
	return percpu__try_stack_push((struct percpu__stack *)(uintptr_t)s, item);
}

PERCPU__INLINE void *percpu__stack_pop(struct percpu__stack __percpu *s)
{
	void *item;

	if (!percpu__try_stack_pop((struct percpu__stack *)(uintptr_t)s, &item))
		return NULL;
	percpu__take_over(item);
	return item;
}

#ifdef __cplusplus
}
#endif

/*
 * Conversions of v as in `*p += v`, `*p &= v` and `*p = v`, where q is the local of the frame
 * (types.h), and of the result. A pointer that is stored or read takes with it the object that it
 * points to.
 */
#define percpu__size(q) sizeof(percpu__type(q))
#define percpu__term(q) percpu__u64(percpu__as(percpu__type(q), percpu__value(q)))
#define percpu__mask(q, v)                                                                         \
	percpu__u64(percpu__as(percpu__type(q),                                                    \
			       (v) & (percpu__is_bool(percpu__type(q)) ? 1ULL : ~0ULL)))
#define percpu__given(q, v)                                                                        \
	percpu__hand_over_value(percpu__assigned(percpu__type(q), v),                              \
				percpu__is_pointer(percpu__type(q)))
#define percpu__typed(q, result) percpu__from_u64(percpu__type(q), result)
#define percpu__taken(q, result)                                                                   \
	percpu__typed(q, percpu__take_over_value(result, percpu__is_pointer(percpu__type(q))))

/* The frame around each operation; q is its local, name what its message begins with. */
#define percpu__add_op(q, p, name, term)                                                           \
	percpu__op(q, p, percpu__is_number(q), name PERCPU__NEED_INTEGER,                          \
		   percpu__add(percpu__verified(q), term, percpu__size(q)))
#define percpu__add_return_op(q, p, name, term)                                                    \
	percpu__op(q, p, percpu__is_number(q), name PERCPU__NEED_INTEGER,                          \
		   percpu__typed(q, percpu__add_return(percpu__verified(q), term, percpu__size(q))))
#define percpu__add_v(q, p, name, v)                                                               \
	percpu__op(q, p, percpu__is_number(q), name PERCPU__NEED_INTEGER, percpu__integer_local(q, v); \
		   percpu__add(percpu__verified(q), percpu__term(q), percpu__size(q)))
#define percpu__sub_v(q, p, name, v)                                                               \
	percpu__op(q, p, percpu__is_number(q), name PERCPU__NEED_INTEGER, percpu__integer_local(q, v); \
		   percpu__add(percpu__verified(q), 0 - percpu__term(q), percpu__size(q)))
#define percpu__add_return_v(q, p, name, v)                                                        \
	percpu__op(q, p, percpu__is_number(q), name PERCPU__NEED_INTEGER, percpu__integer_local(q, v); \
		   percpu__typed(q, percpu__add_return(percpu__verified(q), percpu__term(q),       \
						       percpu__size(q))))
#define percpu__sub_return_v(q, p, name, v)                                                        \
	percpu__op(q, p, percpu__is_number(q), name PERCPU__NEED_INTEGER, percpu__integer_local(q, v); \
		   percpu__typed(q, percpu__add_return(percpu__verified(q), 0 - percpu__term(q),   \
						       percpu__size(q))))
#define percpu__and_v(q, p, name, v)                                                               \
	percpu__op(q, p, percpu__is_bits(q), name PERCPU__NEED_BITS,                               \
		   percpu__and(percpu__verified(q), percpu__mask(q, v), percpu__size(q)))
#define percpu__or_v(q, p, name, v)                                                                \
	percpu__op(q, p, percpu__is_bits(q), name PERCPU__NEED_BITS, percpu__integer_local(q, (v) | 0); \
		   percpu__or(percpu__verified(q), percpu__term(q), percpu__size(q)))
#define percpu__read_of(q, p, name)                                                                \
	percpu__op(q, p, percpu__is_word(q), name PERCPU__NEED_WORD,                               \
		   percpu__taken(q, percpu__read(percpu__verified(q), percpu__size(q))))
#define percpu__write_v(q, p, name, v)                                                             \
	percpu__op(q, p, percpu__is_store(q), name PERCPU__NEED_WORD,                              \
		   percpu__write(percpu__verified(q), percpu__given(q, v), percpu__size(q)))
#define percpu__xchg_v(q, p, name, v)                                                              \
	percpu__op(q, p, percpu__is_store(q), name PERCPU__NEED_WORD,                              \
		   percpu__taken(q, percpu__xchg(percpu__verified(q), percpu__given(q, v),         \
						 percpu__size(q))))
#define percpu__cmpxchg_v(q, p, name, old, v)                                                      \
	percpu__op(q, p, percpu__is_store(q), name PERCPU__NEED_WORD,                              \
		   percpu__taken(q, percpu__cmpxchg(percpu__verified(q),                           \
						    percpu__assigned(percpu__type(q), old),        \
						    percpu__given(q, v), percpu__size(q))))

#define percpu_add(p, v) percpu__add_v(percpu__local, p, "percpu_add", v)
#define percpu_sub(p, v) percpu__sub_v(percpu__local, p, "percpu_sub", v)
#define percpu_inc(p) percpu__add_op(percpu__local, p, "percpu_inc", 1)
#define percpu_dec(p) percpu__add_op(percpu__local, p, "percpu_dec", UINT64_MAX)
#define percpu_and(p, v) percpu__and_v(percpu__local, p, "percpu_and", v)
#define percpu_or(p, v) percpu__or_v(percpu__local, p, "percpu_or", v)
#define percpu_add_return(p, v) percpu__add_return_v(percpu__local, p, "percpu_add_return", v)
#define percpu_sub_return(p, v) percpu__sub_return_v(percpu__local, p, "percpu_sub_return", v)
#define percpu_inc_return(p) percpu__add_return_op(percpu__local, p, "percpu_inc_return", 1)
#define percpu_dec_return(p) percpu__add_return_op(percpu__local, p, "percpu_dec_return", UINT64_MAX)
#define percpu_read(p) percpu__read_of(percpu__local, p, "percpu_read")
#define percpu_write(p, v) percpu__write_v(percpu__local, p, "percpu_write", v)
#define percpu_xchg(p, v) percpu__xchg_v(percpu__local, p, "percpu_xchg", v)
#define percpu_cmpxchg(p, old, v) percpu__cmpxchg_v(percpu__local, p, "percpu_cmpxchg", old, v)

/*
 * percpu_list_push - node becomes the first of this CPU's list.
 * percpu_list_pop - the first node, now the caller's, or NULL.
 * percpu_list_pop_all - all of them, chained by `next`, or NULL.
 */
#define percpu_list_push(list, node) percpu__list_push(percpu__a_list(list), (node))
#define percpu_list_pop(list) percpu__list_pop(percpu__a_list(list))
#define percpu_list_pop_all(list) percpu__list_pop_all(percpu__a_list(list))
#define percpu__a_list(list)                                                                                 \
	((struct percpu_list *)percpu__untyped(1 ? (list) : (struct percpu_list __percpu *)0))

#endif
