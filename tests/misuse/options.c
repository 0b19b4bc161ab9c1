/* SPDX-License-Identifier: MIT */
/* What became of PERCPU_OPTIONS=cpus:N, and whether the program has more rights than its caller. */
#include <sys/auxv.h>

#include "misuse/misuse.h"

int main(void)
{
	return printf("%u %lu\n", percpu_nr_cpus(), getauxval(AT_SECURE)) < 0;
}
