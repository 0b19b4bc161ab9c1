/* SPDX-License-Identifier: MIT */
/* A local variable. */
#include "misuse/misuse.h"

int main(void)
{
	int local = 0;

	percpu_free(shown(&local));
	return 0;
}
