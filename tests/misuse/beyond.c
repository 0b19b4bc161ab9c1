/* SPDX-License-Identifier: MIT */
/* Behind all that was ever allocated. */
#include "misuse/misuse.h"

int main(void)
{
	char *p = percpu_alloc(64, 8);

	percpu_free(shown(p + 100000));
	return 0;
}
