/* SPDX-License-Identifier: MIT */
/*
 * x86-64: every operation is one rseq critical section. Those on words and lists are
 * PERCPU__SECTION, written once, around the one to three instructions that differ. Caches,
 * counters, histograms and groups have up to twenty instructions of their own, with PERCPU__ARMED
 * around them.
 *
 *	leaq	descriptor, %rax	the kernel restarts a thread at 5 if it is moved, preempted or
 *	movq	%rax, area->rseq_cs	signalled between 1 and 2
 *  1:	movl	area->cpu_id, %eax
 *	cmpl	cpu_limit, %eax		one unsigned compare: not registered (negative), a CPU without a
 *	jae	slow			copy, and a library that is not in rseq mode (limit 0)
 *	shlq	$18, %rax
 *	addq	p, %rax			STRIDE(%rax) is this CPU's copy: a single base register, which
 *	...				recent cores rename through memory; an indexed address they do not
 *  2:
 *
 * The area is libc's, rseq_offset bytes from the thread pointer. While that offset is zero nothing
 * is armed, for the store would hit libc's own thread block.
 *
 * The kernel reads the descriptor in rseq_cs at the next preemption, long after 2. A shared object
 * may be unloaded by then, so its critical sections clear rseq_cs again.
 */
#ifndef PERCPU_ARCH_X86_64_H
#define PERCPU_ARCH_X86_64_H

#include <percpu/arch/tables.h>

#define PERCPU__HAS_SECTIONS 1

#ifdef PERCPU__CODE_MAY_GO
#define PERCPU__DISARM "	movq	$0, %%fs:8(%[offset])\n"
#define percpu__disarm(offset) __asm__ __volatile__("movq $0, %%fs:8(%0)" : : "r"(offset) : "memory")
#else
#define PERCPU__DISARM ""
#define percpu__disarm(offset) ((void)(offset))
#endif

/* PERCPU_STRIDE_SHIFT and PERCPU_STRIDE as the assembler reads them. */
#define PERCPU__COPY "0x40000"
#ifdef __cplusplus
static_assert(PERCPU_STRIDE_SHIFT == 18 && PERCPU_STRIDE == 0x40000, "what the sections add up");
#else
_Static_assert(PERCPU_STRIDE_SHIFT == 18 && PERCPU_STRIDE == 0x40000, "what the sections add up");
#endif

/*
 * The area's offset from the thread pointer, and the limit. To the compiler functions of p, so that
 * one load serves all updates of p in a function, and in a loop: they never change once the library
 * has started, and p comes from the library. A caller that asked too early takes the slow paths.
 */
#ifdef __clang__ /* makes no operand of an address that it must load, nor of any without optimisation */
#define PERCPU__AT(address) "r"(address)
#define PERCPU__LOADED "(%1)"
#else
#define PERCPU__AT(address) "p"(address)
#define PERCPU__LOADED "%a1"
#endif
PERCPU__INLINE ptrdiff_t percpu__rseq_offset(const void *p)
{
	ptrdiff_t offset;

	__asm__("movq	" PERCPU__LOADED ", %0" : "=r"(offset) : PERCPU__AT(&percpu_abi.rseq_offset), "r"(p));
	return offset;
}

PERCPU__INLINE uint32_t percpu__cpu_limit(const void *p)
{
	uint32_t limit;

	__asm__("movl	" PERCPU__LOADED ", %0" : "=r"(limit) : PERCPU__AT(&percpu_abi.cpu_limit), "r"(p));
	return limit;
}
#undef PERCPU__LOADED
#undef PERCPU__AT

/* In the same way, 8 bytes at an offset from p that do not change while p is valid. */
#define percpu__load_once(p, at)                                                                             \
	__extension__({                                                                                      \
		uint64_t loaded;                                                                             \
		__asm__("movq	%c2(%1), %0" : "=r"(loaded) : "r"(p), "i"(at));                              \
		loaded;                                                                                      \
	})

/* body finds the number of the CPU in eax. */
#define PERCPU__ARMED(body)                                                                                  \
	PERCPU__TABLES("%l[slow]")                                                                   \
	"	.pushsection __rseq_failure, \"ax?\"\n"                                                       \
	"	.byte	0x0f, 0xb9, 0x3d\n"    /* ud1: the signature shall not run */                         \
	"	.long	0x53053053\n"                                                                         \
	"4:	jmp	5f\n"                                                                                 \
	"	.popsection\n"                                                                                \
	"5:	leaq	3b(%%rip), %%rax\n"                                                                   \
	"	movq	%%rax, %%fs:8(%[offset])\n" /* area->rseq_cs = descriptor */                          \
	"1:	movl	%%fs:4(%[offset]), %%eax\n" /* rax = area->cpu_id */                                  \
	body                                                                                                 \
	"2:\n"                                                                                               \
	PERCPU__DISARM

/* The same, and rax = the copy - PERCPU_STRIDE. */
#define PERCPU__SECTION(body)                                                                                \
	PERCPU__ARMED("	cmpl	%[limit], %%eax\n"                                                           \
		      "	jae	%l[slow]\n"                                                                  \
		      "	shlq	$18, %%rax\n"                                                                \
		      "	addq	%[p], %%rax\n"                                                               \
		      body)

#define PERCPU__INPUTS [offset] "r"(offset), [limit] "m"(percpu_abi.cpu_limit), [p] "r"(p)

/*
 * What lies in memory is given by address: gcc 12 puts the sum of a register and a constant back
 * into the address of an "m", also when the section changes that register.
 *
 * Compilers that optimise outputs of asm goto wrongly need the word volatile, an asm behind it and
 * one at its label (gcc bugs 113921, 110420; gcc 12 -O1 took `ok ? out : NULL` for
 * out on both ways).
 */
#define percpu__asm_goto(...)                                                                                \
	do {                                                                                                 \
		__asm__ __volatile__ goto(__VA_ARGS__);                                                      \
		__asm__ __volatile__("");                                                                    \
	} while (0)

/*
 * Suffix of a width's instructions; operand modifier of its registers, and of those
 * it is loaded into.
 */
#define PERCPU__S8 "b"
#define PERCPU__S16 "w"
#define PERCPU__S32 "l"
#define PERCPU__S64 "q"
#define PERCPU__R8 "b"
#define PERCPU__R16 "w"
#define PERCPU__R32 "k"
#define PERCPU__R64 "q"
#define PERCPU__W8 "k"
#define PERCPU__W16 "k"
#define PERCPU__W32 "k"
#define PERCPU__W64 "q"
#define PERCPU__L8 "movzbl"
#define PERCPU__L16 "movzwl"
#define PERCPU__L32 "movl"
#define PERCPU__L64 "movq"

#define PERCPU__RMW(name, bits)                                                                              \
	"	" name PERCPU__S##bits "	%" PERCPU__R##bits "[v], " PERCPU__COPY "(%%rax)\n"
#define PERCPU__LOAD(bits) /* out = *copy */                                                                 \
	"	" PERCPU__L##bits "	" PERCPU__COPY "(%%rax), %" PERCPU__W##bits "[out]\n"
#define PERCPU__STORE(what, bits) /* *copy = what */                                                         \
	"	mov" PERCPU__S##bits "	%" PERCPU__R##bits what ", " PERCPU__COPY "(%%rax)\n"

#define PERCPU__BODY_add(bits) PERCPU__RMW("add", bits)
#define PERCPU__BODY_and(bits) PERCPU__RMW("and", bits)
#define PERCPU__BODY_or(bits) PERCPU__RMW("or", bits)
#define PERCPU__BODY_write(bits) PERCPU__RMW("mov", bits)
#define PERCPU__BODY_read(bits) PERCPU__LOAD(bits)
#define PERCPU__BODY_xchg(bits) PERCPU__LOAD(bits) PERCPU__STORE("[v]", bits)
#define PERCPU__BODY_add_return(bits)                                                                        \
	PERCPU__LOAD(bits)                                                                                   \
	"	add	%" PERCPU__W##bits "[v], %" PERCPU__W##bits "[out]\n"                                 \
	PERCPU__STORE("[out]", bits)
#define PERCPU__BODY_cmpxchg(bits)                                                                           \
	PERCPU__LOAD(bits)                                                                                   \
	"	cmp" PERCPU__S##bits "	%" PERCPU__R##bits "[old], %" PERCPU__R##bits "[out]\n"               \
	"	jne	2f\n"                                                                                 \
	PERCPU__STORE("[v]", bits)

/*
 * The function around a section; operands in parentheses. False: not done, and nothing is left
 * armed that must not be.
 */
#define PERCPU__UNWRAP(...) __VA_ARGS__
#define PERCPU__RUN_ON(offset, section, outputs, inputs, scratch)                                            \
	percpu__asm_goto(section                                                                             \
			 : PERCPU__UNWRAP outputs                                                            \
			 : PERCPU__UNWRAP inputs                                                             \
			 : "rax", PERCPU__UNWRAP scratch "memory", "cc"                                      \
			 : slow)
#define PERCPU__RUN(body, outputs, inputs, scratch)                                                          \
	const ptrdiff_t offset = percpu__rseq_offset(p);                                                     \
	if (__builtin_expect(!offset, 0))                                                                    \
		return false;                                                                                \
	PERCPU__RUN_ON(offset, PERCPU__SECTION(body), outputs, (PERCPU__UNWRAP inputs PERCPU__INPUTS), scratch)
#define PERCPU__LEFT                                                                                         \
	slow:                                                                                                \
		__asm__ __volatile__("");                                                                    \
		percpu__disarm(offset);                                                                      \
		return false

#define PERCPU__TRY_UPDATE(op, bits)                                                                         \
	PERCPU__INLINE bool percpu__try_##op##_u##bits(void *p, uint##bits##_t v)                            \
	{                                                                                                    \
		PERCPU__RUN(PERCPU__BODY_##op(bits), (), ([v] "er"(v), ), ());                               \
		return true;                                                                                 \
		PERCPU__LEFT;                                                                                \
	}
#define PERCPU__TRY_RESULT(type, body, inputs, scratch)                                                      \
	{                                                                                                    \
		type out;                                                                                    \
		PERCPU__RUN(body, ([out] "=&r"(out)), inputs, scratch);                                      \
		*result = out;                                                                               \
		return true;                                                                                 \
		PERCPU__LEFT;                                                                                \
	}
#define PERCPU__TRY_READ(op, bits)                                                                           \
	PERCPU__INLINE bool percpu__try_##op##_u##bits(void *p, uint##bits##_t *result)                      \
	PERCPU__TRY_RESULT(uint##bits##_t, PERCPU__BODY_##op(bits), (), ())
#define PERCPU__TRY_FETCH(op, bits)                                                                          \
	PERCPU__INLINE bool percpu__try_##op##_u##bits(void *p, uint##bits##_t v, uint##bits##_t *result)    \
	PERCPU__TRY_RESULT(uint##bits##_t, PERCPU__BODY_##op(bits), ([v] "er"(v), ), ())
#define PERCPU__TRY_COMPARE(op, bits)                                                                        \
	PERCPU__INLINE bool percpu__try_##op##_u##bits(void *p, uint##bits##_t old, uint##bits##_t v,        \
						       uint##bits##_t *result)                               \
	PERCPU__TRY_RESULT(uint##bits##_t, PERCPU__BODY_##op(bits), ([old] "er"(old), [v] "er"(v), ), ())

PERCPU__INLINE bool percpu__try_list_push(void *p, struct percpu_list_node *node)
{
	PERCPU__RUN("	movq	" PERCPU__COPY "(%%rax), %%rdx\n"
		    "	movq	%%rdx, (%[node])\n"                   /* node->next = head */
		    "	movq	%[node], " PERCPU__COPY "(%%rax)\n",  /* head = node */
		    (), ([node] "r"(node), ), ("rdx", ));
	return true;
	PERCPU__LEFT;
}

PERCPU__INLINE bool percpu__try_list_pop(void *p, struct percpu_list_node **result)
PERCPU__TRY_RESULT(struct percpu_list_node *,
		   "	movq	" PERCPU__COPY "(%%rax), %[out]\n"
		   "	testq	%[out], %[out]\n"
		   "	jz	2f\n"                                  /* empty */
		   "	movq	(%[out]), %%rdx\n"
		   "	movq	%%rdx, " PERCPU__COPY "(%%rax)\n",     /* head = head->next */
		   (), ("rdx", ))

PERCPU__INLINE bool percpu__try_list_pop_all(void *p, struct percpu_list_node **result)
PERCPU__TRY_RESULT(struct percpu_list_node *,
		   "	movq	" PERCPU__COPY "(%%rax), %[out]\n"
		   "	movq	$0, " PERCPU__COPY "(%%rax)\n",        /* head = NULL */
		   (), ())

PERCPU__INLINE bool percpu__try_stack_push(struct percpu__stack *p, void *item)
{
	/* The limit first: who reopens a stack has changed nr before. */
	PERCPU__RUN("	movl	4+" PERCPU__COPY "(%%rax), %%ecx\n"
		    "	movl	" PERCPU__COPY "(%%rax), %%edx\n"
		    "	cmpl	%%ecx, %%edx\n"
		    "	jae	%l[slow]\n"                            /* nr >= limit: full or closed */
		    "	movq	%[item], 8+" PERCPU__COPY "(%%rax,%%rdx,8)\n" /* slot[nr] = item */
		    "	incl	%%edx\n"
		    "	movl	%%edx, " PERCPU__COPY "(%%rax)\n",     /* nr++ */
		    (), ([item] "r"(item), ), ("rcx", "rdx", ));
	return true;
	PERCPU__LEFT;
}

PERCPU__INLINE bool percpu__try_stack_pop(struct percpu__stack *p, void **result)
PERCPU__TRY_RESULT(void *,
		   "	cmpl	$0, 4+" PERCPU__COPY "(%%rax)\n"
		   "	je	%l[slow]\n"                            /* limit == 0: closed */
		   "	movl	" PERCPU__COPY "(%%rax), %%edx\n"
		   "	subl	$1, %%edx\n"
		   "	jb	%l[slow]\n"                            /* nr == 0: empty */
		   "	movq	8+" PERCPU__COPY "(%%rax,%%rdx,8), %[out]\n"
		   "	movl	%%edx, " PERCPU__COPY "(%%rax)\n",     /* nr-- */
		   (), ("rdx", ))

/*
 * The list of free objects in each copy (percpu/cache.h says what the words are). One store of the
 * word commits an operation and its count.
 *
 * *magazines is read inside the section: who stores another there and fences has closed all
 * magazines. A magazine that the caller names is its copy's address - PERCPU_STRIDE, as *magazines
 * + the CPU's number * PERCPU_STRIDE is; to compare them tells at once that the CPU, the cache and
 * its being open are right.
 */
#define PERCPU__CACHE_ANY /* the magazine of this CPU, - PERCPU_STRIDE */                                         \
	"	cmpl	%[limit], %%eax\n"                                                                    \
	"	jae	%l[slow]\n"                                                                           \
	"	shlq	$18, %%rax\n"                                                                         \
	"	addq	(%[magazines]), %%rax\n"
#define PERCPU__CACHE_NAMED                                                                                  \
	PERCPU__CACHE_ANY                                                                                    \
	"	cmpq	(%[magazine]), %%rax\n"                                                                     \
	"	jne	%l[slow]\n"
#define PERCPU__CACHE_WORD /* edx = nr, rcx = word */                                                        \
	"	movq	" PERCPU__COPY "(%%rax), %%rcx\n"                                                     \
	"	movzbl	%%cl, %%edx\n"
#define PERCPU__CACHE_COMMIT "	movq	%%rcx, " PERCPU__COPY "(%%rax)\n"

#define PERCPU__CACHE_RUN(body, outputs, inputs)                                                             \
	const ptrdiff_t offset = percpu__rseq_offset(magazines);                                                  \
	PERCPU__RUN_ON(offset, PERCPU__ARMED(body), outputs,                                                 \
		       (PERCPU__UNWRAP inputs [offset] "r"(offset), [limit] "r"(percpu__cpu_limit(magazines)),    \
			[magazines] "r"(magazines)),                                                                   \
		       ("rcx", "rdx", ))

#define PERCPU__CACHE_TAKE(where, which)                                                                     \
	void *out;                                                                                           \
	if (__builtin_expect(!percpu__rseq_offset(magazines), 0))                                                 \
		return false;                                                                                \
	PERCPU__CACHE_RUN(where PERCPU__CACHE_WORD                                                           \
			  "	testl	%%edx, %%edx\n"                                                      \
			  "	jz	%l[slow]\n"                                                          \
			  "	movq	8+" PERCPU__COPY "(%%rax,%%rdx,8), %[out]\n" /* slot[nr - 1] */      \
			  "	addq	$0xffff, %%rcx\n" /* one operation more, one object less */          \
			  PERCPU__CACHE_COMMIT,                                                              \
			  ([out] "=&r"(out)), which);                                                        \
	*result = out;                                                                                       \
	return true;                                                                                         \
	PERCPU__LEFT

/* The last object freed here. False: none, or closed. */
PERCPU__INLINE bool percpu__try_cache_take(char *const *magazines, void **result)
{
	PERCPU__CACHE_TAKE(PERCPU__CACHE_ANY, ());
}

/* The last object of that magazine. False: none, or not this CPU's, or closed. */
PERCPU__INLINE bool percpu__try_cache_take_from(char *const *magazines, char *const *magazine, void **result)
{
	PERCPU__CACHE_TAKE(PERCPU__CACHE_NAMED, ([magazine] "r"(magazine), ));
}
#undef PERCPU__CACHE_TAKE

/* False: full, or not this CPU's, or closed, or item is the last already. Only in rseq mode. */
PERCPU__INLINE bool percpu__try_cache_put(char *const *magazines, char *const *magazine, void *item)
{
	PERCPU__CACHE_RUN(PERCPU__CACHE_NAMED PERCPU__CACHE_WORD
			  "	cmpl	8+" PERCPU__COPY "(%%rax), %%edx\n"
			  "	jae	%l[slow]\n"        /* nr >= limit */
			  "	cmpq	%[item], 8+" PERCPU__COPY "(%%rax,%%rdx,8)\n"
			  "	je	%l[slow]\n"        /* slot[nr - 1] == item; nr == 0: the limit is no address */
			  "	movq	%[item], 16+" PERCPU__COPY "(%%rax,%%rdx,8)\n" /* slot[nr] = item */
			  "	addq	$0x10001, %%rcx\n" /* one operation more, one object more */
			  PERCPU__CACHE_COMMIT,
			  (), ([item] "r"(item), [magazine] "r"(magazine), ));
	return true;
	PERCPU__LEFT;
}

/*
 * A copy of a counter (percpu/counter.h): its total, and how much of it is folded. An add that
 * would bring the two further apart than margin is left to the slow path; span is twice the margin.
 */
PERCPU__INLINE bool percpu__try_counter_add(void *p, int64_t v, const uint64_t *bounds)
{
	PERCPU__RUN("	movq	" PERCPU__COPY "(%%rax), %%rdx\n"
		    "	subq	8+" PERCPU__COPY "(%%rax), %%rdx\n"
		    "	addq	%[v], %%rdx\n"
		    "	addq	(%[bounds]), %%rdx\n"         /* total - folded + v + margin */
		    "	cmpq	8(%[bounds]), %%rdx\n"        /* span */
		    "	ja	%l[slow]\n"
		    "	addq	%[v], " PERCPU__COPY "(%%rax)\n",
		    (), ([v] "er"(v), [bounds] "r"(bounds), ), ("rdx", ));
	return true;
	PERCPU__LEFT;
}

/* Folds the total. *result: how far it was from what was folded before. */
PERCPU__INLINE bool percpu__try_counter_fold(void *p, int64_t *result)
PERCPU__TRY_RESULT(int64_t,
		   "	movq	" PERCPU__COPY "(%%rax), %[out]\n"
		   "	movq	%[out], %%rdx\n"
		   "	subq	8+" PERCPU__COPY "(%%rax), %[out]\n"
		   "	movq	%%rdx, 8+" PERCPU__COPY "(%%rax)\n",
		   (), ("rdx", ))

/*
 * The summary of a histogram's copy (percpu/histogram.h). False also where value is outside of min
 * to max.
 */
PERCPU__INLINE bool percpu__try_histogram_note(void *p, uint64_t value)
{
	PERCPU__RUN("	cmpq	%[value], 8+" PERCPU__COPY "(%%rax)\n"
		    "	jb	%l[slow]\n"                            /* max < value */
		    "	cmpq	%[inverse], 16+" PERCPU__COPY "(%%rax)\n"
		    "	jb	%l[slow]\n"                            /* ~min < ~value */
		    "	addq	%[value], " PERCPU__COPY "(%%rax)\n",  /* sum += value */
		    (), ([value] "r"(value), [inverse] "r"(~value), ), ());
	return true;
	PERCPU__LEFT;
}

/*
 * A copy of a group of fields (percpu/group.h): a word, and two slots that are `apart` bytes apart.
 * The word counts in steps of that, so that the bit of it which is worth as much says which slot
 * holds. All fields go into the other one, and the word commits. The slots are at computed
 * addresses: a branch on that bit would be wrong every other time.
 */
#define PERCPU__GROUP_STEP(at, v) /* to[at] = from[at] + v */                                                \
	"	movq	%[" #v "], %%rdx\n"                                                                  \
	"	addq	" #at "+" PERCPU__COPY "(%[from]), %%rdx\n"                                          \
	"	movq	%%rdx, " #at "+" PERCPU__COPY "(%[to])\n"
#define PERCPU__GROUP_STEPS_2 PERCPU__GROUP_STEP(8, v0) PERCPU__GROUP_STEP(16, v1)
#define PERCPU__GROUP_STEPS_3 PERCPU__GROUP_STEPS_2 PERCPU__GROUP_STEP(24, v2)
#define PERCPU__GROUP_STEPS_4 PERCPU__GROUP_STEPS_3 PERCPU__GROUP_STEP(32, v3)
#define PERCPU__GROUP_INPUTS_2 [v0] "er"(v0), [v1] "er"(v1)
#define PERCPU__GROUP_INPUTS_3 PERCPU__GROUP_INPUTS_2, [v2] "er"(v2)
#define PERCPU__GROUP_INPUTS_4 PERCPU__GROUP_INPUTS_3, [v3] "er"(v3)
#define PERCPU__GROUP_SECTION(nr, apart)                                                                     \
	PERCPU__INLINE bool percpu__try_group_add_##nr(void *p, uint64_t v0, uint64_t v1, uint64_t v2,       \
						       uint64_t v3)                                          \
	{                                                                                                    \
		uint64_t from, to;                                                                           \
		(void)v2, (void)v3; /* not every group has them */                                           \
		PERCPU__RUN("	movq	" PERCPU__COPY "(%%rax), %%rcx\n"                                      \
			    "	movl	%%ecx, %k[from]\n"                                                   \
			    "	andl	$" #apart ", %k[from]\n"                                             \
			    "	movl	%k[from], %k[to]\n"                                                  \
			    "	xorl	$" #apart ", %k[to]\n"                                               \
			    "	addq	%%rax, %[from]\n"                                                    \
			    "	addq	%%rax, %[to]\n"                                                      \
			    PERCPU__GROUP_STEPS_##nr                                                         \
			    "	addq	$" #apart ", %%rcx\n"                                                \
			    "	movq	%%rcx, " PERCPU__COPY "(%%rax)\n",                                   \
			    ([from] "=&r"(from), [to] "=&r"(to)),                                            \
			    (PERCPU__GROUP_INPUTS_##nr, ), ("rcx", "rdx", ));                                \
		return true;                                                                                 \
		PERCPU__LEFT;                                                                                \
	}
PERCPU__GROUP_SECTION(2, 16)
PERCPU__GROUP_SECTION(3, 32)
PERCPU__GROUP_SECTION(4, 32)
#undef PERCPU__GROUP_SECTION

/* The CPU's number as the kernel last wrote it; anything while the library is cold. */
PERCPU__INLINE uint32_t percpu__cpu_id(void)
{
	uint32_t cpu;

	__asm__ __volatile__("movl %%fs:4(%1), %0"
			     : "=r"(cpu)
			     : "r"(__atomic_load_n(&percpu_abi.rseq_offset, __ATOMIC_RELAXED)));
	return cpu;
}

#endif
