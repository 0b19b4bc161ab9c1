/* SPDX-License-Identifier: MIT */
#include <percpu/percpu.h>
#include <pthread.h>
#include <stdio.h>

static long __percpu *hits; /* one long per CPU */

static void *work(void *arg)
{
	for (int i = 0; i < 1000000; i++)
		percpu_inc(hits); /* no lock, no atomic, no shared cache line */
	return arg;
}

int main(void)
{
	pthread_t threads[4];

	hits = percpu_new(long);
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, work, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	printf("%ld hits\n", percpu_sum(hits)); /* exactly 4000000 */
	percpu_free(hits);
}
