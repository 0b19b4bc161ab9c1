/* SPDX-License-Identifier: MIT */
/*
 * Owns the facts about rseq in this process: what libc registered for its threads and what the
 * kernel offers. percpu_mode_reason explains the library's choice; these are its inputs.
 */
#include <stddef.h>
#include <sys/auxv.h>

#include "tool/tool.h"

/* Not in every release of the kernel's headers. */
#ifndef AT_RSEQ_FEATURE_SIZE
#define AT_RSEQ_FEATURE_SIZE 27
#endif
#ifndef AT_RSEQ_ALIGN
#define AT_RSEQ_ALIGN 28
#endif

/*
 * Of an area that is longer newer kernels write only what changed, and enforce what
 * may not be written.
 */
#define ORIGINAL_BYTES 32

extern const ptrdiff_t __rseq_offset __attribute__((weak));
extern const unsigned int __rseq_size __attribute__((weak));

struct rseq_facts rseq_facts(void)
{
	struct rseq_facts facts = {
		.kernel_bytes = getauxval(AT_RSEQ_FEATURE_SIZE),
		.kernel_align = getauxval(AT_RSEQ_ALIGN),
	};

	if (!&__rseq_offset || !&__rseq_size)
		facts.why_not = "libc registers none";
	else if (!__rseq_size)
		facts.why_not = "libc could not, or was told not to";
	else
		facts.area_bytes = __rseq_size;
	facts.is_extended = facts.area_bytes > ORIGINAL_BYTES;
	return facts;
}

void put_rseq(const struct rseq_facts *facts)
{
	if (facts->why_not)
		printf("registered by nobody: %s; ", facts->why_not);
	else
		printf("registered by libc, %s area of %u bytes; ",
		       facts->is_extended ? "extended" : "original", facts->area_bytes);
	if (facts->kernel_bytes)
		printf("the kernel has %lu bytes, aligned to %lu\n", facts->kernel_bytes,
		       facts->kernel_align);
	else
		puts("the kernel does not say what it has");
}

static void put_number(const char *name, unsigned long number)
{
	printf(number ? ",\"%s\":%lu" : ",\"%s\":null", name, number);
}

void put_rseq_as_json(const struct rseq_facts *facts)
{
	printf("{\"registered_by\":%s,\"why_not\":", facts->why_not ? "null" : "\"libc\"");
	if (facts->why_not)
		put_json(stdout, facts->why_not);
	else
		printf("null");
	put_number("area_bytes", facts->area_bytes);
	printf(",\"extended\":%s", facts->is_extended ? "true" : "false");
	put_number("kernel_bytes", facts->kernel_bytes);
	put_number("kernel_align", facts->kernel_align);
	putchar('}');
}
