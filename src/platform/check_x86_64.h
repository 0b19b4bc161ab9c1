/* SPDX-License-Identifier: MIT */
/* What the check of abort.c needs of x86-64. There alone it is included. */
#ifndef PERCPU_PLATFORM_CHECK_X86_64_H
#define PERCPU_PLATFORM_CHECK_X86_64_H

static inline char *thread_pointer(void)
{
	char *pointer;

	__asm__ __volatile__("movq	%%fs:0, %0" : "=r"(pointer));
	return pointer;
}

/* Without libc, whose wrappers know threads. Returns: as the kernel does. */
static inline long call(long number, long a, long b, long c)
{
	__asm__ __volatile__("syscall" : "+a"(number) : "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory", "cc");
	return number;
}

/* Runs function(arg) on a stack of its own, whose end is given, in a process that ends with it. Returns: its PID or -errno. */
static inline long call_clone(unsigned long flags, void *stack_end, void (*function)(void *), void *arg)
{
	register long r10 __asm__("r10") = 0; /* no parent_tid, child_tid, TLS */
	register long r8 __asm__("r8") = 0;
	register void (*r9)(void *) __asm__("r9") = function;
	register void *r12 __asm__("r12") = arg;
	long result = SYS_clone;

	__asm__ __volatile__("syscall\n"
			     "	testq	%%rax, %%rax\n"
			     "	jnz	1f\n"
			     "	xorl	%%ebp, %%ebp\n" /* the last frame */
			     "	movq	%%r12, %%rdi\n"
			     "	call	*%%r9\n"
			     "	xorl	%%edi, %%edi\n"
			     "	movl	%[exit], %%eax\n"
			     "	syscall\n"
			     "1:\n"
			     : "+a"(result)
			     : "D"(flags), "S"(stack_end), "d"(0L), "r"(r10), "r"(r8), "r"(r9), "r"(r12), [exit] "i"(SYS_exit)
			     : "rcx", "r11", "memory", "cc");
	return result;
}

/* See struct look. An abort goes to 4, behind the signature that libc registers. */
static inline void look(struct look *look, char *area, const int *cpu, const int *turns, long budget)
{
	__asm__ __volatile__("	.pushsection .data.rel.ro.percpu_check, \"aw\"\n"
			     "	.balign	32\n"
			     "3:	.long	0, 0\n"
			     "	.quad	1f, 2f - 1f, 4f\n"
			     "	.popsection\n"
			     "	leaq	3b(%%rip), %%rax\n"
			     "	movq	%%rax, 8(%[area])\n"                /* area->rseq_cs = descriptor */
			     "1:	movl	4(%[area]), %[cpu]\n"           /* cpu = area->cpu_id */
			     "	cmpl	(%[wanted]), %[cpu]\n"
			     "	jne	2f\n"
			     "	movl	(%[turns]), %[before]\n"            /* before = after = *turns */
			     "6:	movl	(%[turns]), %[after]\n"
			     "	cmpl	%[after], %[before]\n"
			     "	jne	2f\n"
			     "	subq	$1, %[budget]\n"
			     "	jne	6b\n"
			     "2:	movq	$0, 8(%[area])\n"
			     "	jmp	5f\n"
			     "	.byte	0x0f, 0xb9, 0x3d\n"
			     "	.long	0x53053053\n"
			     "4:	movl	$1, %[is_aborted]\n"
			     "5:\n"
			     : [cpu] "+&r"(look->cpu), [before] "+&r"(look->before), [after] "+&r"(look->after),
			       [is_aborted] "+&r"(look->is_aborted), [budget] "+&r"(budget)
			     : [area] "r"(area), [wanted] "r"(cpu), [turns] "r"(turns)
			     : "rax", "memory", "cc");
}

#endif
