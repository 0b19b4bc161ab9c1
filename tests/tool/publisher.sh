# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# Publishers for shell tests, beside scripts/tap.sh: each lives until its test ends.

# shellcheck disable=SC2034
percpu=$top_builddir/percpu
publishers=
publishing_program=publisher
nr_publishers=0

# publisher NAME THREADS ROUNDS [METRICS]: starts it, or what publishing_program names, waits until all is counted, sets pid.
publisher()
{
	nr_publishers=$((nr_publishers + 1))
	mkfifo "$tap_dir/in.$nr_publishers" "$tap_dir/out.$nr_publishers"
	# The program itself, not libtool's wrapper, so that its number is known.
	"$top_builddir/libtool" --mode=execute "$top_builddir/tests/tool/$publishing_program" "$@" <"$tap_dir/in.$nr_publishers" \
		>"$tap_dir/out.$nr_publishers" &
	pid=$!
	publishers="$publishers $pid"
	exec 9>"$tap_dir/in.$nr_publishers"
	read -r _ <"$tap_dir/out.$nr_publishers"
}

end_publishers()
{
	for each in $publishers; do
		kill "$each" 2>/dev/null && wait "$each" 2>/dev/null
	done
	publishers=
}
trap 'end_publishers; rm -rf "$tap_dir"' EXIT

# same NAME EXPECTED: what command said, in $tap_dir/said, is that.
same()
{
	printf '%s\n' "$2" >"$tap_dir/want"
	report "$1" "$(diff "$tap_dir/want" "$tap_dir/said")"
}
