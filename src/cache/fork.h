/* SPDX-License-Identifier: MIT */
/* Fork handlers of the caches. */
#ifndef PERCPU_CACHE_FORK_H
#define PERCPU_CACHE_FORK_H

/* Registers the handlers, once, before the first cache. Context: no lock held. */
void percpu__cache_fork_init(void);

#endif
