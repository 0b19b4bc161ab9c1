/* SPDX-License-Identifier: MIT */
/* A counter that was given back is one of NULL; others were fine before. */
#include "misuse/misuse.h"

int main(void)
{
	static struct percpu_counter counter;

	percpu_counter_init(&counter, 0, 0);
	percpu_counter_inc(&counter);
	percpu_counter_fini(&counter);
	shown(NULL);
	percpu_counter_inc(&counter);
	return 0;
}
