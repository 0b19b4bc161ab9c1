/* SPDX-License-Identifier: MIT */
/*
 * What macros ask the compiler about a per-CPU pointer: whether it is one, what it points to, and the same without the
 * mark; and about a value, whether it is an integer.
 *
 * A plain pointer is refused as far as the compiler can know. Where there is a mark (compiler.h), in C, that is always:
 * percpu__address takes no pointer without it. Elsewhere, with optimization, it is where the object is in sight that
 * the pointer points into: per-CPU pointers point into guard units, where there is none.
 */
#ifndef PERCPU_TYPES_H
#define PERCPU_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <percpu/abi/base.h>

#define PERCPU__NO_FLOATS "per-CPU arithmetic takes integers: convert a floating-point value first"
#define PERCPU__NO_ALIGN "per-CPU memory is aligned to PERCPU_MAX_ALIGN bytes at most"
#define PERCPU__NO_PLAIN "this points to a plain object: an operation takes a per-CPU pointer"
#ifdef __has_attribute
#define PERCPU__CAN_REFUSE_CALLS __has_attribute(__error__)
#else
#define PERCPU__CAN_REFUSE_CALLS 0
#endif

#define PERCPU__INLINE static inline __attribute__((__always_inline__, __unused__))

#ifdef __cplusplus
#include <type_traits>
template <typename T> struct percpu__plain { typedef T type; };
#define percpu__typeof(p) typename percpu__plain<typename std::remove_reference<decltype(*(p))>::type>::type
template <typename T> constexpr bool percpu__has_kind()
{
	return std::is_integral<T>::value || std::is_enum<T>::value || std::is_pointer<T>::value;
}
template <typename T> constexpr T percpu__implicitly(T v)
{
	return v;
}
#define percpu__target(p) typename percpu__plain<typename std::remove_reference<decltype(*(p))>::type>::type
#define percpu__assert(condition, text) static_assert(condition, text)
#define percpu__is_word(p) percpu__has_kind<percpu__target(p)>()
#define percpu__is_pointer(p) std::is_pointer<percpu__target(p)>::value
#define percpu__is_bool(p) std::is_same<typename std::remove_cv<percpu__target(p)>::type, bool>::value
#define percpu__is_const(p) std::is_const<percpu__target(p)>::value
#define percpu__plain_type(p) typename std::remove_cv<percpu__target(p)>::type
#define percpu__assigned(p, v) ((uint64_t)percpu__implicitly<percpu__plain_type(p)>(v))

/* v, which must be an integer, after the usual promotions. */
template <typename T> constexpr T percpu__integer(T v)
{
	static_assert(!std::is_floating_point<T>::value, PERCPU__NO_FLOATS);
	return v;
}

template <size_t align> constexpr size_t percpu__aligned()
{
	static_assert(align <= PERCPU_MAX_ALIGN, PERCPU__NO_ALIGN);
	return align;
}
#define percpu__checked_align(align) percpu__aligned<(align)>()
#else
/* The type of the value: without qualifiers, and without the mark. */
#if defined(PERCPU__SPACE) && !defined(__clang__)
#define percpu__bare(p) __typeof_unqual__(*(p))
#else
#define percpu__bare(p) __typeof__(((void)0, *(p)))
#endif
#define percpu__has(p, qualifier)                                                                            \
	__builtin_types_compatible_p(__typeof__(*(p)) *, qualifier __typeof__(*(p)) *)
#ifdef PERCPU__SPACE
/* Without the mark alone. Void, and arrays, are no values: there clang's way leaves the mark of an array. */
#define percpu__is(p, type)                                                                                  \
	(__builtin_types_compatible_p(__typeof__(*(p)), type) ||                                             \
	 __builtin_types_compatible_p(__typeof__(*(p)), type PERCPU__SPACE))
#define percpu__either(condition, type, other) __typeof__(*__builtin_choose_expr(condition, (type *)0, (other *)0))
#define percpu__unmarked_value(p)                                                                            \
	percpu__either(percpu__is(p, percpu__bare(p)), percpu__bare(p), __typeof__(*(p)))
#define percpu__unmarked(p)                                                                                  \
	percpu__either(percpu__is(p, void), void,                                                            \
		       percpu__unmarked_value(__builtin_choose_expr(percpu__is(p, void), (char *)0, p)))
#define percpu__qualified(p, qualifier, type) percpu__either(percpu__has(p, qualifier), qualifier type, type)
#define percpu__typeof(p) percpu__qualified(p, const, percpu__qualified(p, volatile, percpu__unmarked(p)))
#else
#define percpu__typeof(p) __typeof__(*(p))
#endif
/* GCC's and clang's number for the class of a type: integers and enums 1 to 4, pointers 5. */
#define percpu__target(p) percpu__bare(p)
#define percpu__assert(condition, text) _Static_assert(condition, text)
#define percpu__class(p) __builtin_classify_type(*(percpu__target(p) *)sizeof(*(p)))
#define percpu__is_word(p) (percpu__class(p) >= 1 && percpu__class(p) <= 5)
#define percpu__is_pointer(p) (percpu__class(p) == 5)
#define percpu__is_bool(p) __builtin_types_compatible_p(percpu__target(p), _Bool)
#define percpu__is_const(p) percpu__has(p, const)
#define percpu__plain_type(p) percpu__bare(p)
#define percpu__assigned(p, v) ((uint64_t)(percpu__plain_type(p)){ (v) })

#define percpu__integer(v)                                                                                   \
	((void)sizeof(struct {                                                                               \
		 _Static_assert(__builtin_classify_type(v) < 8, PERCPU__NO_FLOATS);                          \
		 char c;                                                                                     \
	 }),                                                                                                 \
	 (v))
#define percpu__checked_align(align)                                                                         \
	((align) + 0 * sizeof(struct {                                                                       \
		_Static_assert((align) <= PERCPU_MAX_ALIGN, PERCPU__NO_ALIGN);                               \
		char c;                                                                                      \
	}))
#endif
/* The alignment of a type that is allocated: a constant. */
#define percpu__alignof(type) percpu__checked_align(__alignof__(type))

#ifdef __cplusplus
extern "C" {
#endif

#if !defined(PERCPU__SPACE) && defined(__OPTIMIZE__) && PERCPU__CAN_REFUSE_CALLS
extern void percpu__plain_pointer(void) __attribute__((__error__(PERCPU__NO_PLAIN)));
#define PERCPU__REFUSE_OBJECTS(p)                                                                            \
	if (__builtin_object_size((void *)(uintptr_t)(p), 0) != (size_t)-1)                                  \
		percpu__plain_pointer();
#else
#define PERCPU__REFUSE_OBJECTS(p)
#endif

/* The address of a per-CPU pointer, for arithmetic: what an operation is given. */
PERCPU__INLINE uintptr_t percpu__address(const volatile void __percpu *a_percpu_pointer)
{
	PERCPU__REFUSE_OBJECTS(a_percpu_pointer)
	return (uintptr_t)a_percpu_pointer;
}

#ifdef __cplusplus
}
#endif

/* The address of the copy of cpu. */
#define percpu__copy_at(address, cpu) ((address) + (((uintptr_t)(cpu) + 1) << PERCPU_STRIDE_SHIFT))
#define percpu__untyped(p) ((void *)percpu__address(p))
#endif
