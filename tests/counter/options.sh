#!/bin/sh
# SPDX-License-Identifier: MIT
# Sums again, in atomic mode and with other numbers of copies.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

for options in mode:atomic cpus:1 cpus:3 cpus:17 cpus:64; do
	try "sums, $options" env PERCPU_OPTIONS=$options "$top_builddir/tests/counter/test_sum"
done
finish
