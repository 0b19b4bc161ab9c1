/* SPDX-License-Identifier: MIT */
/*
 * Every other machine, and compilers without outputs of asm goto: nothing can be done inline, so
 * that every operation is a call. With -DPERCPU_GENERIC that can be tried anywhere; such a program
 * still does what the library's mode says.
 */
#ifndef PERCPU_ARCH_GENERIC_H
#define PERCPU_ARCH_GENERIC_H

#define PERCPU__HAS_SECTIONS 0

#define PERCPU__TRY_UPDATE(op, bits)                                                                         \
	PERCPU__INLINE bool percpu__try_##op##_u##bits(void *p, uint##bits##_t v)                            \
	{                                                                                                    \
		return (void)p, (void)v, false;                                                              \
	}
#define PERCPU__TRY_READ(op, bits)                                                                           \
	PERCPU__INLINE bool percpu__try_##op##_u##bits(void *p, uint##bits##_t *result)                      \
	{                                                                                                    \
		return (void)p, *result = 0, false;                                                          \
	}
#define PERCPU__TRY_FETCH(op, bits)                                                                          \
	PERCPU__INLINE bool percpu__try_##op##_u##bits(void *p, uint##bits##_t v, uint##bits##_t *result)    \
	{                                                                                                    \
		return (void)p, (void)v, *result = 0, false;                                                 \
	}
#define PERCPU__TRY_COMPARE(op, bits)                                                                        \
	PERCPU__INLINE bool percpu__try_##op##_u##bits(void *p, uint##bits##_t old, uint##bits##_t v,        \
						       uint##bits##_t *result)                               \
	{                                                                                                    \
		return (void)p, (void)old, (void)v, *result = 0, false;                                      \
	}

PERCPU__INLINE bool percpu__try_list_push(void *p, struct percpu_list_node *node)
{
	return (void)p, (void)node, false;
}

PERCPU__INLINE bool percpu__try_list_pop(void *p, struct percpu_list_node **result)
{
	return (void)p, *result = NULL, false;
}

PERCPU__INLINE bool percpu__try_list_pop_all(void *p, struct percpu_list_node **result)
{
	return (void)p, *result = NULL, false;
}

PERCPU__INLINE bool percpu__try_stack_push(struct percpu__stack *p, void *item)
{
	return (void)p, (void)item, false;
}

PERCPU__INLINE bool percpu__try_stack_pop(struct percpu__stack *p, void **result)
{
	return (void)p, *result = NULL, false;
}

#define percpu__load_once(p, at) (*(const uint64_t *)((const char *)(p) + (at)))

PERCPU__INLINE bool percpu__try_cache_take(char *const *magazines, void **result)
{
	return (void)magazines, *result = NULL, false;
}

PERCPU__INLINE bool percpu__try_cache_take_from(char *const *magazines, char *const *magazine, void **result)
{
	return (void)magazines, (void)magazine, *result = NULL, false;
}

PERCPU__INLINE bool percpu__try_cache_put(char *const *magazines, char *const *magazine, void *item)
{
	return (void)magazines, (void)magazine, (void)item, false;
}

PERCPU__INLINE bool percpu__try_counter_add(void *p, int64_t v, const uint64_t *bounds)
{
	return (void)p, (void)v, (void)bounds, false;
}

PERCPU__INLINE bool percpu__try_counter_fold(void *p, int64_t *result)
{
	return (void)p, *result = 0, false;
}

PERCPU__INLINE bool percpu__try_histogram_note(void *p, uint64_t value)
{
	return (void)p, (void)value, false;
}

#define PERCPU__GROUP_SECTION(nr)                                                                            \
	PERCPU__INLINE bool percpu__try_group_add_##nr(void *p, uint64_t v0, uint64_t v1, uint64_t v2,       \
						       uint64_t v3)                                          \
	{                                                                                                    \
		return (void)p, (void)v0, (void)v1, (void)v2, (void)v3, false;                               \
	}
PERCPU__GROUP_SECTION(2)
PERCPU__GROUP_SECTION(3)
PERCPU__GROUP_SECTION(4)
#undef PERCPU__GROUP_SECTION

/* No limit is above it, so that percpu_this_cpu() asks the library. */
PERCPU__INLINE uint32_t percpu__cpu_id(void)
{
	return UINT32_MAX;
}

#endif
