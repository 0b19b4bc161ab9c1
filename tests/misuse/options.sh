#!/bin/sh
# SPDX-License-Identifier: MIT
# PERCPU_OPTIONS has its effect, but none in a program that has more rights than its caller.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

program=$top_builddir/tests/misuse/misuse
report "options" "$([ "$(PERCPU_OPTIONS=cpus:4097 "$program" options)" = "4097 0" ] || echo "PERCPU_OPTIONS has no effect")"
chmod go+rx "$tap_dir"
cp "$program" "$tap_dir/secure"
if [ "$(id -u)" = 0 ] && chown 65534 "$tap_dir/secure" && chmod 4755 "$tap_dir/secure" &&
	said=$("$tap_dir/secure" options 2>/dev/null) && [ "${said#* }" = 1 ]; then
	report "secure" "$([ "$(PERCPU_OPTIONS=cpus:4097 "$tap_dir/secure" options)" = "$said" ] || echo "PERCPU_OPTIONS has an effect")"
else
	skip "secure" "no program gets the rights of another user here"
fi
finish
