#!/bin/sh
# SPDX-License-Identifier: MIT
# Whatever is wrongly given to free: one line that names the pointer and the rule, then abort.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

# dies PROGRAM WHO RULE [OTHER-RULE]: the line is exact; a rule more where it depends on the cache.
dies()
{
	program=$top_builddir/tests/misuse/$1
	{
		(exec env PERCPU_OPTIONS="$options" "$program" >"$tap_dir/pointer" 2>"$tap_dir/said")
		status=$?
	} 2>/dev/null # where the shell tells of the signal
	pointer=$(cat "$tap_dir/pointer")
	if [ "$(wc -l <"$tap_dir/said")" -ne 1 ]; then
		report "$1${options:+, $options}" "not one line, but:
$(cat "$tap_dir/said")"
	elif [ $status -ne 134 ]; then
		report "$1${options:+, $options}" "status $status, not that of SIGABRT"
	else
		said=$(cat "$tap_dir/said")
		case $said in
		"libpercpu: $2 $pointer: $3" | "libpercpu: $2 $pointer: ${4-$3}") report "$1${options:+, $options}" ;;
		*) report "$1${options:+, $options}" "expected: libpercpu: $2 $pointer: $3
said: $said" ;;
		esac
	fi
}

freed="freed before, or inside an allocation"
none="not a per-CPU pointer"
copy="the address of a copy, not the per-CPU pointer"

for options in "" mode:atomic check leaks cpus:1 cpus:64; do
	try "null${options:+, $options}" env PERCPU_OPTIONS=$options "$top_builddir/tests/misuse/null"
	dies double_free_cached percpu_free "$freed" "freed before"
	dies double_free_large percpu_free "$freed"
	dies double_free_pooled percpu_free "$freed"
	dies double_free_bulk percpu_free_bulk "$freed"
	dies double_free_in_bulk percpu_free_bulk "$freed"
	dies bulk_of_cached percpu_free_bulk "$freed" "freed before"
	dies double_free_trimmed percpu_free "$none"
	dies interior percpu_free "$freed"
	dies interior_odd percpu_free "inside an allocation, not its start"
	dies beyond percpu_free "$freed"
	dies malloced percpu_free "$none"
	dies on_stack percpu_free "$none"
	dies static_object percpu_free "$none"
	dies code percpu_free "$none"
	dies tiny percpu_free "$none"
	dies minus_one percpu_free "$none"
	dies non_canonical percpu_free "$none"
	dies copy percpu_free "$copy"
	dies fallback_copy percpu_free "$copy"
	dies destroyed_pool percpu_free "$none"
	dies size_of_garbage percpu_usable_size "$none"
	dies size_of_freed percpu_usable_size "$freed"
	dies size_of_copy percpu_usable_size "$copy"
	dies before_any_allocation percpu_free "$none"
	case ${CFLAGS-} in
	*sanitize*) skip "null_operation${options:+, $options}" "a sanitizer looks at the copy first, and reports it" ;;
	*) dies null_operation "operation on" "$none" ;;
	esac
	[ "$options" != mode:atomic ] || # elsewhere a section meets it first, and faults
		dies null_counter "operation on" "$none"
	[ "$options" = check ] || # which finds what it wrote
		try "overflow${options:+, $options}" env PERCPU_OPTIONS=$options "$top_builddir/tests/misuse/overflow"
done

# Whoever starts a program that has more rights has no say in it.
options=$top_builddir/tests/misuse/options
report "options" "$([ "$(PERCPU_OPTIONS=cpus:4097 "$options")" = "4097 0" ] || echo "PERCPU_OPTIONS has no effect")"
chmod go+rx "$tap_dir"
cp "$options" "$tap_dir/secure"
if [ "$(id -u)" = 0 ] && chown 65534 "$tap_dir/secure" && chmod 4755 "$tap_dir/secure" &&
	said=$("$tap_dir/secure" 2>/dev/null) && [ "${said#* }" = 1 ]; then
	report "secure" "$([ "$(PERCPU_OPTIONS=cpus:4097 "$tap_dir/secure")" = "$said" ] || echo "PERCPU_OPTIONS has an effect")"
else
	skip "secure" "no program here gets another user's rights"
fi
finish
