/* SPDX-License-Identifier: MIT */
/* Twice, and the chunk went back to the kernel between. */
#include "misuse/misuse.h"

#define NR 4 /* chunks; the one that goes last keeps its addresses for a while */

int main(void)
{
	char *p[NR];

	for (unsigned i = 0; i < NR; i++)
		p[i] = percpu_alloc(PERCPU_MAX_SIZE, 8);
	for (unsigned i = 0; i < NR; i++)
		percpu_free(p[i]);
	percpu_trim(NULL);
	percpu_free(shown(p[1]));
	return 0;
}
