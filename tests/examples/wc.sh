#!/bin/sh
# SPDX-License-Identifier: MIT
# percpu-wc prints the output of wc, byte for byte, for every division of the work.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

wc=$top_builddir/examples/percpu-wc
if ! wc --version 2>/dev/null | grep -q 'GNU coreutils'; then
	skip "percpu-wc against wc" "no GNU wc here"
	finish
	exit
fi

# same NAME OPTIONS INPUT FILE...: both programs have the same output, status and messages.
# shellcheck disable=SC2086
same()
{
	name=$1
	options=$2
	input=$3
	shift 3
	wc "$@" <"$input" >"$tap_dir/want" 2>"$tap_dir/want.err"
	echo "status $?" >>"$tap_dir/want"
	"$wc" $options "$@" <"$input" >"$tap_dir/have" 2>"$tap_dir/have.err"
	echo "status $?" >>"$tap_dir/have"
	sed 's/^wc: /percpu-wc: /' "$tap_dir/want.err" >>"$tap_dir/want"
	cat "$tap_dir/have.err" >>"$tap_dir/have"
	report "$name" "$(diff "$tap_dir/want" "$tap_dir/have" | head -n 20)"
}

# by_cpu NAME OPTIONS FILE...: the columns of the table add up to the last line before it.
# shellcheck disable=SC2086
by_cpu()
{
	name=$1
	options=$2
	shift 2
	"$wc" $options --by cpu "$@" >"$tap_dir/table"
	report "$name" "$(awk '
		$1 == "cpu" { table = 1; next }
		table { for (i = 0; i < 3; i++) sum[i] += $(i + 2); rows++; next }
		NF { for (i = 0; i < 3; i++) total[i] = $(i + 1) }
		END {
			if (!table) print "no table"
			if (!rows) print "no row"
			for (i = 0; i < 3; i++)
				if (sum[i] != total[i]) print "column", i + 1, "adds up to", sum[i], "not", total[i]
		}
	' "$tap_dir/table")"
}

# random SEED BYTES KIND: kind "any" has all bytes alike, "edges" mostly those that begin or end
# words.
random()
{
	awk -v seed="$1" -v n="$2" -v kind="$3" 'BEGIN {
		srand(seed)
		for (i = 0; i < n; i++) {
			if (kind == "any") c = int(rand() * 256)
			else if (rand() < 0.4) c = rand() < 0.5 ? 128 + int(rand() * 128) : int(rand() * 9)
			else if (rand() < 0.6) c = 97 + int(rand() * 26)
			else c = rand() < 0.8 ? 9 + int(rand() * 5) : 32
			printf "%c", c
		}
	}'
}

cd "$tap_dir" || exit 1

# Bytes that are unprintable in the C locale neither start nor end a word, as in wc up to release
# 9.4. Later releases cannot be compared on such bytes.
[ "$(printf 'a\001b \002 \300 a\0b' | wc -w)" = 2 ] && wc_agrees=yes || wc_agrees=

# judged FILE...: prints the files that this wc can be compared on.
judged()
{
	if [ "$wc_agrees" ]; then
		printf '%s\n' "$@"
	else
		grep -aL '[^[:print:][:space:]]' "$@"
	fi
}

# Real texts.
licences=/usr/share/common-licenses
if [ -d $licences ]; then
	for j in 1 2 3 7 64; do
		same "licences, $j threads" "-j $j" /dev/null $licences/*
		same "licences, $j threads, cut anywhere" "-j $j --block 37" /dev/null $licences/*
	done
	by_cpu "licences by CPU" "-j 4" $licences/*
else
	skip "licences" "no $licences"
fi
for folder in /usr/share/doc /usr/share/perl /usr/share/dict /usr/include /usr/share/autoconf /usr/lib/gcc; do
	if [ ! -d $folder ]; then
		skip "texts of $folder" "not here"
		continue
	fi
	find $folder/ -type f -size -4096k | grep -v "[ ':]" | sort | head -n 1500 >all
	# shellcheck disable=SC2046
	[ ! -s all ] || judged $(cat all) >list
	if [ ! -s all ] || [ ! -s list ]; then
		skip "texts of $folder" "empty"
		continue
	fi
	# shellcheck disable=SC2046
	same "texts of $folder" "-j 3 --block 999" /dev/null $(cat list)
	# shellcheck disable=SC2046
	by_cpu "texts of $folder by CPU" "-j 2" $(cat list)
	xargs cat <list >whole
	same "one file of all texts of $folder" "-j 5" /dev/null whole
done

# Shapes of input.
: >empty
printf 'no newline' >unended
printf '\n' >newline
printf 'x' >one
yes 'some words of a line' | head -n 20000 >lines
head -c 300000 /dev/zero | tr '\000' 'w' >word
head -c 100000 /dev/zero >zeros
{ printf 'in a wo'; cat zeros; printf 'rd'; } >through
{ printf ' '; cat zeros; printf 'w'; cat zeros; printf ' '; cat zeros; } >around
mkdir folder
for j in 1 2 5 100; do
	for block in 1 2 100 65536; do
		[ $block = 1 ] && files="empty unended newline one" || files="empty unended newline one lines word zeros through around"
		# shellcheck disable=SC2046,SC2086
		same "shapes, $j threads, blocks of $block" "-j $j --block $block" /dev/null $(judged $files)
	done
	same "a file alone, $j threads" "-j $j" /dev/null lines
	same "an empty file alone, $j threads" "-j $j" /dev/null empty
done
same "standard input" "" lines
same "standard input by name" "-j 3" lines -
same "standard input twice" "-j 3" lines - unended -
report "standard input from its offset" "$(
	want=$({ head -c 12345 >/dev/null; wc -; } <lines)
	have=$({ dd bs=12345 count=1 of=head 2>/dev/null; "$wc" --block 100 -j 5 -; } <lines)
	[ "$want" = "$have" ] || printf '%s\n%s\n' "$want" "$have")"
# shellcheck disable=SC2002
report "a pipe" "$(want=$(cat lines | wc - one); have=$(cat lines | "$wc" -j 4 - one)
	[ "$want" = "$have" ] || printf '%s\n%s\n' "$want" "$have")"
mkfifo fifo
report "a fifo" "$(cat lines >fifo & want=$(wc fifo); wait; cat lines >fifo & have=$("$wc" fifo)
	[ "$want" = "$have" ] || printf '%s\n%s\n' "$want" "$have")"
same "what has no size" "-j 4" /dev/null /proc/version /proc/filesystems /dev/null
same "missing files" "" /dev/null missing one nowhere/at/all
same "nothing but a missing file" "" /dev/null missing
same "a folder" "" /dev/null folder one
cp one 'a b'
printf 'two words' >"$(printf 'a\nb')"
printf 'three' >"$(printf 'it'\''s\n\001\ta\n')"
same "names with spaces and newlines" "" /dev/null 'a b' a?b it*
if truncate -s 4200M huge 2>/dev/null; then
	printf ' end\n' >>huge
	report "a file beyond 4 GiB" "$(have=$("$wc" huge); [ "$have" = "         1          1 4404019205 huge" ] || echo "$have")"
	rm huge
fi
# At each moment the number of bytes determines the number of words: one, or one more for two more
# bytes.
report "a file that grows during the count" "$(
	for start in word lines; do
		cp $start growing
		[ $start = word ] && piece=ww || piece='w '
		while :; do printf '%s' "$piece"; done >>growing &
		for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
			# shellcheck disable=SC2046
			set -- $("$wc" -j 3 growing)
			[ $start = word ] && want=1 || want=$(($(wc -w <lines) + ($3 - $(wc -c <lines)) / 2))
			[ "$2" = "$want" ] || echo "run $i on $start: $2 words of $want, in $3 bytes"
		done
		kill $!
		wait
	done 2>/dev/null)"
report "a full disk is an error" "$("$wc" one >/dev/full 2>said && echo "status 0"; grep -q 'No space' said || cat said)"
for wrong in "-j 0" "-j x" "-j -1" "--block 0" "--by moon" "--nothing" "-j 99999999999999999999"; do
	# shellcheck disable=SC2086
	report "$wrong is refused" "$("$wc" $wrong one >said 2>&1 && echo "status 0"; grep -q Usage said || cat said)"
done
report "--help" "$("$wc" --help | grep -q '^Usage: percpu-wc' || echo "no usage")"

if [ "$wc_agrees" ]; then
	for seed in 1 2 3 4 5 6; do
		for kind in any edges; do
			random $seed $((seed * 3001)) $kind >random.$seed.$kind
		done
	done
	for j in 1 2 3 4 5 8 13 32 101; do
		for block in 1 3 64 1000 16384; do
			same "random bytes, $j threads, blocks of $block" "-j $j --block $block" /dev/null random.*
		done
	done
	head -c 8000000 /dev/urandom >random
	same "much of it" "-j 7" /dev/null random
	by_cpu "much of it, by CPU" "-j 7" random
else
	skip "random bytes" "this wc has other rules for unprintable bytes"
fi
for options in mode:atomic cpus:1; do
	PERCPU_OPTIONS=$options
	export PERCPU_OPTIONS
	# shellcheck disable=SC2046
	same "$options" "-j 4 --block 100" /dev/null $(judged lines through around)
	by_cpu "$options, by CPU" "-j 4" lines
done
finish
