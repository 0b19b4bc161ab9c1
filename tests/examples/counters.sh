#!/bin/sh
# SPDX-License-Identifier: MIT
# The README's program counts exactly, in both modes.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

for options in "" mode:atomic cpus:1; do
	said=$(PERCPU_OPTIONS=$options "$top_builddir/examples/counters" 2>&1)
	report "counters, options '$options'" "$([ "$said" = "4000000 hits" ] || echo "it says: $said")"
done
finish
