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
	PERCPU_METRIC_COUNTER = 1,   /* uint64_t: the sum of all copies, which only grows */
	PERCPU_METRIC_GAUGE = 2,     /* int64_t: the sum of all copies */
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
 * The description of a metric. Set size to sizeof(struct percpu_metric). Strings may have any
 * length and should be UTF-8; NULL stands for "", except for the name.
 */
struct percpu_metric {
	size_t size;
	uint32_t kind; /* enum percpu_metric_kind */
	uint32_t nr_labels;
	const char *name; /* "http_requests" */
	const char *unit; /* "bytes"; "" for a number of things */
	const char *help; /* one sentence */
	const struct percpu_label *labels; /* no name twice */
	const struct percpu_histogram_shape *shape; /* of a histogram; NULL for the other kinds */
	double scale; /* units in 1: 1e-9 for nanoseconds if the unit is "seconds"; 1e-30 to 1e30;
			 0 stands for 1 */
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

/* A published pool that a process has open. */
struct percpu_publisher {
	pid_t pid;
	int fd;              /* the file descriptor's number in that process */
	uint64_t file;       /* equal for all processes that share the pool, and only for these */
	const char *name;    /* as /proc shows it, perhaps truncated; valid during the visit */
	uid_t user;          /* the owner of the memory */
	uid_t process_user;  /* the effective user of the process */
	uint64_t held_bytes; /* bytes of memory */
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
