#!/bin/sh
# SPDX-License-Identifier: MIT
# libpercpu.so exports the names of src/libpercpu.map, under the node of their release. The archive
# exports nothing, so that two copies of it in one process never mix.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

map=$top_srcdir/src/libpercpu.map
shared=$top_builddir/.libs/libpercpu.so
archive=$top_builddir/.libs/libpercpu.a
for tool in nm readelf; do
	if ! command -v $tool >/dev/null; then
		skip "exported symbols" "$tool is not installed"
		finish
		exit
	fi
done

# "symbol@@node" for each global name of the map
sed 's,/\*.*\*/,,; s,#.*,,' "$map" | sed "s/[{};]/\n/g" | awk '
	{ gsub(/[ \t]/, "") }
	$0 == "" { next }
	/^[A-Z][A-Z0-9_.]*$/ { node = $0; local = 0; next }
	/^global:/ { local = 0; sub(/^global:/, "") }
	/^local:/ { local = 1; next }
	$0 != "" && !local { print $0 "@@" node }
' | sort >"$tap_dir/map"
report "the map names percpu_ functions and data alone" "$(grep -v '^percpu_[a-z0-9]' "$tap_dir/map")"
report "the map has no wildcard" "$(grep '[*?]' "$tap_dir/map" | grep -v '^\*@@$')"
report "the map's nodes are releases" "$(sed 's/.*@@//' "$tap_dir/map" | sort -u | grep -Ev '^(LIB)?PERCPU_[0-9]+(\.[0-9]+)+$')"
printf '#include <percpu/ops.h>\n#define NAME(shape, op, bits) percpu_op_##op##_u##bits\n@ PERCPU__OPERATIONS(NAME)\n' |
	${CC:-cc} -E -P -I"$top_srcdir/include" -x c - | sed -n '/^@/,$p' | grep -o 'percpu_op_[a-z0-9_]*' | sort >"$tap_dir/list"
sed -n 's/@@.*//; /^percpu_op_.*_u[0-9]*$/p' "$tap_dir/map" | sort >"$tap_dir/words"
report "the list of operations has found names" "$([ -s "$tap_dir/list" ] || echo "none in include/percpu/ops.h")"
report "the map has the operations of the list in include/percpu/ops.h" "$(diff "$tap_dir/list" "$tap_dir/words" |
	sed -n 's/^</in the list, not in the map:/p; s/^>/in the map, not in the list:/p')"
report "the map is not empty" "$([ -s "$tap_dir/map" ] || echo "nothing found in $map")"

if [ -e "$shared" ]; then
	nm -D --defined-only --with-symbol-versions "$shared" | awk '$2 != "A" { print $NF }' |
		grep -v '^__odr_asan' | sort >"$tap_dir/shared"
	report "libpercpu.so exports what the map says" "$(diff "$tap_dir/map" "$tap_dir/shared" |
		sed -n 's/^</in the map, not exported:/p; s/^>/exported, not in the map:/p')"
	report "libpercpu.so is never unloaded" \
		"$(readelf -dW "$shared" | grep -q NODELETE || echo "no -z nodelete")"
	report "libpercpu.so has no thread-local storage" "$(readelf -lW "$shared" | grep '^ *TLS ')"
	report "libpercpu.so has no text relocation" "$(readelf -dW "$shared" | grep TEXTREL)"
else
	skip "libpercpu.so exports what the map says" "built without a shared library"
fi

if [ -e "$archive" ]; then
	# num: value size type bind visibility section name
	readelf -sW "$archive" | awk '$5 ~ /GLOBAL|WEAK/ && $7 != "UND" { print $6, $8 }' |
		grep -v ' __odr_asan' | sort -u >"$tap_dir/archive"
	report "libpercpu.a exports nothing" "$(grep '^DEFAULT' "$tap_dir/archive" | sed 's/^DEFAULT/visible to other modules:/')"
	report "libpercpu.a defines percpu_ names alone" "$(grep -v ' percpu_' "$tap_dir/archive")"
	report "libpercpu.a has all that libpercpu.so exports" "$(sed 's/@@.*//' "$tap_dir/map" | while read -r name; do
		grep -q " $name\$" "$tap_dir/archive" || echo "not in the archive: $name"
	done)"
else
	skip "libpercpu.a exports nothing" "built without an archive"
fi
finish
