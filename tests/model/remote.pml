/* SPDX-License-Identifier: MIT */
/*
 * The remote list of a home, the batches that feed it, and the end of a slab, as src/cache/home.c has
 * them. Two CPUs free objects whose home is a third: its owner, in need, takes the remote list and then
 * closes the batches and takes what they hold; a shrinker gives the slab back once all objects are in it.
 *
 *	here         there                        a step here is
 *	remote       the home's word `remote`     the compare-and-swap, or the exchange
 *	next         the link in each object      a load or a store
 *	batch, nr    struct percpu__batch         a load; or the store that commits a section
 *	open         the batch's limit            a store
 *	aborted      what a fence does            all sections under way begin anew
 *
 * What must hold: an object is in one place at a time, none is lost, an owner in need finds what lies in the
 * batch of an idle CPU, and nobody touches an object of a slab that was given back. Each rule that makes it so
 * can be left out, by -DWITHOUT_CAS, -DWITHOUT_FENCE, -DWITHOUT_ORDER (a section loads the limit before
 * the number), -DWITHOUT_COUNT; then the model must fail.
 */
#define FREERS 2
#define EACH 3              /* objects that one of them frees */
#define NR (FREERS * EACH)  /* numbered from 1 */
#define BATCH 2             /* objects of a full one */

mtype = { USED, BATCHED, MOVING, IN_SLAB };

mtype where[NR + 1] = USED;
byte next[NR + 1];
byte remote;                /* the first object; 0: none */
byte batch[FREERS * BATCH];
byte nr[FREERS];
bool open[FREERS] = true;
bool aborted[FREERS];
byte in_slab;
byte nr_done;
bool slab_lock;
bool given_back;

inline move(object, from, to)
{
	assert(where[object] == from && !given_back);
	where[object] = to
}

/* percpu__remote_push: a chain whose objects are on their way. */
inline push(head, tail)
{
	do
	:: seen = remote;
	   next[tail] = seen;
#ifdef WITHOUT_CAS
	   remote = head;
	   break
#else
	   atomic {
		if
		:: remote == seen -> remote = head; break
		:: else -> skip
		fi
	   }
#endif
	od
}

/* percpu__remote_take, and all of it into the slab. */
inline take_remote_list()
{
	atomic { !slab_lock -> slab_lock = true };
	atomic { at = remote; remote = 0 };
	do
	:: at == 0 -> break
	:: else ->
		atomic {
			move(at, MOVING, IN_SLAB);
			in_slab++;
			at = next[at]
		}
	od;
	slab_lock = false
}

/* The start of a section. */
inline look(may_go)
{
#ifdef WITHOUT_ORDER
	n = nr[self];
	may_go = open[self]
#else
	may_go = open[self];
	n = nr[self]
#endif
}

proctype freer(byte self)
{
	byte object = self * EACH + 1;
	byte first, seen, n;
	bool may;

	do
	:: object > (self + 1) * EACH -> break
	:: else ->
section_push:
		aborted[self] = false;
		look(may);
		if
		:: may && n < BATCH ->
			atomic {
				if
				:: aborted[self] -> goto section_push
				:: else ->
					batch[self * BATCH + n] = object;
					nr[self] = n + 1;
					move(object, USED, BATCHED);
					goto freed
				fi
			}
		:: else -> skip
		fi;
		/* flush: what the batch holds, and the object. */
		move(object, USED, MOVING);
		first = object;
section_pop:
		aborted[self] = false;
		look(may);
		if
		:: may && n > 0 ->
			atomic {
				if
				:: aborted[self] -> goto section_pop
				:: else ->
					nr[self] = n - 1;
					seen = batch[self * BATCH + n - 1];
					move(seen, BATCHED, MOVING)
				fi
			};
			next[seen] = first;
			first = seen;
			goto section_pop
		:: else -> skip
		fi;
		push(first, object);
freed:
		object++
	od;
	nr_done++
}

/* collect_batches */
inline collect()
{
	i = 0;
	do
	:: i == FREERS -> break
	:: else -> open[i] = false; i++
	od;
#ifndef WITHOUT_FENCE
	i = 0;
	do
	:: i == FREERS -> break
	:: else -> aborted[i] = true; i++
	od;
#endif
	i = 0;
	do
	:: i == FREERS -> break
	:: else ->
		n = nr[i];
		nr[i] = 0;
		do
		:: n == 0 -> break
		:: else ->
			at = batch[i * BATCH + n - 1];
			move(at, BATCHED, MOVING);
			push(at, at);
			n--
		od;
		open[i] = true;
		i++
	od
}

proctype owner()
{
	byte at, seen, i, n;
	bool all_idle;

	do
	:: given_back || all_idle -> break
	:: else ->
		all_idle = nr_done == FREERS;
		take_remote_list();
		if
		:: in_slab < NR -> collect(); take_remote_list()
		:: else -> skip
		fi
	od;
	assert(in_slab == NR)
}

proctype shrinker()
{
	do
	:: given_back -> break
#ifdef WITHOUT_COUNT
	:: atomic { !slab_lock && in_slab > 0 -> given_back = true }
#else
	:: atomic { !slab_lock && in_slab == NR -> given_back = true }
#endif
	od
}

init {
	atomic {
		run freer(0);
		run freer(1);
		run owner();
		run shrinker()
	}
}
