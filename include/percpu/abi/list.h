/* SPDX-License-Identifier: MIT */
/* The ABI of per-CPU lists. */
#ifndef PERCPU_ABI_LIST_H
#define PERCPU_ABI_LIST_H

#include <stddef.h>
#include <stdint.h>

#include <percpu/compiler.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * A last-in, first-out list of nodes for each CPU. Allocate it with percpu_new(struct percpu_list);
 * all zero is empty. Both words belong to the library.
 *
 * A node is in at most one list, and belongs to the thread that popped it. Outside rseq mode a pop
 * may read the `next` of a node that another thread has just popped, and discards what it read; so
 * memory that has been a node must stay readable as long as the list is used.
 */
struct percpu_list_node {
	struct percpu_list_node *next;
};
struct percpu_list {
	struct percpu_list_node *head;
	uintptr_t tag; /* changes with every removal, outside rseq mode */
} __attribute__((__aligned__(16)));

PERCPU__STATIC_ASSERT(sizeof(struct percpu_list_node) == 8 &&
			      offsetof(struct percpu_list_node, next) == 0,
		      "ABI: struct percpu_list_node");
PERCPU__STATIC_ASSERT(sizeof(struct percpu_list) == 16 && offsetof(struct percpu_list, head) == 0 &&
			      offsetof(struct percpu_list, tag) == 8,
		      "ABI: struct percpu_list");

#ifdef __cplusplus
}
#endif
#endif
