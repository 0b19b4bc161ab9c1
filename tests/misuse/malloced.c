/* SPDX-License-Identifier: MIT */
/* What malloc() returned. */
#include "misuse/misuse.h"

int main(void)
{
	percpu_free(shown(malloc(64)));
	return 0;
}
