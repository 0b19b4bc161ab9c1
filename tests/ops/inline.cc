// SPDX-License-Identifier: MIT
// Two parts of one C++ program. What stands in both is one function after linking, and so must be the
// critical sections in it.
#include <percpu/kernel.h>
#include <percpu/percpu.h>

#include <cstdio>

struct node : percpu_list_node {
	long value;
};

inline long counted(long __percpu *p, long v)
{
	percpu_add(p, v);
	return percpu_add_return(p, 1);
}

template <typename T> T exchanged(T __percpu *p, T v)
{
	T before = percpu_xchg(p, v);

	percpu_write(p, percpu_read(p));
	return percpu_cmpxchg(p, before, v) == v ? before : v;
}

template <typename T> T summed(T __percpu *p)
{
	T sum = 0;

	for (unsigned i = 0; i < percpu_nr_copies(); i++)
		sum += *(T *)((uintptr_t)p + (i + 1) * PERCPU_STRIDE);
	return sum;
}

struct statistics {
	struct percpu_counter packets;
	struct percpu_histogram sizes;
	struct percpu_group traffic;
};

inline void received(statistics &s, int bytes)
{
	percpu_counter_inc(&s.packets);
	percpu_histogram_record(&s.sizes, (uint64_t)bytes);
	percpu_group_add(&s.traffic, 1, bytes);
}

enum class color : short { red, green };
PERCPU_DECLARE(long, counter);
DECLARE_PER_CPU(unsigned, variable);
long part_two(long __percpu *p, struct percpu_list __percpu *list, node *nodes, statistics &s);

#if PART == 1
PERCPU_DEFINE(long, counter);
DEFINE_PER_CPU(unsigned, variable) = 7;

int main()
{
	long __percpu *p = percpu_new(long);
	unsigned char __percpu *small = percpu_new(unsigned char);
	color __percpu *shade = percpu_new(color);
	const char *__percpu *text = percpu_new(const char *);
	bool __percpu *flag = percpu_new(bool);
	struct percpu_list __percpu *list = percpu_new(struct percpu_list);
	node nodes[2] = {};
	statistics s;
	uint64_t traffic[2];
	bool good;

	percpu_counter_init(&s.packets, 0, GFP_KERNEL);
	percpu_histogram_init(&s.sizes, nullptr, 1, 9000, 7);
	percpu_group_init(&s.traffic, 2);
	received(s, 60);

	counted(p, 4);
	counted(counter, 1);
	percpu_add(small, 300);
	this_cpu_add(variable, 1);
	percpu_write(shade, color::green);
	percpu_write(text, nullptr);
	percpu_or(flag, true);
	exchanged(shade, color::red);
	exchanged(text, (const char *)"text");
	good = part_two(p, list, nodes, s) == 10 && summed(p) == 10 && summed(counter) == 3 && summed(small) == 44 &&
	       percpu_list_pop_all(list) == &nodes[1];
	percpu_group_read(&s.traffic, traffic);
	good &= percpu_counter_sum(&s.packets) == 2 && traffic[0] == 2 && traffic[1] == 1560 &&
		percpu_sum(&s.sizes.copies->sum) == 1560;
	std::puts(good ? "ok 1 - inline functions" : "not ok 1 - inline functions");
	return !good;
}
#else
long part_two(long __percpu *p, struct percpu_list __percpu *list, node *nodes, statistics &s)
{
	received(s, 1500);
	counted(p, 4);
	percpu_inc(counter);
	this_cpu_inc(variable);
	percpu_list_push(list, &nodes[0]);
	percpu_list_push(list, &nodes[1]);
	return summed(p);
}
#endif
