/* SPDX-License-Identifier: MIT */
/* A plain static variable. */
#include "misuse/misuse.h"

int main(void)
{
	static int object;

	percpu_free(shown(&object));
	return 0;
}
