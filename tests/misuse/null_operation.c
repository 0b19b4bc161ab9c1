/* SPDX-License-Identifier: MIT */
/* The first operation of the process is on a field of what NULL points to, as after an allocation that failed. */
#include "misuse/misuse.h"

int main(void)
{
	percpu_inc((long *)shown((void *)24));
	return 0;
}
