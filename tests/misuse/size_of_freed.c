/* SPDX-License-Identifier: MIT */
/* The size of what was freed. */
#include "misuse/misuse.h"

int main(void)
{
	void *p = percpu_alloc(100000, 8), *stays = percpu_alloc(8, 8);

	percpu_free(p);
	percpu_usable_size(shown(p));
	percpu_free(stays);
	return 0;
}
