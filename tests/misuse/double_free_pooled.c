/* SPDX-License-Identifier: MIT */
/* Twice, in a pool of its own. */
#include "misuse/misuse.h"

int main(void)
{
	struct percpu_pool *pool = percpu_pool_create("misuse", NULL);
	void *stays = percpu_pool_alloc(pool, 8, 8), *p = percpu_pool_alloc(pool, 8, 8);

	percpu_free(p);
	percpu_free(shown(p));
	percpu_free(stays);
	return 0;
}
