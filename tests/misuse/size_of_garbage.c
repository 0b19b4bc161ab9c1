/* SPDX-License-Identifier: MIT */
/* The size of what is none of ours. */
#include "misuse/misuse.h"

int main(void)
{
	int local = 0;

	percpu_usable_size(shown(&local));
	return 0;
}
