/* SPDX-License-Identifier: MIT */
/*
 * Owns locks and their order. With --enable-checks the ranks that a thread holds are bits of a
 * thread-specific value, since the library has no thread-local storage of its own.
 *
 * A forking thread holds all locks between the library's fork handlers. Handlers of the program
 * that run in between, in the same thread, may use the library. Therefore a lock held for a fork
 * knows its thread, lets that thread pass, and counts how often it did.
 */
#include "platform/platform.h"

#ifdef PERCPU_CHECKS
static pthread_key_t held_key;
static pthread_once_t held_once = PTHREAD_ONCE_INIT;

static void make_held_key(void)
{
	if (pthread_key_create(&held_key, NULL))
		percpu__fatal("percpu__lock", NULL, PERCPU__FAULT_LOCK_KEY);
}

static uintptr_t held(void)
{
	pthread_once(&held_once, make_held_key);
	return (uintptr_t)pthread_getspecific(held_key);
}

static void set_held(uintptr_t ranks)
{
	pthread_setspecific(held_key, (void *)ranks);
}

#ifndef PERCPU_SHARED_OBJECT
/* When the process ends, the ranks of its other threads become 0. */
__attribute__((destructor)) static void delete_held_key(void)
{
	if (percpu__may_be_unloaded()) {
		held();
		pthread_key_delete(held_key);
	}
}
#endif
#else
static uintptr_t held(void)
{
	return 0;
}
static void set_held(uintptr_t ranks)
{
}
#endif

#define FORKING ((uintptr_t)1) /* not a rank: the thread holds locks for a fork, and may take any other */

static void note_unlocked(enum percpu__rank rank)
{
	const uintptr_t left = held() & ~((uintptr_t)1 << rank);

	set_held(left == FORKING ? 0 : left);
}

#ifdef PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP
#define FRESH PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP /* the data is guarded for less time than a sleep takes */
#else
#define FRESH PTHREAD_MUTEX_INITIALIZER
#endif

/*
 * An assignment, not pthread_mutex_init(): ThreadSanitizer would intercept the call, but miss the
 * release store that publishes the lock, and report a race.
 */
void percpu__lock_init(struct percpu__lock *lock, enum percpu__rank rank)
{
	*lock = (struct percpu__lock){ .mutex = FRESH, .rank = rank };
}

static bool lock_above(struct percpu__lock *lock, uintptr_t ranks)
{
	const bool waits = pthread_mutex_trylock(&lock->mutex) != 0;

	if (waits && percpu__is_locked_for_fork(lock)) {
		lock->nr_passed++;
		return false;
	}
	percpu_assert((held() & FORKING) || held() < ranks);
	if (waits)
		pthread_mutex_lock(&lock->mutex);
	set_held(held() | (uintptr_t)1 << lock->rank);
	return waits;
}

bool percpu__lock(struct percpu__lock *lock)
{
	return lock_above(lock, (uintptr_t)1 << lock->rank);
}

bool percpu__lock_nested(struct percpu__lock *lock)
{
	return lock_above(lock, (uintptr_t)2 << lock->rank);
}

void percpu__unlock(struct percpu__lock *lock)
{
	if (percpu__unlikely(lock->nr_passed)) {
		lock->nr_passed--;
		return;
	}
	note_unlocked(lock->rank);
	pthread_mutex_unlock(&lock->mutex);
}

/* ---- forks ---- */

static uintptr_t this_thread(void)
{
	return (uintptr_t)pthread_self();
}

static void lock_for_fork(struct percpu__lock *lock)
{
	pthread_mutex_lock(&lock->mutex);
	set_held(held() | (uintptr_t)1 << lock->rank | FORKING);
	__atomic_store_n(&lock->forker, this_thread(), __ATOMIC_RELAXED);
}

void percpu__lock_for_fork(struct percpu__lock *lock)
{
	if (percpu__is_locked_for_fork(lock)) { /* a handler forks */
		lock->nr_passed++;
		return;
	}
	percpu_assert((held() & ~FORKING) < (uintptr_t)2 << lock->rank);
	lock_for_fork(lock);
}

void percpu__lock_made_in_fork(struct percpu__lock *lock, const struct percpu__lock *other)
{
	if (percpu__unlikely(percpu__is_locked_for_fork(other)))
		lock_for_fork(lock);
}

void percpu__unlock_after_fork(struct percpu__lock *lock)
{
	if (!percpu__is_locked_for_fork(lock))
		return;
	if (!lock->nr_passed)
		__atomic_store_n(&lock->forker, 0, __ATOMIC_RELAXED);
	percpu__unlock(lock);
}

/* If another thread holds the lock, the value read may be any but the caller's own. */
bool percpu__is_locked_for_fork(const struct percpu__lock *lock)
{
	return __atomic_load_n(&lock->forker, __ATOMIC_RELAXED) == this_thread();
}
