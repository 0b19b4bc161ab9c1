/* SPDX-License-Identifier: MIT */
/* Every byte from the first copy to the end of the last one is written; no bookkeeping lies between. */
#include <stdint.h>
#include <string.h>

#include "misuse/misuse.h"

int main(void)
{
	char *p = percpu_alloc(PERCPU_MAX_SIZE, 8), *small = percpu_alloc(8, 8);

	memset(percpu_ptr(p, 0), 0xff, percpu_nr_copies() * PERCPU_STRIDE);
	memset(percpu_ptr((char *)((uintptr_t)small & ~(PERCPU_STRIDE - 1)), 0), 0xff, percpu_nr_copies() * PERCPU_STRIDE);
	for (int round = 0; round < 100; round++) {
		void *again = percpu_alloc(8 + 100 * round, 8);

		if (!again || percpu_usable_size(again) < 8 + 100 * (size_t)round)
			return 1;
		percpu_free(again);
	}
	percpu_free(small);
	percpu_free(p);
	return percpu_trim(NULL) < 0;
}
