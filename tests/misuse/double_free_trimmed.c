/* SPDX-License-Identifier: MIT */
/* Twice, and the chunk went back to the kernel between. */
#include "misuse/misuse.h"

int main(void)
{
	char *p = percpu_alloc(PERCPU_MAX_SIZE, 8), *q = percpu_alloc(PERCPU_MAX_SIZE, 8);

	percpu_free(p);
	percpu_free(q); /* of two empty chunks one goes: the one that was emptied last */
	percpu_free(shown(q));
	return 0;
}
