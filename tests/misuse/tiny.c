/* SPDX-License-Identifier: MIT */
/* A small number. */
#include "misuse/misuse.h"

int main(void)
{
	percpu_free(shown((void *)8));
	return 0;
}
