/* SPDX-License-Identifier: MIT */
/*
 * Owns locks and their order. The ranks a thread holds are kept, under --enable-checks alone, as bits
 * of a thread-specific value: the library has no thread-local storage of its own.
 */
#include "platform/platform.h"

#ifdef PERCPU_CHECKS
static pthread_key_t held_key;
static pthread_once_t held_once = PTHREAD_ONCE_INIT;

static void make_held_key(void)
{
	if (pthread_key_create(&held_key, NULL))
		percpu__die("locks", NULL, "no key for the ranks held");
}

static uintptr_t held(void)
{
	pthread_once(&held_once, make_held_key);
	return (uintptr_t)pthread_getspecific(held_key);
}

static void note_locked(enum percpu__rank rank)
{
	pthread_setspecific(held_key, (void *)(held() | (uintptr_t)1 << rank));
}

static void note_unlocked(enum percpu__rank rank)
{
	pthread_setspecific(held_key, (void *)(held() & ~((uintptr_t)1 << rank)));
}
#else
static uintptr_t held(void)
{
	return 0;
}
static void note_locked(enum percpu__rank rank)
{
}
static void note_unlocked(enum percpu__rank rank)
{
}
#endif

#ifdef PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP
#define FRESH PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP /* what it guards takes less time than falling asleep */
#else
#define FRESH PTHREAD_MUTEX_INITIALIZER
#endif

/* No call, of which a thread sanitizer would hear, but not of the release behind it. */
void percpu__lock_init(struct percpu__lock *lock, enum percpu__rank rank)
{
	*lock = (struct percpu__lock){ FRESH, rank };
}

bool percpu__lock(struct percpu__lock *lock)
{
	percpu_assert(held() < (uintptr_t)1 << lock->rank);
	return percpu__lock_nested(lock);
}

bool percpu__lock_nested(struct percpu__lock *lock)
{
	bool waits;

	percpu_assert(held() < (uintptr_t)2 << lock->rank);
	waits = pthread_mutex_trylock(&lock->mutex) != 0;
	if (waits)
		pthread_mutex_lock(&lock->mutex);
	note_locked(lock->rank);
	return waits;
}

void percpu__unlock(struct percpu__lock *lock)
{
	note_unlocked(lock->rank);
	pthread_mutex_unlock(&lock->mutex);
}
