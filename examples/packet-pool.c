/* SPDX-License-Identifier: MIT */
/*
 * One thread receives packets from a UDP socket on loopback, to which many senders write. It
 * allocates a buffer for each and hands it to workers on other CPUs, which read and free it. These
 * remote frees return the buffers to the receiver's CPU in batches.
 *
 *	packet-pool [SECONDS [SENDERS]]
 */
#include <percpu/percpu.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define PAYLOAD 1472
#define RING 1024
#define MAX_WORKERS 15
#define MAX_SENDERS 64

struct packet {
	uint32_t length;
	unsigned char data[PAYLOAD];
};

/* From the receiver to one worker; each end has a line of its own. */
struct ring {
	uint32_t head __attribute__((aligned(64))); /* written by the receiver */
	uint32_t tail __attribute__((aligned(64))); /* written by the worker */
	struct packet *packet[RING] __attribute__((aligned(64)));
};

struct worker {
	pthread_t thread;
	int cpu;
	uint64_t nr_packets, sum;
	struct ring ring;
};

static struct percpu_cache *packets;
static struct worker workers[MAX_WORKERS];
static struct sockaddr_in address;
static bool over;

static bool is_over(void)
{
	return __atomic_load_n(&over, __ATOMIC_ACQUIRE);
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static void *send_packets(void *arg)
{
	static const unsigned char data[PAYLOAD] = { 1, 2, 3 };
	const int fd = socket(AF_INET, SOCK_DGRAM, 0);
	size_t length = 64 + (uintptr_t)arg * 131 % (PAYLOAD - 64);

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		die("sender");
	while (!is_over())
		if (send(fd, data, length, 0) < 0)
			sched_yield(); /* the queue is full */
	close(fd);
	return NULL;
}

static void *work(void *arg)
{
	struct worker *self = arg;
	struct ring *ring = &self->ring;
	uint32_t tail = 0;

	run_on(self->cpu);
	for (;;) {
		const bool last = is_over();
		const uint32_t head = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);

		for (; tail != head; tail++) {
			struct packet *packet = ring->packet[tail % RING];

			for (uint32_t i = 0; i < packet->length; i++)
				self->sum += packet->data[i];
			self->nr_packets++;
			percpu_cache_free(packets, packet);
			__atomic_store_n(&ring->tail, tail + 1, __ATOMIC_RELEASE);
		}
		if (last)
			return NULL;
		sched_yield();
	}
}

/* Returns: the number of packets for which no worker had room. */
static uint64_t receive(int fd, int nr_workers, double seconds)
{
	struct timespec start, now;
	uint64_t nr_dropped = 0;

	clock_gettime(CLOCK_MONOTONIC, &start);
	now = start;
	for (uint64_t n = 0; now.tv_sec - start.tv_sec + (now.tv_nsec - start.tv_nsec) / 1e9 < seconds; n++) {
		struct ring *ring = &workers[n % nr_workers].ring;
		struct packet *packet = percpu_cache_alloc(packets);
		ssize_t length;

		if (!packet)
			die("percpu_cache_alloc");
		length = recv(fd, packet->data, sizeof(packet->data), 0);
		packet->length = length < 0 ? 0 : (uint32_t)length;
		if (length < 0 || ring->head - __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE) == RING) {
			nr_dropped += length >= 0;
			percpu_cache_free(packets, packet);
		} else {
			ring->packet[ring->head % RING] = packet;
			__atomic_store_n(&ring->head, ring->head + 1, __ATOMIC_RELEASE);
		}
		if (n % 256 == 0 || length < 0)
			clock_gettime(CLOCK_MONOTONIC, &now);
	}
	return nr_dropped;
}

static void report(double seconds, uint64_t nr_dropped, int nr_workers)
{
	struct percpu_cache_stats stats = { .size = sizeof(stats) };
	uint64_t nr_packets = 0;

	for (int i = 0; i < nr_workers; i++)
		nr_packets += workers[i].nr_packets;
	percpu_cache_stats(packets, &stats);
	printf("%.0f packets/s to %d workers, %llu dropped\n", nr_packets / seconds, nr_workers,
	       (unsigned long long)nr_dropped);
	printf("allocations: %.2f %% from the CPU's list\n",
	       100.0 * stats.nr_hits / (stats.nr_hits + stats.nr_refills));
	printf("frees: %llu went home from other CPUs, %.1f in a batch of up to %zu\n",
	       (unsigned long long)stats.nr_remote_frees,
	       stats.nr_batches ? (double)stats.nr_remote_frees / stats.nr_batches : 0.0, stats.batch_max);
	printf("memory: %zu slabs of %zu bytes, of %zu CPUs; %zu buffers in use, %zu ready\n", stats.nr_slabs,
	       stats.slab_bytes, stats.nr_homes, stats.nr_objects, stats.nr_free);
	for (int node = 0; node < PERCPU_CACHE_NODES; node++)
		if (stats.node_bytes[node])
			printf("node %d: %zu bytes\n", node, stats.node_bytes[node]);
	printf("mode: %s\n", percpu_mode_reason());
}

int main(int argc, char **argv)
{
	const double seconds = argc > 1 ? atof(argv[1]) : 2;
	const uintptr_t nr_senders = argc > 2 ? strtoul(argv[2], NULL, 10) : 4;
	const struct timeval patience = { .tv_usec = 20000 };
	int nr_workers = 0, receiver_cpu = -1, fd = socket(AF_INET, SOCK_DGRAM, 0);
	pthread_t senders[MAX_SENDERS];
	socklen_t size = sizeof(address);
	uint64_t nr_dropped;
	cpu_set_t cpus;

	if (nr_senders > MAX_SENDERS) {
		fprintf(stderr, "packet-pool: at most %d senders\n", MAX_SENDERS);
		return 2;
	}
	packets = percpu_cache_create("packets", sizeof(struct packet), 64, 0, NULL);
	if (!packets)
		die("percpu_cache_create");
	address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &size) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
		die("socket");

	/* The first CPU receives and the others work; a single CPU does both. */
	sched_getaffinity(0, sizeof(cpus), &cpus);
	for (uintptr_t i = 0; i < nr_senders; i++)
		pthread_create(&senders[i], NULL, send_packets, (void *)i);
	for (int cpu = 0; cpu < CPU_SETSIZE && nr_workers < MAX_WORKERS; cpu++) {
		if (!CPU_ISSET(cpu, &cpus))
			continue;
		if (receiver_cpu < 0)
			receiver_cpu = cpu;
		else
			workers[nr_workers++].cpu = cpu;
	}
	if (!nr_workers)
		workers[nr_workers++].cpu = receiver_cpu;
	for (int i = 0; i < nr_workers; i++)
		pthread_create(&workers[i].thread, NULL, work, &workers[i]);
	run_on(receiver_cpu);

	nr_dropped = receive(fd, nr_workers, seconds);
	__atomic_store_n(&over, true, __ATOMIC_RELEASE);
	for (int i = 0; i < nr_workers; i++)
		pthread_join(workers[i].thread, NULL);
	for (uintptr_t i = 0; i < nr_senders; i++)
		pthread_join(senders[i], NULL);
	report(seconds, nr_dropped, nr_workers);
	close(fd);
	return percpu_cache_destroy(packets) != 0;
}
