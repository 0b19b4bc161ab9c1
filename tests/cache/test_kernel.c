/* SPDX-License-Identifier: MIT */
/* The kernel's spelling of caches, used as kernel code uses it. */
#include "cache/world.h"

#include <percpu/kernel.h>

struct foo {
	int a;
	char b[60];
};

static void foo_init(void *object)
{
	((struct foo *)object)->a = 42;
}

START_TEST(as_in_the_kernel)
{
	struct kmem_cache *foo_cachep = KMEM_CACHE(foo, SLAB_HWCACHE_ALIGN | SLAB_PANIC);
	struct kmem_cache *constructed = kmem_cache_create("constructed", sizeof(struct foo), 0, 0, foo_init);
	struct kmem_cache *tiny = kmem_cache_create("tiny", 2, 0, 0, NULL);
	struct foo *foo = kmem_cache_alloc(foo_cachep, GFP_KERNEL);
	void *bulk[16];

	ck_assert(foo && constructed && tiny);
	ck_assert_uint_eq((uintptr_t)foo % 64, 0);
	ck_assert_uint_eq(kmem_cache_size(foo_cachep), sizeof(struct foo));
	memset(foo, 0xff, sizeof(*foo));
	kmem_cache_free(foo_cachep, foo);
	foo = kmem_cache_zalloc(foo_cachep, GFP_ATOMIC);
	for (size_t i = 0; i < sizeof(*foo); i++)
		ck_assert_int_eq(((char *)foo)[i], 0);
	kmem_cache_free(foo_cachep, foo);
	foo = kmem_cache_alloc(constructed, GFP_KERNEL);
	ck_assert_int_eq(foo->a, 42);
	kmem_cache_free(constructed, foo);
	ck_assert_int_eq(kmem_cache_alloc_bulk(foo_cachep, GFP_KERNEL | __GFP_ZERO, 16, bulk), 16);
	kmem_cache_free_bulk(foo_cachep, 16, bulk);
	ck_assert_int_eq(kmem_cache_shrink(foo_cachep), 0);
	kmem_cache_destroy(foo_cachep);
	kmem_cache_destroy(constructed);
	kmem_cache_destroy(tiny);
	kmem_cache_destroy(NULL);
}
END_TEST

TEST_MAIN("kmem_cache", 30, as_in_the_kernel)
