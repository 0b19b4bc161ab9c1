/* SPDX-License-Identifier: MIT */
/* What the check of abort.c needs of aarch64. There alone it is included. */
#ifndef PERCPU_PLATFORM_CHECK_AARCH64_H
#define PERCPU_PLATFORM_CHECK_AARCH64_H

static inline char *thread_pointer(void)
{
	char *pointer;

	__asm__ __volatile__("mrs	%0, tpidr_el0" : "=r"(pointer));
	return pointer;
}

/* Without libc, whose wrappers know threads. Returns: as the kernel does. */
static inline long call(long number, long a, long b, long c)
{
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;

	__asm__ __volatile__("svc	#0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory", "cc");
	return x0;
}

/* Runs function(arg) on a stack of its own, whose end is given, in a process that ends with it. Returns: its PID or -errno. */
static inline long call_clone(unsigned long flags, void *stack_end, void (*function)(void *), void *arg)
{
	register long x8 __asm__("x8") = SYS_clone;
	register long x0 __asm__("x0") = (long)flags;
	register long x1 __asm__("x1") = (long)stack_end;
	register long x2 __asm__("x2") = 0; /* no parent_tid, TLS, child_tid */
	register long x3 __asm__("x3") = 0;
	register long x4 __asm__("x4") = 0;

	__asm__ __volatile__("svc	#0\n"
			     "	cbnz	x0, 1f\n"
			     "	mov	x29, xzr\n" /* the last frame */
			     "	mov	x0, %[arg]\n"
			     "	blr	%[function]\n"
			     "	mov	x0, xzr\n"
			     "	mov	x8, %[exit]\n"
			     "	svc	#0\n"
			     "1:\n"
			     : "+r"(x0)
			     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), [function] "r"(function), [arg] "r"(arg),
			       [exit] "i"(SYS_exit)
			     : "memory", "cc");
	return x0;
}

/* See struct look. An abort goes to 4, behind the signature that libc registers. */
static inline void look(struct look *look, char *area, const int *cpu, const int *turns, long budget)
{
	__asm__ __volatile__("	.pushsection .data.rel.ro.percpu_check, \"aw\"\n"
			     "	.balign	32\n"
			     "3:	.long	0, 0\n"
			     "	.quad	1f, 2f - 1f, 4f\n"
			     "	.popsection\n"
			     "	adrp	x16, 3b\n"
			     "	add	x16, x16, :lo12:3b\n"
			     "	str	x16, [%[area], #8]\n"             /* area->rseq_cs = descriptor */
			     "1:	ldr	%w[cpu], [%[area], #4]\n"     /* cpu = area->cpu_id */
			     "	ldr	w16, [%[wanted]]\n"
			     "	cmp	%w[cpu], w16\n"
			     "	b.ne	2f\n"
			     "	ldr	%w[before], [%[turns]]\n"         /* before = after = *turns */
			     "6:	ldr	%w[after], [%[turns]]\n"
			     "	cmp	%w[after], %w[before]\n"
			     "	b.ne	2f\n"
			     "	subs	%[budget], %[budget], #1\n"
			     "	b.ne	6b\n"
			     "2:	str	xzr, [%[area], #8]\n"
			     "	b	5f\n"
			     "	.inst	0xd428bc00\n"
			     "4:	mov	%w[is_aborted], #1\n"
			     "5:\n"
			     : [cpu] "+&r"(look->cpu), [before] "+&r"(look->before), [after] "+&r"(look->after),
			       [is_aborted] "+&r"(look->is_aborted), [budget] "+&r"(budget)
			     : [area] "r"(area), [wanted] "r"(cpu), [turns] "r"(turns)
			     : "x16", "memory", "cc");
}

#endif
