/* SPDX-License-Identifier: MIT */
/*
 * The remote free list of a CPU's cache, the remote batches that feed it, and the end of a slab, as
 * in src/cache/remote.c, flow.c and depot.c. Two CPUs free objects of a third, the owner: one into
 * its remote batch, the other one by one (percpu_cache_free_to). The owner takes the remote free
 * list, and stops the batch and takes its contents; an object that came back is allocated by one of
 * the two once more, and freed again. A shrinker takes the remote free list, too, and gives the
 * slab back once all objects are in it.
 *
 *	model              library                      a step of the model is
 *	remote, remote_nr  the member `remote`          a load, the compare-and-swap, or the exchange
 *	next               the link in each object      part of the step before: no one else has the object
 *	batch, nr          struct percpu__batch         a load; or the store that commits a critical section
 *	open               the batch's limit            a load or a store
 *	aborted            the effect of a fence        a critical section that runs begins again
 *	into_slab, again   work under the owner's lock  all of it
 *
 * Invariants: an object is in one place at a time, no object is lost, an owner that needs objects
 * finds those in the batch of an idle CPU, and no CPU touches an object of a slab that was given
 * back. Each rule behind them can be left out: -DWITHOUT_CAS, -DWITHOUT_FENCE, -DWITHOUT_ORDER (a
 * critical section loads the limit after the number), -DWITHOUT_COUNT (of the slab),
 * -DWITHOUT_WHOLE (a take pops one object), -DWITHOUT_PAIR (the compare-and-swap compares the first
 * object alone); then the model must fail. The last two rules prevent ABA, an object that leaves
 * the list and comes back, which -DAGAIN=0 excludes.
 */
#define NR 4       /* objects, numbered from 1 */
#define BATCHING 3 /* objects 1 to BATCHING are freed into the batch */
#define BATCH 2    /* objects of a full batch */
#ifndef AGAIN
#define AGAIN 1    /* objects that are allocated once more */
#endif

mtype = { USED, BATCHED, MOVING, IN_SLAB };

mtype where[NR + 1] = USED;
byte next[NR + 1];
byte remote;                /* the first object; 0: none */
byte remote_nr;
byte batch[BATCH];
byte nr;
bool open = true;
bool aborted;
byte given[2];              /* allocated once more, by each of the two CPUs; 0: none */
byte nr_again;
byte nr_freed;
byte in_slab;
byte in_hand;               /* of the process that took the list */
bool given_back;

inline move(object, from, to)
{
	assert(where[object] == from && !given_back);
	where[object] = to
}

/* percpu__remote_push: a free list of objects that are in no other place. */
inline push(head, tail, count)
{
	do
	:: atomic { seen = remote; seen_nr = remote_nr; next[tail] = seen };
	   atomic {
		if
#if defined(WITHOUT_CAS)
		:: true ->
#elif defined(WITHOUT_PAIR)
		:: remote == seen ->
#else
		:: remote == seen && remote_nr == seen_nr ->
#endif
			remote = head;
			remote_nr = seen_nr + count;
			seen = 0;
			seen_nr = 0;
			break
		:: else -> seen = 0; seen_nr = 0
		fi
	   }
	od
}

/* percpu__remote_take, if the list is not empty. */
inline take()
{
#ifdef WITHOUT_WHOLE
	atomic { at = remote; n = remote_nr; after = next[at] };
	atomic {
		if
		:: at && remote == at && remote_nr == n ->
			remote = after;
			remote_nr = n - 1;
			n = 1;
			in_hand++
		:: else -> at = 0; n = 0
		fi;
		after = 0
	}
#else
	atomic { at = remote; n = remote_nr; remote = 0; remote_nr = 0; in_hand = in_hand + n }
#endif
}

/* percpu__depot_take_back: returns the taken objects, as many as were counted. */
inline into_slab()
{
	atomic {
		in_hand = in_hand - n;
		do
		:: n == 0 -> break
		:: else ->
			move(at, MOVING, IN_SLAB);
			in_slab++;
			n--;
			seen = next[at];
			next[at] = 0;
			at = seen;
			seen = 0
		od;
		at = 0
	}
}

/* The start of a critical section. */
inline look()
{
#ifdef WITHOUT_ORDER
	atomic { aborted = false; n = nr };
	may = open
#else
	atomic { aborted = false; may = open };
	n = nr
#endif
}

proctype batching()
{
	byte own = 1, object, first, count, seen, seen_nr, n;
	bool may;

end:
	do
	:: atomic {
		if
		:: own <= BATCHING -> object = own; own++
		:: given[0] -> object = given[0]; given[0] = 0
		fi
	   };
section_push:
		look();
		atomic {
			if
			:: aborted -> n = 0; may = false; goto section_push
			:: !aborted && may && n < BATCH ->
				batch[n] = object;
				nr = n + 1;
				move(object, USED, BATCHED);
				goto freed
			:: else -> move(object, USED, MOVING); first = object; count = 1
			fi;
			n = 0;
			may = false
		};
section_pop: /* percpu__batch_send: the contents of the batch, and the object */
		look();
		atomic {
			if
			:: aborted -> n = 0; may = false; goto section_pop
			:: !aborted && may && n > 0 ->
				nr = n - 1;
				seen = batch[n - 1];
				batch[n - 1] = 0;
				move(seen, BATCHED, MOVING);
				next[seen] = first;
				first = seen;
				seen = 0;
				count++;
				n = 0;
				may = false;
				goto section_pop
			:: else -> n = 0; may = false
			fi
		};
		push(first, object, count);
freed:
		atomic { object = 0; first = 0; count = 0; n = 0; may = false; nr_freed++ }
	od
}

proctype one_by_one()
{
	byte own = BATCHING + 1, object, seen, seen_nr;

end:
	do
	:: atomic {
		if
		:: own <= NR -> object = own; own++
		:: given[1] -> object = given[1]; given[1] = 0
		fi;
		move(object, USED, MOVING)
	   };
	   push(object, object, 1);
	   atomic { object = 0; nr_freed++ }
	od
}

/* percpu__batches_collect */
inline collect()
{
	open = false;
#ifndef WITHOUT_FENCE
	aborted = true;
#endif
	atomic {
		n = nr;
		nr = 0;
		count = n;
		do
		:: n == 0 -> break
		:: else ->
			n--;
			move(batch[n], BATCHED, MOVING);
			next[batch[n]] = at;
			at = batch[n];
			batch[n] = 0;
			if
			:: !last -> last = at
			:: else -> skip
			fi
		od
	};
	if
	:: count -> push(at, last, count)
	:: else -> skip
	fi;
	atomic { at = 0; last = 0; count = 0; open = true }
}

/* percpu__slabs_carve: the lowest comes off first. */
inline again()
{
	atomic {
		nr_again < AGAIN && in_slab && !given_back ->
		nr_again++;
		at = 1;
		do
		:: where[at] == IN_SLAB -> break
		:: else -> at++
		od;
		move(at, IN_SLAB, USED);
		in_slab--;
		if
		:: given[0] = at
		:: given[1] = at
		fi;
		at = 0
	}
}

proctype owner()
{
	byte at, last, count, seen, seen_nr, n;
#ifdef WITHOUT_WHOLE
	byte after;
#endif

	do
	:: remote -> take(); into_slab()
	:: nr -> collect()
	:: again()
	:: nr_freed == NR + nr_again -> break
	od;
	collect();
	do
	:: remote -> take(); into_slab()
	:: !remote && !in_hand -> break
	od;
	assert(in_slab == NR)
}

proctype shrinker()
{
	byte at, n, seen;
#ifdef WITHOUT_WHOLE
	byte after;
#endif

end:
	remote -> take();
	into_slab();
#ifdef WITHOUT_COUNT
	atomic { in_slab > 0 -> given_back = true }
#else
	atomic { in_slab == NR -> given_back = true }
#endif
}

init {
	atomic {
		run batching();
		run one_by_one();
		run owner();
		run shrinker()
	}
}
