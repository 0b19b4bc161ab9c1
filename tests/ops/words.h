/* SPDX-License-Identifier: MIT */
/*
 * Every operation on every type with values of many types, against the plain C that it stands for.
 * The words on both sides of the one operated on must stay as they are.
 */
#ifndef TESTS_OPS_WORDS_H
#define TESTS_OPS_WORDS_H

#include "ops/modes.h"

enum color { RED, GREEN = 5, BLUE = 0x7000 };

/* What the copies hold before and, but for the word itself, after. */
#define FRAME_BYTES 24
struct frame {
	unsigned char before[8];
	unsigned char word[8];
	unsigned char after[8];
};

static const uint64_t starts[] = {
	0, 1, UINT64_MAX, 0x8080808080808080, 0x7f7f7f7f7f7f7f7f, 0x0123456789abcdef, 0x8000000000000000, 0xfedcba98,
};
#define NR_STARTS (sizeof(starts) / sizeof(starts[0]))

static struct frame *frame_of(void *p, int copy)
{
	return percpu_ptr((struct frame *)((char *)p - 8), copy);
}

static void set_word(void *p, int copy, const void *word, size_t size)
{
	struct frame *frame = frame_of(p, copy);

	memset(frame, 0xa5, sizeof(*frame));
	memcpy(frame->word, word, size);
}

static bool has_word(void *p, int copy, const void *word, size_t size)
{
	struct frame want;

	memset(&want, 0xa5, sizeof(want));
	memcpy(want.word, word, size);
	return !memcmp(frame_of(p, copy), &want, sizeof(want));
}

/* For each start: the operation and the plain statement, then the same word and the same result. */
#define SAME(type, operation, statement)                                                                     \
	for (size_t i_ = 0; i_ < NR_STARTS; i_++) {                                                          \
		type plain = (type)starts[i_];                                                               \
		type const start = plain;                                                                    \
		set_word((void *)p, copy, &start, sizeof(start));                                                    \
		operation;                                                                                   \
		statement;                                                                                   \
		require(has_word((void *)p, copy, &plain, sizeof(plain)));                                           \
		(void)start;                                                                                 \
	}
#define SAME_RESULT(type, operation, statement, result)                                                      \
	SAME(type, __typeof__(operation) got_ = operation, statement; require(got_ == (result));             \
	     require(sizeof(got_) == sizeof(type)))

#define SAME_NUMBER(type, v)                                                                                 \
	SAME(type, percpu_add(p, v), plain += v)                                                             \
	SAME(type, percpu_sub(p, v), plain -= v)                                                             \
	SAME_RESULT(type, percpu_add_return(p, v), plain += v, plain)                                        \
	SAME_RESULT(type, percpu_sub_return(p, v), plain -= v, plain)
#define SAME_BITS(type, v)                                                                                   \
	SAME(type, percpu_and(p, v), plain &= v)                                                             \
	SAME(type, percpu_or(p, v), plain |= v)
#define SAME_VALUE(type, v)                                                                                  \
	SAME(type, percpu_write(p, v), plain = v)                                                            \
	SAME_RESULT(type, percpu_xchg(p, v), plain = v, start)                                               \
	SAME_RESULT(type, percpu_cmpxchg(p, v, (type)1), if (start == (type)(v)) plain = (type)1, start)                 \
	SAME_RESULT(type, percpu_cmpxchg(p, start, v), plain = v, start)                                     \
	SAME_RESULT(type, percpu_read(p), , start)
#define SAME_ALL(type, v) SAME_NUMBER(type, v) SAME_BITS(type, v) SAME_VALUE(type, v)

/* Constants, which become immediate operands, and values that the compiler does not know. */
#define WORDS_OF(name, type, qualified)                                                                      \
	static __attribute__((__noinline__)) void words_of_##name(qualified *p, int copy)                         \
	{                                                                                                    \
		volatile long long_value = -3;                                                               \
		volatile unsigned unsigned_value = 0xfffffffe;                                               \
		volatile signed char char_value = -100;                                                      \
		volatile unsigned short short_value = 0xff80;                                                \
		volatile uint64_t wide_value = 0x8000000180000001;                                           \
		SAME_ALL(type, 1)                                                                            \
		SAME_ALL(type, -1)                                                                           \
		SAME_ALL(type, -1U)                                                                          \
		SAME_ALL(type, 300)                                                                          \
		SAME_ALL(type, 'x')                                                                          \
		SAME_ALL(type, 0x80000000)                                                                   \
		SAME_ALL(type, 0xfedcba9876543210)                                                           \
		SAME_ALL(type, (signed char)-5)                                                              \
		SAME_ALL(type, (unsigned short)65535)                                                        \
		SAME_ALL(type, long_value)                                                                   \
		SAME_ALL(type, unsigned_value)                                                               \
		SAME_ALL(type, char_value)                                                                   \
		SAME_ALL(type, short_value)                                                                  \
		SAME_ALL(type, wide_value)                                                                   \
		SAME(type, percpu_inc(p), plain++)                                                           \
		SAME(type, percpu_dec(p), plain--)                                                           \
		SAME_RESULT(type, percpu_inc_return(p), plain++, plain)                                      \
		SAME_RESULT(type, percpu_dec_return(p), plain--, plain)                                      \
	}

#ifdef __SANITIZE_ADDRESS__ /* one: gcc takes minutes over more, with a check at every access */
#define EACH_NUMBER_TYPE(X) X(unsigned_long, unsigned long, unsigned long)
#elif defined(FEW_TYPES) /* one of each width, for builds of many kinds */
#define EACH_NUMBER_TYPE(X)                                                                                  \
	X(signed_char, signed char, signed char)                                                             \
	X(unsigned_short, unsigned short, unsigned short)                                                    \
	X(int, int, volatile int)                                                                            \
	X(unsigned_long, unsigned long, unsigned long)
#else
#define EACH_NUMBER_TYPE(X)                                                                                  \
	X(char, char, char)                                                                                  \
	X(signed_char, signed char, signed char)                                                             \
	X(unsigned_char, unsigned char, unsigned char)                                                       \
	X(short, short, short)                                                                               \
	X(unsigned_short, unsigned short, unsigned short)                                                    \
	X(int, int, volatile int)                                                                            \
	X(unsigned, unsigned, unsigned)                                                                      \
	X(long, long, long)                                                                                  \
	X(unsigned_long, unsigned long, volatile unsigned long)                                              \
	X(long_long, long long, long long)                                                                   \
	X(enum, enum color, enum color)
#endif

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverflow"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wunused-variable"
#ifdef __clang__
#pragma GCC diagnostic ignored "-Wconstant-conversion"
#pragma GCC diagnostic ignored "-Wimplicitly-unsigned-literal"
#endif
EACH_NUMBER_TYPE(WORDS_OF)

static __attribute__((__noinline__)) void words_of_bool(bool *p, int copy)
{
	volatile int two = 2;

	SAME_BITS(bool, true)
	SAME_BITS(bool, false)
	SAME_BITS(bool, 2)
	SAME_BITS(bool, two)
	SAME_BITS(bool, 256)
	SAME_VALUE(bool, true)
	SAME_VALUE(bool, false)
	SAME_VALUE(bool, 7)
	SAME_VALUE(bool, two)
}

static __attribute__((__noinline__)) void words_of_pointer(const char **p, int copy)
{
	const char *text = "text";

	SAME_VALUE(const char *, NULL)
	SAME_VALUE(const char *, text)
	SAME_RESULT(const char *, percpu_cmpxchg(p, text, NULL), , start)
}
#pragma GCC diagnostic pop

static bool words_in(enum state state)
{
	const int copy = enter(state);
	struct frame __percpu *frame;

	if (copy < 0)
		return false;
	frame = percpu_new(struct frame);
	require(frame);
#define RUN(name, type, qualified) words_of_##name((type *)((char *)frame + 8), copy);
	EACH_NUMBER_TYPE(RUN)
#undef RUN
	words_of_bool((bool *)((char *)frame + 8), copy);
	words_of_pointer((const char **)((char *)frame + 8), copy);
	percpu_for_each_copy(i) /* and nothing went elsewhere */
		for (unsigned byte = 0; (int)i != copy && byte < sizeof(*frame); byte++)
			require(!((unsigned char *)percpu_ptr(frame, i))[byte]);
	percpu_free(frame);
	return true;
}

#endif
