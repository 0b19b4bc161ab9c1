#!/bin/sh
# SPDX-License-Identifier: MIT
# Each public header compiles alone and when included twice, in C11 and in C++17, by every compiler at hand.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

cd "$top_srcdir/include" || exit 1
headers=$(find percpu -name '*.h' ! -path '*/arch/*' | sort)
warnings="-Wall -Wextra -Wsign-conversion -Werror"

# compile HEADER COMPILER FLAGS...
compile()
{
	header=$1
	compiler=$2
	shift 2
	printf '#include <%s>\n#include <%s>\nint standing_alone;\n' "$header" "$header" >"$tap_dir/one.cc"
	# shellcheck disable=SC2086
	try "$header: $compiler $*" "$compiler" -I. "$@" $warnings -fsyntax-only "$tap_dir/one.cc"
}

for compiler in gcc clang g++ clang++ aarch64-linux-gnu-gcc; do
	case $compiler in
	*++) flags="-x c++ -std=c++17" ;;
	*) flags="-x c -std=gnu11" ;;
	esac
	if ! command -v $compiler >/dev/null; then
		skip "headers with $compiler" "not installed"
		continue
	fi
	for header in $headers; do
		# shellcheck disable=SC2086
		compile "$header" $compiler $flags
	done
done
# Code that the preprocessor hides from the compilers above.
for variant in "gcc -x c -std=c11" "gcc -x c -std=gnu11 -DPERCPU_GENERIC" "gcc -x c -std=gnu11 -fPIC" \
	"gcc -x c -std=gnu11 -fsanitize=address" "g++ -x c++ -std=c++17 -fsanitize=address" \
	"gcc -x c -std=gnu11 -fsanitize=thread" "clang++ -x c++ -std=c++17 -fsanitize=thread" \
	"clang -x c -std=gnu11 -DPERCPU_UNMARKED" "clang -x c -std=gnu11 -fsanitize=address" \
	"clang++ -x c++ -std=c++20 -fsanitize=address"; do
	command -v "${variant%% *}" >/dev/null || continue
	for header in $headers; do
		# shellcheck disable=SC2086
		compile "$header" $variant
	done
done

# gcc 12 puts other addresses together anew, from registers that the section changes.
report "the only memory that a section of x86-64 names is percpu_abi" \
	"$(grep -n '"m"(' percpu/arch/x86_64.h | grep -v '"m"(percpu_abi\.')"

report "every public header is installed" "$(find percpu -name '*.h*' | while read -r header; do
	grep -q "include/$header\\>" Makefile.inc || echo "include/Makefile.inc does not name include/$header"
done)"
report "every header of Makefile.inc exists" "$(grep -o 'include/percpu/[a-z0-9_./]*\.h[p]*' Makefile.inc |
	while read -r header; do
		[ -e "../$header" ] || echo "$header does not exist"
	done)"
finish
