/* SPDX-License-Identifier: MIT */
/* Freed, but its pool is gone. */
#include "misuse/misuse.h"

int main(void)
{
	struct percpu_pool *pool = percpu_pool_create("misuse", NULL);
	void *p = percpu_pool_alloc(pool, 8, 8);

	percpu_free(p);
	if (percpu_pool_destroy(pool))
		return 1;
	percpu_free(shown(p));
	return 0;
}
