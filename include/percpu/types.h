/* SPDX-License-Identifier: MIT */
/*
 * The frame of operations, and what it asks the compiler: whether p is a per-CPU pointer, what it
 * points to, the same type without the mark, and whether a value is an integer.
 *
 * The compiler rejects a plain pointer as far as its types tell. In C with a mark (compiler.h) that
 * is always, with the message of the operation. In C++ and for gcc before 14 no type tells: with
 * optimization, a pointer into an object in sight is rejected, for a per-CPU pointer points into a
 * guard unit, where no object is; any other plain pointer compiles.
 */
#ifndef PERCPU_TYPES_H
#define PERCPU_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <percpu/abi/base.h>

#define PERCPU__NO_FLOATS "per-CPU arithmetic takes integers: convert a floating-point value first"
#define PERCPU__NO_ALIGN "per-CPU memory is aligned to PERCPU_MAX_ALIGN bytes at most"
#define PERCPU__NEED_INTEGER ": need a per-CPU pointer to an integer"
#define PERCPU__NEED_BITS ": need a per-CPU pointer to an integer or a bool"
#define PERCPU__NEED_WORD ": need a per-CPU pointer to an integer, a bool or a pointer"
#define PERCPU__NO_PLAIN "per-CPU operation: need a per-CPU pointer, and this one points to a plain object"
#ifdef __has_attribute
#define PERCPU__CAN_REFUSE_CALLS __has_attribute(__error__)
#else
#define PERCPU__CAN_REFUSE_CALLS 0
#endif

#define PERCPU__INLINE static inline __attribute__((__always_inline__, __unused__))

/*
 * percpu__op is the frame of an operation on *p: one copy of p, q; the type behind it; one check,
 * whose message names the operation; then the operation. percpu__local makes the names of a frame
 * its own, for frames nest in arguments.
 */
#define percpu__local percpu__numbered(__COUNTER__)
#define percpu__numbered(number) percpu__name(number)
#define percpu__name(number) p__##number
#define percpu__space(q) q##s
#define percpu__type(q) q##t
#define percpu__value(q) q##v

#ifdef __cplusplus
#include <type_traits>
template <typename T> struct percpu__same { typedef T type; };
#define percpu__typeof(p) typename percpu__same<typename std::remove_reference<decltype(*(p))>::type>::type
template <typename T> constexpr T percpu__implicitly(T v)
{
	return v;
}

/*
 * What a pointer points to; a float, which no operation takes, in place of what is no pointer to a
 * scalar value.
 */
template <typename P> struct percpu__pointee { typedef float type; };
template <typename T> struct percpu__pointee<T *> {
	typedef typename std::conditional<std::is_scalar<T>::value, T, float>::type type;
};

#define percpu__plain_type(p)                                                                      \
	typename std::remove_cv<typename std::remove_reference<decltype(*(p))>::type>::type
#define percpu__op(q, p, rule, text, operation)                                                    \
	__extension__({                                                                            \
		auto q = (p);                                                                      \
		typedef typename percpu__pointee<decltype(q)>::type percpu__space(q);              \
		typedef typename std::remove_cv<percpu__space(q)>::type percpu__type(q);           \
		static_assert(rule, text);                                                         \
		operation;                                                                         \
	})
#define percpu__is_pointer(type) std::is_pointer<type>::value
#define percpu__is_bool(type) std::is_same<type, bool>::value
#define percpu__is_term(q) percpu__has_kind<percpu__space(q)>(1)
#define percpu__is_number(q) percpu__has_kind<percpu__space(q)>(1 | 8)
#define percpu__is_bits(q) percpu__has_kind<percpu__space(q)>(1 | 2 | 8)
#define percpu__is_word(q) percpu__has_kind<percpu__space(q)>(1 | 2 | 4)
#define percpu__is_store(q) percpu__has_kind<percpu__space(q)>(1 | 2 | 4 | 8)
template <typename T> constexpr bool percpu__has_kind(int kinds)
{
	typedef typename std::remove_cv<T>::type plain;

	return (std::is_same<plain, bool>::value				     ? kinds & 2
		: std::is_integral<plain>::value || std::is_enum<plain>::value ? kinds & 1
		: std::is_pointer<plain>::value				     ? kinds & 4
									     : 0) &&
	       sizeof(plain) <= 8 && !(kinds & 8 && std::is_const<T>::value);
}
#define percpu__as(type, v) ((type)(v))
#define percpu__u64(v) ((uint64_t)(v))
#define percpu__from_u64(type, v) ((type)(v))
#define percpu__assigned(type, v) ((uint64_t)percpu__implicitly<type>(v))

/* v, which must be an integer, after the usual promotions. */
template <typename T> constexpr T percpu__integer(T v)
{
	static_assert(!std::is_floating_point<T>::value, PERCPU__NO_FLOATS);
	return v;
}

#define percpu__integer_local(q, v) auto percpu__value(q) = percpu__integer(+(v))

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
/*
 * Without the mark alone. Void, and arrays, are no values: there clang's way leaves the
 * mark of an array.
 */
#define percpu__is(p, type)                                                                                  \
	(__builtin_types_compatible_p(__typeof__(*(p)), type) ||                                             \
	 __builtin_types_compatible_p(__typeof__(*(p)), type PERCPU__SPACE))
#define percpu__either(condition, type, other) __typeof__(*__builtin_choose_expr(condition, (type *)0, (other *)0))
#define percpu__unmarked_value(p)                                                                            \
	percpu__either(percpu__is(p, percpu__bare(p)), percpu__bare(p), __typeof__(*(p)))
#define percpu__unmarked(p)                                                                        \
	percpu__either(                                                                            \
		percpu__is(p, void), void,                                                         \
		percpu__unmarked_value(__builtin_choose_expr(percpu__is(p, void), (char *)0, p)))
#define percpu__qualified(p, qualifier, type) percpu__either(percpu__has(p, qualifier), qualifier type, type)
#define percpu__typeof(p) percpu__qualified(p, const, percpu__qualified(p, volatile, percpu__unmarked(p)))
#else
#define percpu__typeof(p) __typeof__(*(p))
#endif
#define percpu__plain_type(p) percpu__bare(p)

/*
 * The local q of a frame, a copy of p, and the type of the value that it points to. A float, which
 * no operation takes, stands in place of what is no pointer, and of void where the compiler cannot
 * tell the class of void. gcc expands p twice, for it forgets an __auto_type with an erroneous
 * initializer, and reports q as undeclared.
 */
#ifdef __clang__
#define percpu__no_void(q) q
#elif defined(PERCPU__SPACE)
#define percpu__no_void(q) _Generic(q, void *: (float *)0, void PERCPU__SPACE *: (float *)0, default: q)
#else
#define percpu__no_void(q) _Generic(q, void *: (float *)0, default: q)
#endif
#define percpu__safe(q)                                                                            \
	__builtin_choose_expr(__builtin_classify_type(q) == 5, percpu__no_void(q), (float *)0)
#ifdef PERCPU__SPACE
#define percpu__types(q)                                                                           \
	typedef __typeof__(*percpu__safe(q)) percpu__space(q);                                     \
	typedef percpu__bare((percpu__space(q) *)0) percpu__type(q)
#else
#define percpu__types(q) typedef percpu__bare(percpu__safe(q)) percpu__type(q)
#endif
#ifdef __clang__
#define percpu__op(q, p, rule, text, operation)                                                    \
	__extension__({                                                                            \
		__auto_type q = (p);                                                               \
		percpu__types(q);                                                                  \
		_Static_assert(rule, text);                                                        \
		operation;                                                                         \
	})
#else
#define percpu__op(q, p, rule, text, operation)                                                    \
	__extension__({                                                                            \
		__typeof__(((void)0, (p))) q = (p);                                                \
		percpu__types(q);                                                                  \
		_Static_assert(rule, text);                                                        \
		operation;                                                                         \
	})
#endif
#ifdef PERCPU__SPACE
#define percpu__is_number(q)                                                                       \
	percpu__has_class(q, 4) && !percpu__is_bool(percpu__type(q)) && percpu__is_writable(q)
#define percpu__is_writable(q)                                                                     \
	_Generic((percpu__space(q) *)0, const percpu__space(q) *: 0, percpu__type(q) *: 0,         \
		 volatile percpu__type(q) *: 0, default: 1)
#define percpu__is_readable(q)                                                                     \
	_Generic((const volatile percpu__space(q) *)0, const volatile percpu__type(q) * : 0,       \
		 default : 1)
#else
#define percpu__is_number(q)                                                                       \
	percpu__has_class(q, 4) && _Generic(q, _Bool *: 0, volatile _Bool *: 0, const percpu__type(q) *: 0, \
					    const volatile percpu__type(q) *: 0, default: 1)
#define percpu__is_writable(q)                                                                     \
	_Generic(q, const percpu__type(q) *: 0, const volatile percpu__type(q) *: 0, default: 1)
#define percpu__is_readable(q) 1
#endif

/*
 * GCC's and clang's number for the class of a type: integers and enums 1 to 4, pointers
 * 5; void is 0.
 */
#define percpu__class(type) __builtin_classify_type(*(type *)8)
#define percpu__is_pointer(type) (percpu__class(type) == 5)
#define percpu__is_bool(type) _Generic(*(type *)8, _Bool: 1, default: 0)
#define percpu__has_class(q, nr) percpu__class(percpu__type(q)) - 1U < nr && sizeof(percpu__type(q)) < 9
#define percpu__is_term(q)                                                                         \
	percpu__has_class(q, 4) && !percpu__is_bool(percpu__type(q)) && percpu__is_readable(q)
#define percpu__is_bits(q) percpu__has_class(q, 4) && percpu__is_writable(q)
#define percpu__is_word(q) percpu__has_class(q, 5) && percpu__is_readable(q)
#define percpu__is_store(q) percpu__has_class(q, 5) && percpu__is_writable(q)
/*
 * The type itself; an int in place of a struct, for which the rule has failed: more than one error
 * helps nobody.
 */
#define percpu__scalar(type)                                                                       \
	__typeof__(__builtin_choose_expr(percpu__class(type) - 1U < 8, *(type *)8, 0))
#define percpu__as(type, v) ((percpu__scalar(type))(v))
#define percpu__u64(v) ((uint64_t)(v))
#define percpu__from_u64(type, v) ((percpu__scalar(type))(v))
#define percpu__assigned(type, v) ((uint64_t)(percpu__scalar(type)){ (v) })
#ifdef __clang__
#define percpu__integer_local(q, v)                                                                \
	__auto_type percpu__value(q) = +(v);                                                       \
	_Static_assert(__builtin_classify_type(percpu__value(q)) < 8, PERCPU__NO_FLOATS)
#else
#define percpu__integer_local(q, v)                                                                \
	__typeof__(+(v)) percpu__value(q) = (v);                                                   \
	_Static_assert(__builtin_classify_type(percpu__value(q)) < 8, PERCPU__NO_FLOATS)
#endif

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

/*
 * The local of a frame, whose rule has checked what it points to; as a number, for
 * one error is enough.
 */
PERCPU__INLINE void *percpu__plain(uintptr_t address)
{
	PERCPU__REFUSE_OBJECTS(address)
	return (void *)address;
}

#ifdef __cplusplus
}
PERCPU__INLINE void *percpu__verified(const volatile void __percpu *a_percpu_pointer)
{
	return percpu__plain((uintptr_t)a_percpu_pointer);
}
template <typename T, typename = typename std::enable_if<!std::is_pointer<T>::value>::type>
void *percpu__verified(const T &)
{
	return nullptr;
}
extern "C" {
#else
#define percpu__verified(q) percpu__plain((uintptr_t)q)
#endif

#ifdef __cplusplus
}
#endif

/* The address of the copy of cpu. */
#define percpu__copy_at(address, cpu) ((address) + (((uintptr_t)(cpu) + 1) << PERCPU_STRIDE_SHIFT))
#define percpu__untyped(p) ((void *)percpu__address(p))

#endif
