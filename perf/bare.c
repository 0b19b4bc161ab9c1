/* SPDX-License-Identifier: MIT */
/* For perf/start: perf/first without the library. */
#include <time.h>
#include <unistd.h>

int main(void)
{
	struct timespec from, to;
	double ns;

	clock_gettime(CLOCK_MONOTONIC, &from);
	clock_gettime(CLOCK_MONOTONIC, &to);
	ns = (to.tv_sec - from.tv_sec) * 1e9 + (to.tv_nsec - from.tv_nsec);
	return write(STDOUT_FILENO, &ns, sizeof(ns)) != sizeof(ns);
}
