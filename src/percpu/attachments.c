/* SPDX-License-Identifier: MIT */
/*
 * Owns the table of attachments: the area of each module's static per-CPU variables. Entries lie in
 * blocks of one page, which are never unmapped. No function calls the dynamic loader or malloc,
 * because a caller may hold their locks.
 */
#include "percpu/attachments.h"
#include "percpu/percpu.h"

static struct percpu__lock lock = PERCPU__LOCK_INIT(PERCPU__RANK_STATIC);
static struct percpu__attachment *attachments, *vacant; /* lock */
static uint64_t last_number;                    /* lock */
static size_t nr_set_aside;                     /* lock; read without it as a hint */

/* Returns: a vacant entry; NULL if there is no memory. Context: the lock is held. */
static struct percpu__attachment *take_vacant(void)
{
	struct percpu__attachment *taken = vacant;

	if (!taken) {
		const size_t bytes = percpu__page_bytes();
		struct percpu__attachment *made = percpu__map(bytes);

		for (size_t i = 0; made && i < bytes / sizeof(*made); i++) {
			made[i].next = vacant;
			vacant = &made[i];
		}
		taken = vacant;
	}
	if (taken)
		vacant = taken->next;
	return taken;
}

static void put_vacant(struct percpu__attachment *gone)
{
	gone->next = vacant;
	vacant = gone;
}

void percpu__static_lock_for_fork(void)
{
	percpu__lock_for_fork(&lock);
}

void percpu__static_unlock_after_fork(void)
{
	percpu__unlock_after_fork(&lock);
}

size_t percpu__attachments_set_aside(void)
{
	return __atomic_load_n(&nr_set_aside, __ATOMIC_RELAXED);
}

/*
 * Removes one attachment that is set aside and gone. Returns: it, or NULL. Context: as take_vacant.
 */
static struct percpu__attachment *unlink_gone(percpu__is_gone_fn *is_gone,
					      const struct percpu__attachment *arg)
{
	for (struct percpu__attachment **link = &attachments; *link; link = &(*link)->next) {
		struct percpu__attachment *found = *link;

		if (!found->set_aside || !is_gone(found, arg))
			continue;
		*link = found->next;
		__atomic_store_n(&nr_set_aside, nr_set_aside - 1, __ATOMIC_RELAXED);
		return found;
	}
	return NULL;
}

void __percpu *percpu__attachment_take_out(percpu__is_gone_fn *is_gone,
					   const struct percpu__attachment *arg)
{
	void __percpu *area = NULL;
	struct percpu__attachment *gone;

	percpu__lock(&lock);
	gone = unlink_gone(is_gone, arg);
	if (gone) {
		area = gone->area;
		put_vacant(gone);
	}
	percpu__unlock(&lock);
	return area;
}

bool percpu__attachment_next_set_aside(struct percpu__attachment *copy)
{
	const struct percpu__attachment *next = NULL;

	percpu__lock(&lock);
	for (const struct percpu__attachment *one = attachments; one; one = one->next)
		if (one->set_aside && one->number > copy->number &&
		    (!next || one->number < next->number))
			next = one;
	if (next)
		*copy = *next;
	percpu__unlock(&lock);
	return next;
}

/*
 * Returns: the key's attachment that is not set aside; NULL if it has none. Context: as
 * take_vacant.
 */
static struct percpu__attachment *find(const void *key)
{
	struct percpu__attachment *found = attachments;

	while (found && (found->key != key || found->set_aside))
		found = found->next;
	return found;
}

void __percpu *percpu__attachment_area(const void *key)
{
	const struct percpu__attachment *found;
	void __percpu *area;

	percpu__lock(&lock);
	found = find(key);
	area = found ? found->area : NULL;
	percpu__unlock(&lock);
	return area;
}

void __percpu *percpu__attachment_enter(struct percpu__attachment coming)
{
	struct percpu__attachment *found, *made = NULL;
	void __percpu *area = coming.area;

	percpu__lock(&lock);
	found = find(coming.key);
	if (!found)
		made = take_vacant();
	if (made) {
		coming.number = ++last_number;
		coming.next = attachments;
		*made = coming;
		attachments = made;
	}
	if (found)
		area = found->area;
	percpu__unlock(&lock);
	return found || made ? area : NULL;
}

bool percpu__attachment_set_aside(const void *key, struct percpu__attachment *copy)
{
	struct percpu__attachment *found;

	percpu__lock(&lock);
	found = find(key);
	if (found) {
		found->set_aside = true;
		__atomic_store_n(&nr_set_aside, nr_set_aside + 1, __ATOMIC_RELAXED);
		*copy = *found;
	}
	percpu__unlock(&lock);
	return found;
}
