/* SPDX-License-Identifier: MIT */
/*
 * aarch64: every operation is one rseq critical section, written once as PERCPU__SECTION around the
 * few instructions that differ.
 *
 *	adrp/add x16, descriptor	the kernel restarts a thread at 5 if it is moved, preempted or
 *	str	x16, area->rseq_cs	signalled between 1 and 2
 *  1:	ldr	cpu, area->cpu_id
 *	cmp	cpu, limit		one unsigned compare: not registered (negative), a CPU without a
 *	b.hs	2f			copy, and a library that is not in rseq mode (limit 0)
 *	add	x16, p, cpu << 18	x16 is this CPU's copy: p has PERCPU_STRIDE in it already
 *	...
 *  2:
 *
 * Whether the body ran, C asks again by the same compare: a conditional branch reaches 1 MiB, and
 * the slow path may be put further away than that.
 *
 * The area is libc's, rseq_offset bytes from the thread pointer. While that offset is zero nothing
 * is armed, for the store would hit libc's own thread block.
 *
 * What the kernel finds in rseq_cs it reads at the next preemption, long after 2. Code of a shared
 * object may be gone by then, so there the sequence clears rseq_cs again.
 */
#ifndef PERCPU_ARCH_AARCH64_H
#define PERCPU_ARCH_AARCH64_H

#include <percpu/arch/tables.h>

#define PERCPU__HAS_SECTIONS 1

#ifdef PERCPU__CODE_MAY_GO
#define PERCPU__DISARM "	str	xzr, [%[area], #8]\n"
#else
#define PERCPU__DISARM ""
#endif

/* Read anew each time: code after a switch of fibers may run on another thread. */
PERCPU__INLINE void *percpu__thread_pointer(void)
{
	void *pointer;

	__asm__ __volatile__("mrs	%0, tpidr_el0" : "=r"(pointer));
	return pointer;
}

/* PERCPU_STRIDE_SHIFT as the assembler reads it. */
#ifdef __cplusplus
static_assert(PERCPU_STRIDE_SHIFT == 18, "what the sections shift by");
#else
_Static_assert(PERCPU_STRIDE_SHIFT == 18, "what the sections shift by");
#endif

/*
 * The area's offset from the thread pointer, and the limit. To the compiler functions of p, so that
 * one load serves all updates of p in a function, and in a loop: they never change once the library
 * has started, and p comes from the library. A caller that asked too early takes the slow paths.
 */
PERCPU__INLINE ptrdiff_t percpu__rseq_offset(const void *p)
{
	ptrdiff_t offset;

	__asm__("ldr	%0, [%1]" : "=r"(offset) : "r"(&percpu_abi.rseq_offset), "r"(p));
	return offset;
}

PERCPU__INLINE uint32_t percpu__cpu_limit(const void *p)
{
	uint32_t limit;

	__asm__("ldr	%w0, [%1]" : "=r"(limit) : "r"(&percpu_abi.cpu_limit), "r"(p));
	return limit;
}

/* In the same way, 8 bytes at an offset from p that do not change while p is valid. */
#define percpu__load_once(p, at)                                                                             \
	__extension__({                                                                                      \
		uint64_t loaded;                                                                             \
		__asm__("ldr	%0, [%1, %2]" : "=r"(loaded) : "r"(p), "i"(at));                             \
		loaded;                                                                                      \
	})

#define PERCPU__SECTION(body)                                                                                \
	PERCPU__TABLES("2f")                                                                         \
	"	.pushsection __rseq_failure, \"ax?\"\n"                                                       \
	"	.inst	0xd428bc00\n"          /* brk: the signature shall not run */                         \
	"4:	b	5f\n"                                                                                 \
	"	.popsection\n"                                                                                \
	"5:	adrp	x16, 3b\n"                                                                            \
	"	add	x16, x16, :lo12:3b\n"                                                                 \
	"	str	x16, [%[area], #8]\n"  /* area->rseq_cs = descriptor */                               \
	"1:	ldr	%w[cpu], [%[area], #4]\n" /* cpu = area->cpu_id */                                    \
	"	cmp	%w[cpu], %w[limit]\n"                                                                 \
	"	b.hs	2f\n"                                                                                 \
	"	add	x16, %[p], %x[cpu], lsl #18\n" /* x16 = the copy */                                   \
	body                                                                                                 \
	"2:\n"                                                                                               \
	PERCPU__DISARM

/* Suffix of a width's loads and stores; letter of its registers. */
#define PERCPU__S8 "b"
#define PERCPU__S16 "h"
#define PERCPU__S32 ""
#define PERCPU__S64 ""
#define PERCPU__R8 "w"
#define PERCPU__R16 "w"
#define PERCPU__R32 "w"
#define PERCPU__R64 "x"

#define PERCPU__LOAD(bits, register) /* register = *copy */                                                  \
	"	ldr" PERCPU__S##bits "	" register ", [x16]\n"
#define PERCPU__STORE(bits, register) /* *copy = register */                                                 \
	"	str" PERCPU__S##bits "	" register ", [x16]\n"
#define PERCPU__RMW(insn, bits)                                                                              \
	PERCPU__LOAD(bits, PERCPU__R##bits "17")                                                             \
	"	" insn "	" PERCPU__R##bits "17, " PERCPU__R##bits "17, %" PERCPU__R##bits "[v]\n"          \
	PERCPU__STORE(bits, PERCPU__R##bits "17")

#define PERCPU__BODY_add(bits) PERCPU__RMW("add", bits)
#define PERCPU__BODY_and(bits) PERCPU__RMW("and", bits)
#define PERCPU__BODY_or(bits) PERCPU__RMW("orr", bits)
#define PERCPU__BODY_write(bits) PERCPU__STORE(bits, "%" PERCPU__R##bits "[v]")
#define PERCPU__BODY_read(bits) PERCPU__LOAD(bits, "%" PERCPU__R##bits "[out]")
#define PERCPU__BODY_xchg(bits) PERCPU__BODY_read(bits) PERCPU__BODY_write(bits)
#define PERCPU__BODY_add_return(bits)                                                                        \
	PERCPU__BODY_read(bits)                                                                              \
	"	add	%" PERCPU__R##bits "[out], %" PERCPU__R##bits "[out], %" PERCPU__R##bits "[v]\n"      \
	PERCPU__STORE(bits, "%" PERCPU__R##bits "[out]")
#define PERCPU__BODY_cmpxchg(bits) /* old is extended as the load extends */                                 \
	PERCPU__BODY_read(bits)                                                                              \
	"	cmp	%" PERCPU__R##bits "[out], %" PERCPU__R##bits "[old]\n"                               \
	"	b.ne	2f\n"                                                                                 \
	PERCPU__BODY_write(bits)

/*
 * The function around a section; operands in parentheses. False: not done, and nothing is left
 * armed that must not be.
 */
#define PERCPU__UNWRAP(...) __VA_ARGS__
#define PERCPU__RUN(body, outputs, inputs) PERCPU__RUN_FOR(p, p, body, outputs, inputs)
#define PERCPU__RUN_FOR(whom, base, body, outputs, inputs)                                                   \
	uint32_t cpu;                                                                                        \
	const uint32_t limit = percpu__cpu_limit(whom);                                                      \
	const ptrdiff_t offset = percpu__rseq_offset(whom);                                                  \
	if (__builtin_expect(!offset, 0))                                                                    \
		return false;                                                                                \
	__asm__ __volatile__(PERCPU__SECTION(body)                                                           \
			     : PERCPU__UNWRAP outputs [cpu] "=&r"(cpu)                                       \
			     : PERCPU__UNWRAP inputs [area] "r"((char *)percpu__thread_pointer() + offset),  \
			       [limit] "r"(limit), [p] "r"((char *)(base) + PERCPU_STRIDE)                   \
			     : "x16", "x17", "memory", "cc");                                                \
	if (__builtin_expect(cpu >= limit, 0))                                                               \
		return false

#define PERCPU__TRY_UPDATE(op, bits)                                                                         \
	PERCPU__INLINE bool percpu__try_##op##_u##bits(void *p, uint##bits##_t v)                            \
	{                                                                                                    \
		PERCPU__RUN(PERCPU__BODY_##op(bits), (), ([v] "r"(v), ));                                    \
		return true;                                                                                 \
	}
#define PERCPU__TRY_RESULT(type, body, inputs)                                                               \
	{                                                                                                    \
		type out;                                                                                    \
		PERCPU__RUN(body, ([out] "=&r"(out), ), inputs);                                             \
		*result = out;                                                                               \
		return true;                                                                                 \
	}
#define PERCPU__TRY_READ(op, bits)                                                                           \
	PERCPU__INLINE bool percpu__try_##op##_u##bits(void *p, uint##bits##_t *result)                      \
	PERCPU__TRY_RESULT(uint##bits##_t, PERCPU__BODY_##op(bits), ())
#define PERCPU__TRY_FETCH(op, bits)                                                                          \
	PERCPU__INLINE bool percpu__try_##op##_u##bits(void *p, uint##bits##_t v, uint##bits##_t *result)    \
	PERCPU__TRY_RESULT(uint##bits##_t, PERCPU__BODY_##op(bits), ([v] "r"(v), ))
#define PERCPU__TRY_COMPARE(op, bits)                                                                        \
	PERCPU__INLINE bool percpu__try_##op##_u##bits(void *p, uint##bits##_t old, uint##bits##_t v,        \
						       uint##bits##_t *result)                               \
	PERCPU__TRY_RESULT(uint##bits##_t, PERCPU__BODY_##op(bits), ([old] "r"((uint64_t)old), [v] "r"(v), ))

PERCPU__INLINE bool percpu__try_list_push(void *p, struct percpu_list_node *node)
{
	PERCPU__RUN("	ldr	x17, [x16]\n"
		    "	str	x17, [%[node]]\n"     /* node->next = head */
		    "	str	%[node], [x16]\n",    /* head = node */
		    (), ([node] "r"(node), ));
	return true;
}

PERCPU__INLINE bool percpu__try_list_pop(void *p, struct percpu_list_node **result)
PERCPU__TRY_RESULT(struct percpu_list_node *,
		   "	ldr	%[out], [x16]\n"
		   "	cbz	%[out], 2f\n"          /* empty */
		   "	ldr	x17, [%[out]]\n"
		   "	str	x17, [x16]\n",         /* head = head->next */
		   ())

PERCPU__INLINE bool percpu__try_list_pop_all(void *p, struct percpu_list_node **result)
PERCPU__TRY_RESULT(struct percpu_list_node *,
		   "	ldr	%[out], [x16]\n"
		   "	str	xzr, [x16]\n",         /* head = NULL */
		   ())

PERCPU__INLINE bool percpu__try_stack_push(struct percpu__stack *p, void *item)
{
	uint64_t room;

	/* nr and limit by one load: who reopens a stack has changed nr before. */
	PERCPU__RUN("	ldr	x17, [x16]\n"
		    "	lsr	%[room], x17, #32\n"
		    "	cmp	w17, %w[room]\n"
		    "	cset	%w[room], lo\n"
		    "	b.hs	2f\n"                          /* nr >= limit: full or closed */
		    "	add	w17, w17, #1\n"
		    "	str	%[item], [x16, x17, lsl #3]\n" /* slot[nr] = item */
		    "	str	w17, [x16]\n",                 /* nr++ */
		    ([room] "=&r"(room), ), ([item] "r"(item), ));
	return room;
}

PERCPU__INLINE bool percpu__try_stack_pop(struct percpu__stack *p, void **result)
PERCPU__TRY_RESULT(void *,
		   "	ldr	x17, [x16]\n"
		   "	lsr	%[out], x17, #32\n"
		   "	mov	w17, w17\n"
		   "	cmp	w17, #0\n"
		   "	csel	%w[out], wzr, %w[out], eq\n"
		   "	cbz	%[out], 2f\n"                  /* nr == 0 or limit == 0: empty or closed */
		   "	ldr	%[out], [x16, x17, lsl #3]\n"
		   "	sub	w17, w17, #1\n"
		   "	str	w17, [x16]\n",                 /* nr-- */
		   ())

/*
 * The list of free objects in each copy (percpu/cache.h says what the words are). One store of the
 * word commits an operation and its count.
 *
 * *magazines is read inside the section: who stores another there and fences has closed all
 * magazines. So the section's p is NULL, x16 first the number of the CPU + 1, times PERCPU_STRIDE.
 * A magazine that the caller names is its copy's address - PERCPU_STRIDE; to compare them tells at
 * once that the CPU, the cache and its being open are right.
 */
#define PERCPU__CACHE_ANY                                                                                    \
	"	ldr	x17, %[magazines]\n"                                                                       \
	"	add	x16, x16, x17\n"
#define PERCPU__CACHE_NAMED                                                                                  \
	PERCPU__CACHE_ANY                                                                                    \
	"	cmp	x16, %[magazine]\n"                                                                       \
	"	b.ne	2f\n"

#define PERCPU__CACHE_TAKE(where, which)                                                                     \
	void *out;                                                                                           \
	uint64_t word;                                                                                       \
                                                                                                             \
	PERCPU__RUN_FOR(magazines, NULL,                                                                          \
		    "	mov	%[out], xzr\n"                                                                \
		    where                                                                                    \
		    "	ldr	%[word], [x16]\n"                                                             \
		    "	ands	x17, %[word], #0xffff\n"                                                      \
		    "	b.eq	2f\n"                                                                         \
		    "	add	x17, x16, x17, lsl #3\n"                                                      \
		    "	ldr	%[out], [x17, #8]\n"                   /* slot[nr - 1] */                     \
		    "	mov	w17, #0xffff\n"                                                               \
		    "	add	%[word], %[word], x17\n"               /* one operation more, one object less */ \
		    "	str	%[word], [x16]\n",                                                            \
		    ([out] "=&r"(out), [word] "=&r"(word), ), ([magazines] "Q"(*magazines), PERCPU__UNWRAP which));    \
	*result = out;                                                                                       \
	return out

/* The last object freed here. False: none, or closed. */
PERCPU__INLINE bool percpu__try_cache_take(char *const *magazines, void **result)
{
	PERCPU__CACHE_TAKE(PERCPU__CACHE_ANY, ());
}

/* The last object of that magazine. False: none, or not this CPU's, or closed. */
PERCPU__INLINE bool percpu__try_cache_take_from(char *const *magazines, char *const *magazine, void **result)
{
	PERCPU__CACHE_TAKE(PERCPU__CACHE_NAMED, ([magazine] "r"(*magazine + PERCPU_STRIDE), ));
}
#undef PERCPU__CACHE_TAKE

/* False: full, or not this CPU's, or closed, or item is the last already. */
PERCPU__INLINE bool percpu__try_cache_put(char *const *magazines, char *const *magazine, void *item)
{
	uint64_t word, last, done;

	PERCPU__RUN_FOR(magazines, NULL,
		    "	mov	%[done], xzr\n"
		    PERCPU__CACHE_NAMED
		    "	ldr	%[word], [x16]\n"
		    "	ldr	w17, [x16, #8]\n"
		    "	cmp	w17, %w[word], uxth\n"
		    "	b.ls	2f\n"                                  /* limit <= nr */
		    "	and	x17, %[word], #0xffff\n"
		    "	add	x17, x16, x17, lsl #3\n"
		    "	ldr	%[last], [x17, #8]\n"
		    "	cmp	%[last], %[item]\n"
		    "	b.eq	2f\n"                                  /* slot[nr - 1] == item; nr == 0: the limit is no address */
		    "	str	%[item], [x17, #16]\n"                 /* slot[nr] = item */
		    "	mov	%[done], #1\n"
		    "	add	%[word], %[word], #1\n"                /* one object more, one operation more */
		    "	add	%[word], %[word], #0x10, lsl #12\n"
		    "	str	%[word], [x16]\n",
		    ([done] "=&r"(done), [word] "=&r"(word), [last] "=&r"(last), ),
		    ([item] "r"(item), [magazine] "r"(*magazine + PERCPU_STRIDE), [magazines] "Q"(*magazines), ));
	return done;
}

/*
 * A copy of a counter (percpu/counter.h): its total, and how much of it is folded. An add that
 * would bring the two further apart than margin is left to the slow path; span is twice the margin.
 */
PERCPU__INLINE bool percpu__try_counter_add(void *p, int64_t v, const uint64_t *bounds)
{
	uint64_t done, total;

	PERCPU__RUN("	ldp	%[total], x17, [x16]\n"
		    "	add	%[total], %[total], %[v]\n"
		    "	sub	x17, %[total], x17\n"
		    "	add	x17, x17, %[margin]\n"
		    "	cmp	x17, %[span]\n"
		    "	cset	%w[done], ls\n"
		    "	b.hi	2f\n"
		    "	str	%[total], [x16]\n",
		    ([done] "=&r"(done), [total] "=&r"(total), ),
		    ([v] "r"(v), [margin] "r"(bounds[0]), [span] "r"(bounds[1]), ));
	return done;
}

/* Folds the total. *result: how far it was from what was folded before. */
PERCPU__INLINE bool percpu__try_counter_fold(void *p, int64_t *result)
PERCPU__TRY_RESULT(int64_t,
		   "	ldp	x17, %[out], [x16]\n"
		   "	sub	%[out], x17, %[out]\n"
		   "	str	x17, [x16, #8]\n",
		   ())

/*
 * The summary of a histogram's copy (percpu/histogram.h). False also where value is outside of min
 * to max.
 */
PERCPU__INLINE bool percpu__try_histogram_note(void *p, uint64_t value)
{
	uint64_t done, sum;

	PERCPU__RUN("	mov	%[done], xzr\n"
		    "	ldp	%[sum], x17, [x16]\n"
		    "	cmp	x17, %[value]\n"
		    "	b.lo	2f\n"                        /* max < value */
		    "	ldr	x17, [x16, #16]\n"
		    "	cmp	x17, %[inverse]\n"
		    "	b.lo	2f\n"                        /* ~min < ~value */
		    "	mov	%[done], #1\n"
		    "	add	%[sum], %[sum], %[value]\n"
		    "	str	%[sum], [x16]\n",            /* sum += value */
		    ([done] "=&r"(done), [sum] "=&r"(sum), ), ([value] "r"(value), [inverse] "r"(~value), ));
	return done;
}

/*
 * A copy of a group of fields (percpu/group.h): a word, and two slots that are `apart` bytes apart.
 * The word counts in steps of that, so that the bit of it which is worth as much says which slot
 * holds. All fields go into the other one, and the word commits. The barriers keep the stores of
 * one operation behind the commit before it, and ahead of its own; they pair with
 * percpu_group_read.
 */
#define PERCPU__GROUP_STEP(at, v) /* to[at] = from[at] + v */                                                \
	"	ldr	x17, [%[from], #" #at "]\n"                                                          \
	"	add	x17, x17, %[" #v "]\n"                                                               \
	"	str	x17, [%[to], #" #at "]\n"
#define PERCPU__GROUP_STEPS_2 PERCPU__GROUP_STEP(8, v0) PERCPU__GROUP_STEP(16, v1)
#define PERCPU__GROUP_STEPS_3 PERCPU__GROUP_STEPS_2 PERCPU__GROUP_STEP(24, v2)
#define PERCPU__GROUP_STEPS_4 PERCPU__GROUP_STEPS_3 PERCPU__GROUP_STEP(32, v3)
#define PERCPU__GROUP_INPUTS_2 [v0] "r"(v0), [v1] "r"(v1)
#define PERCPU__GROUP_INPUTS_3 PERCPU__GROUP_INPUTS_2, [v2] "r"(v2)
#define PERCPU__GROUP_INPUTS_4 PERCPU__GROUP_INPUTS_3, [v3] "r"(v3)
#define PERCPU__GROUP_SECTION(nr, apart)                                                                     \
	PERCPU__INLINE bool percpu__try_group_add_##nr(void *p, uint64_t v0, uint64_t v1, uint64_t v2,       \
						       uint64_t v3)                                          \
	{                                                                                                    \
		uint64_t word, from, to;                                                                     \
		(void)v2, (void)v3; /* not every group has them */                                           \
		PERCPU__RUN("	ldr	%[word], [x16]\n"                                                    \
			    "	and	%[from], %[word], #" #apart "\n"                                     \
			    "	eor	%[to], %[from], #" #apart "\n"                                       \
			    "	add	%[from], x16, %[from]\n"                                             \
			    "	add	%[to], x16, %[to]\n"                                                 \
			    "	dmb	ishst\n"                                                             \
			    PERCPU__GROUP_STEPS_##nr                                                         \
			    "	add	%[word], %[word], #" #apart "\n"                                     \
			    "	dmb	ishst\n"                                                             \
			    "	str	%[word], [x16]\n",                                                   \
			    ([word] "=&r"(word), [from] "=&r"(from), [to] "=&r"(to), ),                      \
			    (PERCPU__GROUP_INPUTS_##nr, ));                                                  \
		return true;                                                                                 \
	}
PERCPU__GROUP_SECTION(2, 16)
PERCPU__GROUP_SECTION(3, 32)
PERCPU__GROUP_SECTION(4, 32)
#undef PERCPU__GROUP_SECTION

/* The CPU's number as the kernel last wrote it; anything while the library is cold. */
PERCPU__INLINE uint32_t percpu__cpu_id(void)
{
	const ptrdiff_t offset = __atomic_load_n(&percpu_abi.rseq_offset, __ATOMIC_RELAXED);

	return __atomic_load_n((uint32_t *)((char *)percpu__thread_pointer() + offset + 4), __ATOMIC_RELAXED);
}

#endif
