/* SPDX-License-Identifier: MIT */
#include "inline.hpp"

long (*volatile look_too)(long *) = bump_and_look;
void (*volatile bump_too)(long *) = bump;

long other_file(long *p, int **q, int *v)
{
	bump_too(p);
	exchange(q, v);
	return look_too(p);
}
