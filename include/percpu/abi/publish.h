/* SPDX-License-Identifier: MIT */
/* The ABI of published statistics: metrics and publishers. */
#ifndef PERCPU_ABI_PUBLISH_H
#define PERCPU_ABI_PUBLISH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <percpu/abi/histogram.h>

#ifdef __cplusplus
extern "C" {
#endif

enum percpu_metric_kind {
	PERCPU_METRIC_COUNTER = 1,   /* uint64_t, its value the sum of all copies; only ever grows */
	PERCPU_METRIC_GAUGE = 2,     /* int64_t, its value the sum of all copies */
	PERCPU_METRIC_HISTOGRAM = 3, /* the copies of a struct percpu_histogram */
};

struct percpu_label {
	const char *name, *value;
};
PERCPU__STATIC_ASSERT(sizeof(struct percpu_label) == 16 &&
			      offsetof(struct percpu_label, name) == 0 &&
			      offsetof(struct percpu_label, value) == 8,
		      "ABI: struct percpu_label");

/*
 * A description. Set size to sizeof(struct percpu_metric). Strings are of any length, best in UTF-8; all but
 * the name may be NULL, which is "".
 */
struct percpu_metric {
	size_t size;
	uint32_t kind;      /* enum percpu_metric_kind */
	uint32_t nr_labels;
	const char *name;   /* "http_requests" */
	const char *unit;   /* "bytes"; "" for a number of things */
	const char *help;   /* one sentence */
	const struct percpu_label *labels; /* each name once */
	const struct percpu_histogram_shape *shape; /* of a histogram; else NULL */
	double scale;       /* units that one is worth: 1e-9 for nanoseconds where the unit is "seconds"; 1e-30 to 1e30; 0: 1 */
};
PERCPU__STATIC_ASSERT(sizeof(struct percpu_metric) == 64 &&
			      offsetof(struct percpu_metric, size) == 0 &&
			      offsetof(struct percpu_metric, kind) == 8 &&
			      offsetof(struct percpu_metric, nr_labels) == 12 &&
			      offsetof(struct percpu_metric, name) == 16 &&
			      offsetof(struct percpu_metric, unit) == 24 &&
			      offsetof(struct percpu_metric, help) == 32 &&
			      offsetof(struct percpu_metric, labels) == 40 &&
			      offsetof(struct percpu_metric, shape) == 48 &&
			      offsetof(struct percpu_metric, scale) == 56,
		      "ABI: struct percpu_metric");

/* A published pool that somebody has open. */
struct percpu_publisher {
	pid_t pid;
	int fd;            /* its number there */
	uint64_t file;     /* the same for all processes that share the pool, and for no other pool */
	const char *name;  /* as /proc shows it, maybe cut; valid during the visit */
	uid_t user;         /* whose memory it is */
	uid_t process_user; /* as whom the process acts */
	uint64_t held_bytes; /* of memory */
};
PERCPU__STATIC_ASSERT(sizeof(struct percpu_publisher) == 40 &&
			      offsetof(struct percpu_publisher, pid) == 0 &&
			      offsetof(struct percpu_publisher, fd) == 4 &&
			      offsetof(struct percpu_publisher, file) == 8 &&
			      offsetof(struct percpu_publisher, name) == 16 &&
			      offsetof(struct percpu_publisher, user) == 24 &&
			      offsetof(struct percpu_publisher, process_user) == 28 &&
			      offsetof(struct percpu_publisher, held_bytes) == 32,
		      "ABI: struct percpu_publisher");

#ifdef __cplusplus
}
#endif
#endif
