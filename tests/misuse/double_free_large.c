/* SPDX-License-Identifier: MIT */
/* Twice, too large for any cache. */
#include "misuse/misuse.h"

int main(void)
{
	void *p = percpu_alloc(100000, 8), *neighbour = percpu_alloc(100000, 8);

	percpu_free(p);
	percpu_free(shown(p));
	percpu_free(neighbour);
	return 0;
}
