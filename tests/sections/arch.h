/* SPDX-License-Identifier: MIT */
/* What the tracer needs from an architecture: breakpoints, the program counter, jumps. */
#ifndef TESTS_SECTIONS_ARCH_H
#define TESTS_SECTIONS_ARCH_H

#include <elf.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>

#if defined(__x86_64__)
#define ARCH_IS_KNOWN 1
#define ARCH_STEP 0 /* bytes of an instruction; 0: it varies, and a disassembler finds it */
#define ARCH_TRAP_SKIPS 1 /* bytes between a breakpoint and the program counter of a thread that met it */
static const uint8_t arch_breakpoint[] = { 0xcc };
typedef struct user_regs_struct arch_registers;
#define arch_pc(registers) ((registers)->rip)

/* The jmp of an abort handler lies in another ELF section, and so has an offset of 32 bits. */
#define ARCH_JUMP_BYTES 5
static inline uintptr_t arch_jump_target(uintptr_t jump)
{
	int32_t distance;

	if (*(const uint8_t *)jump != 0xe9)
		return 0;
	memcpy(&distance, (const char *)jump + 1, sizeof(distance));
	return jump + ARCH_JUMP_BYTES + distance;
}

static inline void arch_make_jump(uint8_t *code, uintptr_t from, uintptr_t to)
{
	const int32_t distance = to - from - ARCH_JUMP_BYTES;

	code[0] = 0xe9;
	memcpy(code + 1, &distance, sizeof(distance));
}
#elif defined(__aarch64__)
#define ARCH_IS_KNOWN 1
#define ARCH_STEP 4
#define ARCH_TRAP_SKIPS 0
static const uint8_t arch_breakpoint[] = { 0x00, 0x00, 0x20, 0xd4 }; /* brk #0 */
typedef struct user_regs_struct arch_registers;
#define arch_pc(registers) ((registers)->pc)

#define ARCH_JUMP_BYTES 4
static inline uintptr_t arch_jump_target(uintptr_t jump)
{
	uint32_t code;

	memcpy(&code, (const void *)jump, sizeof(code));
	return code >> 26 == 5 ? jump + ((int32_t)(code << 6) >> 4) : 0;
}

static inline void arch_make_jump(uint8_t *code, uintptr_t from, uintptr_t to)
{
	const uint32_t jump = 5u << 26 | ((to - from) >> 2 & 0x3ffffff);

	memcpy(code, &jump, sizeof(jump));
}
#else
#define ARCH_IS_KNOWN 0
#endif

#endif
