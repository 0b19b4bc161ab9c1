/* SPDX-License-Identifier: MIT */
/*
 * For perf/start and perf/scale: allocates once, unless given an argument, and writes how long that
 * took.
 */
#include <time.h>
#include <unistd.h>

#include <percpu/percpu.h>

int main(int argc, char **argv)
{
	struct timespec from, to;
	void __percpu *p;
	double ns;

	clock_gettime(CLOCK_MONOTONIC, &from);
	p = argc > 1 ? NULL : percpu_alloc(8, 8);
	clock_gettime(CLOCK_MONOTONIC, &to);
	ns = (to.tv_sec - from.tv_sec) * 1e9 + (to.tv_nsec - from.tv_nsec);
	return (argc == 1 && !p) || write(STDOUT_FILENO, &ns, sizeof(ns)) != sizeof(ns);
}
