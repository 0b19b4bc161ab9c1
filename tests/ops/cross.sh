#!/bin/sh
# SPDX-License-Identifier: MIT
# The library and portable.c for aarch64, run by qemu's user emulation, which has no rseq: atomic mode.
set -eu

# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"
once

cc=${CROSS_CC:-aarch64-linux-gnu-gcc}
emulator=${CROSS_EMULATOR:-}
[ "$emulator" ] || emulator=$(command -v qemu-aarch64-static || command -v qemu-aarch64 || :)
if ! command -v "$cc" >/dev/null || [ ! "$emulator" ]; then
	skip_all "no $cc, or no emulator for aarch64"
fi
dir=$tap_dir
for layer in platform topology area ops percpu counter; do
	set -- "$@" "$top_srcdir/src/$layer"/*.c
done
"$cc" -static -std=gnu11 -D_GNU_SOURCE -O2 -g -DFEW_TYPES -fwrapv -Wall -pthread -iquote "$top_srcdir/src" \
	-I"$top_srcdir/include" -I"$top_srcdir/tests" "$@" "$top_srcdir/tests/ops/portable.c" -o "$dir/portable" >&2
"$emulator" "$dir/portable"
