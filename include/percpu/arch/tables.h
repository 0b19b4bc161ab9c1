/* SPDX-License-Identifier: MIT */
/*
 * What the kernel and debuggers find of a sequence. Labels: 1 its first instruction, 2 the end of
 * its last, 3 the descriptor, 4 where it goes on abort; left: where else it may be left.
 */
#ifndef PERCPU_ARCH_TABLES_H
#define PERCPU_ARCH_TABLES_H

#define PERCPU__TABLES(left)                                                                                 \
	"	.pushsection __rseq_cs, \"aw?\"\n"                                                            \
	"	.balign	32\n"                                                                                 \
	"3:	.long	0, 0\n"                /* version, flags */                                           \
	"	.quad	1f, 2f - 1f, 4f\n"     /* start, length, where to go on abort */                      \
	"	.popsection\n"                                                                                \
	"	.pushsection __rseq_cs_ptr_array, \"aw?\"\n"                                                  \
	"	.quad	3b\n"                                                                                 \
	"	.popsection\n"                                                                                \
	"	.pushsection __rseq_exit_point_array, \"aw?\"\n"                                              \
	"	.quad	1f, " left "\n"                                                                       \
	"	.popsection\n"

#endif
