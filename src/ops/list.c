/* SPDX-License-Identifier: MIT */
/*
 * Owns the slow paths of the per-CPU lists, for copies in which CPUs may meet: all of them in
 * atomic mode, the fallback one in rseq mode.
 *
 * A push needs the head alone: it is right whatever happened to the list since the head was read,
 * as long as the head is the same. A pop is not, for the node may have been popped, used and pushed
 * again with another `next` behind it. So pop and pop_all replace head and tag at once and count
 * the tag up. They read the `next` of a node that may be another thread's by then, which is why
 * nodes must stay readable. Machines without a 16-byte compare-and-swap take the whole list and put
 * the rest back instead; there a pop may find the list empty while another one holds it.
 *
 * The release of a push pairs with the acquire of percpu_op_list_pop and percpu_op_list_pop_all.
 */
#include "ops/ops.h"

void percpu_op_list_push(struct percpu_list *p, struct percpu_list_node *node)
{
	struct percpu_list *list;
	struct percpu_list_node *head;

	p = percpu__started(p);
	if (percpu__try_list_push(p, node))
		return;
	list = percpu__shared_copy(p);
	head = __atomic_load_n(&list->head, __ATOMIC_RELAXED);
	do
		__atomic_store_n(&node->next, head, __ATOMIC_RELAXED);
	while (!__atomic_compare_exchange_n(&list->head, &head, node, true, __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED));
}

#if defined(__x86_64__) || defined(__aarch64__)
/* Replaces head and tag where they are still the ones given. */
static bool swap_head(struct percpu_list *list, struct percpu_list_node *head, uintptr_t tag,
		      struct percpu_list_node *next)
{
#ifdef __x86_64__
	bool done;

	__asm__ __volatile__("lock cmpxchg16b %[list]"
			     : [list] "+m"(*list), "+a"(head), "+d"(tag), "=@ccz"(done)
			     : "b"(next), "c"(tag + 1)
			     : "memory");
	return done;
#else
	uintptr_t head_now, tag_now;
	uint32_t failed;

	__asm__ __volatile__(
		"	ldaxp	%[head_now], %[tag_now], %[list]\n"
		"	cmp	%[head_now], %[head]\n"
		"	ccmp	%[tag_now], %[tag], #0, eq\n"
		"	mov	%w[failed], #1\n"
		"	b.ne	1f\n"
		"	stlxp	%w[failed], %[next], %[next_tag], %[list]\n"
		"1:\n"
		: [head_now] "=&r"(head_now), [tag_now] "=&r"(tag_now), [failed] "=&r"(failed),
		  [list] "+Q"(*list)
		: [head] "r"(head), [tag] "r"(tag), [next] "r"(next), [next_tag] "r"(tag + 1)
		: "memory", "cc");
	return !failed;
#endif
}

/*
 * What may be another thread's word by now, and is thrown away then. To thread sanitizers that
 * would be a race with the new owner, whatever he does.
 */
__attribute__((no_sanitize("thread"))) static struct percpu_list_node *
next_of(const struct percpu_list_node *node)
{
	return __atomic_load_n(&node->next, __ATOMIC_RELAXED);
}

/* Takes off the first node or, with all, the whole list. */
static struct percpu_list_node *take(struct percpu_list *list, bool all)
{
	struct percpu_list_node *head, *next;
	uintptr_t tag;

	do {
		/*
		 * The tag first: while it stands, whatever was the head since is still in the list.
		 */
		tag = __atomic_load_n(&list->tag, __ATOMIC_ACQUIRE);
		head = __atomic_load_n(&list->head, __ATOMIC_ACQUIRE);
		if (!head)
			return NULL;
		next = all ? NULL : next_of(head);
	} while (!swap_head(list, head, tag, next));
	return head;
}
#else
static struct percpu_list_node *take(struct percpu_list *list, bool all)
{
	struct percpu_list_node *first = __atomic_exchange_n(&list->head, NULL, __ATOMIC_ACQUIRE);
	struct percpu_list_node *rest, *last = NULL, *head = NULL;

	if (all || !first || !first->next)
		return first;
	rest = first->next;
	while (!__atomic_compare_exchange_n(&list->head, &head, rest, false, __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED)) {
		if (!last) /* once: what follows it from now on is others' */
			for (last = rest; last->next; last = last->next)
				;
		last->next = head;
	}
	return first;
}
#endif

struct percpu_list_node *percpu_op_list_pop(struct percpu_list *p)
{
	struct percpu_list_node *node;

	p = percpu__started(p);
	return percpu__try_list_pop(p, &node) ? node : take(percpu__shared_copy(p), false);
}

struct percpu_list_node *percpu_op_list_pop_all(struct percpu_list *p)
{
	struct percpu_list_node *first;

	p = percpu__started(p);
	return percpu__try_list_pop_all(p, &first) ? first : take(percpu__shared_copy(p), true);
}
