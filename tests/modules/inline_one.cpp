/* SPDX-License-Identifier: MIT */
#include "inline.hpp"

long (*volatile look)(long *) = bump_and_look;
void (*volatile bump_it)(long *) = bump;

int main()
{
	counter c;
	long *p = percpu_new(long), sum = 0;
	int **q = percpu_new(int *), v = 0;

	for (int i = 0; i < 1000; i++) {
		bump_it(p);
		look(p);
		++c;
		sum += other_file(p, q, &v) != 0;
		exchange(q, &v);
	}
	return c.sum() == 1000 && percpu_sum(p) == 4000 && sum == 1000 ? 0 : 1;
}
