#!/bin/sh
# SPDX-License-Identifier: MIT
# No files of src/ call one another in a circle: not those of the library, nor those of the command. A file calls
# another if its object refers to a function that the other object defines.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

wants nm

# The object of a source: as libtool compiles it for the shared library, or for the archive if there is no other.
object_of()
{
	dir=$top_builddir/${1%/*} name=${1##*/}
	for object in "$dir/.libs/libpercpu_la-${name%.c}.o" "$dir/libpercpu_la-${name%.c}.o" "$dir/percpu-${name%.c}.o"; do
		[ -e "$object" ] && echo "$object" && return
	done
}

# "SOURCE d SYMBOL" for each function that the source defines, "SOURCE u SYMBOL" for each symbol that it lacks.
symbols()
{
	for source; do
		object=$(object_of "$source")
		[ -z "$object" ] || nm -P "$object" | awk -v source="$source" '
			$2 ~ /^[TWi]$/ { print source, "d", $1 }
			$2 == "U" { print source, "u", $1 }'
	done
}

# Prints every call between two files that reach one another, a line each.
circles()
{
	awk '
		$2 == "d" { definer[$3] = $1 }
		$2 == "u" { lacks[NR] = $1 " " $3 }
		END {
			for (i in lacks) {
				split(lacks[i], call, " ")
				if (!(call[2] in definer)) continue
				from = call[1]; to = definer[call[2]]
				file[from]; file[to]; reach[from, to]
				name[from " -> " to] = name[from " -> " to] " " call[2]
			}
			for (via in file)
				for (from in file) {
					if (!((from, via) in reach)) continue
					for (to in file)
						if ((via, to) in reach) reach[from, to]
				}
			for (edge in name) {
				split(edge, end, " -> ")
				if (end[1] != end[2] && (end[2], end[1]) in reach) print edge ":" name[edge]
			}
		}' | sort
}

cd "$top_srcdir" || exit 1
for part in library command; do
	if [ $part = library ]; then
		sources=$(find src -name '*.c' ! -path 'src/tool/*' | sort)
	else
		sources=$(find src/tool -name '*.c' | sort)
	fi
	# shellcheck disable=SC2086
	symbols $sources >"$tap_dir/$part"
	if [ ! -s "$tap_dir/$part" ]; then
		skip "no circle of calls between files of the $part" "it is not built"
		continue
	fi
	report "no circle of calls between files of the $part" "$(circles <"$tap_dir/$part")"
done
finish
