/* SPDX-License-Identifier: MIT */
/* What mmap() returns when it fails. */
#include "misuse/misuse.h"

int main(void)
{
	percpu_free(shown((void *)-1));
	return 0;
}
