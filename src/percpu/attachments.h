/* SPDX-License-Identifier: MIT */
/*
 * The table of attachments of static per-CPU variables: attachments.c owns it, static.c holds the
 * policy. Every function takes the table's lock, except percpu__attachments_set_aside.
 */
#ifndef PERCPU_ATTACHMENTS_H
#define PERCPU_ATTACHMENTS_H

#include "percpu/percpu.h"

struct percpu__attachment {
	const void *key;
	void __percpu *area;
	const void *module; /* its program headers; NULL: the key lies in no module */
	uint64_t number;    /* unique, never used again */
	bool set_aside;     /* detached, not yet freed; the table's lock */
	struct percpu__attachment *next; /* the table's lock */
};

/* Returns: the number of attachments that are set aside, a hint. */
size_t percpu__attachments_set_aside(void);

/*
 * percpu__attachment_take_out - removes one attachment that is set aside and for which
 * is_gone(attachment, arg) is true.
 * Returns: its area; NULL if there is none.
 */
typedef bool percpu__is_gone_fn(const struct percpu__attachment *one,
				const struct percpu__attachment *arg);
void __percpu *percpu__attachment_take_out(percpu__is_gone_fn *is_gone,
					   const struct percpu__attachment *arg);

/*
 * Copies to *copy the attachment that is set aside and has the lowest number above copy->number.
 * Returns: true if there is one.
 */
bool percpu__attachment_next_set_aside(struct percpu__attachment *copy);

/* Returns: the area attached to the key; NULL if there is none. */
void __percpu *percpu__attachment_area(const void *key);

/*
 * percpu__attachment_enter - attaches coming.area to coming.key, unless another thread has attached
 * an area to the key meanwhile.
 * Returns: the key's area; NULL if there is no memory.
 */
void __percpu *percpu__attachment_enter(struct percpu__attachment coming);

/* Sets the key's attachment aside and copies it. Returns: false if the key has none. */
bool percpu__attachment_set_aside(const void *key, struct percpu__attachment *copy);

#endif
