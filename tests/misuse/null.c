/* SPDX-License-Identifier: MIT */
/* NULL is fine everywhere. */
#include "misuse/misuse.h"

int main(void)
{
	void *none[] = { NULL, NULL };

	percpu_free(NULL);
	percpu_free_bulk(2, none);
	return percpu_usable_size(NULL) ? 1 : 0;
}
