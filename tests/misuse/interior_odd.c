/* SPDX-License-Identifier: MIT */
/* Inside, off the granules. */
#include "misuse/misuse.h"

int main(void)
{
	char *p = percpu_alloc(64, 8);

	percpu_free(shown(p + 3));
	return 0;
}
