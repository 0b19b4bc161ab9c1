/* SPDX-License-Identifier: MIT */
/* The address of the last copy. */
#include "misuse/misuse.h"

int main(void)
{
	char *p = percpu_alloc(64, 8);

	percpu_free(shown(percpu_ptr(p, percpu_nr_copies() - 1)));
	return 0;
}
