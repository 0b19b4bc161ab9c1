/* SPDX-License-Identifier: MIT */
/* Inside, on a granule. */
#include "misuse/misuse.h"

int main(void)
{
	char *p = percpu_alloc(64, 8);

	percpu_free(shown(p + 8));
	return 0;
}
