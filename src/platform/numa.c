/* SPDX-License-Identifier: MIT */
/* Owns memory policy: the node that a range prefers, and which of its pages lie on another. */
#include <linux/mempolicy.h>

#include "platform/platform.h"
#include "platform/sys.h"

int percpu__bind(void *start, size_t bytes, unsigned node)
{
	const unsigned word_bits = 8 * sizeof(unsigned long);
	unsigned long nodes[64] = { 0 };

	if (node >= 64 * word_bits)
		return -EINVAL;
	nodes[node / word_bits] = 1ul << node % word_bits;
	/* The kernel counts one bit less than it is told. */
	return sys_mbind(start, bytes, MPOL_PREFERRED, nodes, 64 * word_bits + 1);
}

/*
 * Some kernels, Linux 6.1 among them, do not say where pages are that NUMA balancing is watching.
 * To this question a look is an access, which may bring a page from swap: so only
 * for those in memory.
 */
static int node_by_access(void *page)
{
	int node;
	long result;

	if (!percpu__resident_bytes(page, percpu__page_bytes()))
		return -ENOENT;
	result = sys_get_mempolicy(&node, page, MPOL_F_NODE | MPOL_F_ADDR);
	return result < 0 ? (int)result : node;
}

ssize_t percpu__bytes_elsewhere(uintptr_t start, uintptr_t end, unsigned node)
{
	const size_t page = percpu__page_bytes();
	size_t elsewhere = 0;

	while (start < end) {
		void *pages[128];
		int where[128];
		unsigned long nr = 0;
		long result;

		for (; nr < 128 && start < end; start += page)
			pages[nr++] = (void *)start;
		/* Without nodes to move them to it only looks. */
		result = sys_move_pages(nr, pages, NULL, where);
		if (result < 0)
			return result;
		while (nr--) {
			if (where[nr] == -ENOENT) {
				where[nr] = node_by_access(pages[nr]);
				if (where[nr] < 0 && where[nr] != -ENOENT)
					return where[nr];
			}
			elsewhere += where[nr] >= 0 && (unsigned)where[nr] != node ? page : 0;
		}
	}
	return elsewhere;
}
