// SPDX-License-Identifier: MIT
// The same from C++: a namespace, a class, a reference.
#include <percpu/percpu.h>

namespace net
{
class traffic
{
public:
	long packets = 0;
	short port = 0;
};

static traffic __percpu *all;
PERCPU_DEFINE(long, hits);
static percpu_counter requests;
}

__attribute__((noinline)) static void stop_here(long __percpu *const &by_reference)
{
	__asm__ volatile("" ::: "memory");
}

int main()
{
	net::all = percpu_new(net::traffic);
	percpu_ptr(net::all, 0)->packets = 3;
	percpu_ptr(net::all, 1)->port = 80;
	percpu_ptr(net::all, 2)->port = 443;
	*percpu_ptr(net::hits, 1) = 9;
	percpu_counter_init(&net::requests, 5, 0);
	stop_here(net::hits);
}
