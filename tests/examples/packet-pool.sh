#!/bin/sh
# SPDX-License-Identifier: MIT
# Packets pass through, and every buffer is returned, in both modes.
# shellcheck source=scripts/tap.sh
. "${top_srcdir:?}/scripts/tap.sh"

for options in "" mode:atomic check; do
	said=$(PERCPU_OPTIONS=$options "$top_builddir/examples/packet-pool" 0.5 3 2>&1)
	status=$?
	report "packet-pool, options '$options': it exits with 0" "$([ $status = 0 ] || echo "status $status: $said")"
	report "packet-pool, options '$options': packets pass" "$(echo "$said" | grep -q '^[1-9][0-9]* packets/s' || echo "$said")"
	report "packet-pool, options '$options': every buffer is returned" "$(echo "$said" | grep -q '; 0 buffers in use' || echo "$said")"
done
said=$("$top_builddir/examples/packet-pool" 0.5 65 2>&1)
status=$?
report "packet-pool, too many senders" "$([ "$status $said" = "2 packet-pool: at most 64 senders" ] || echo "status $status: $said")"
finish
