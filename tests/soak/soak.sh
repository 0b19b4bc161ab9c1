#!/bin/sh
# SPDX-License-Identifier: MIT
# Twenty minutes of the soak test.
: "${top_builddir:?run by make check-long}"
SOAK_SECONDS=${SOAK_SECONDS:-1200} exec "$top_builddir/tests/soak/soak"
