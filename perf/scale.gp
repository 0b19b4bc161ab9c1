# SPDX-License-Identifier: MIT
# gnuplot: what perf/scale found, from lines "CPUs<TAB>milliseconds" in blocks, each headed by its name; perf/plot runs it.
set logscale xy
set xlabel "possible CPUs"
set ylabel "milliseconds"
set xtics (2, 8, 64, 512)
set xrange [1.6:640]
set format y "10^{%T}"
set grid
set key outside right top Left reverse
set datafile separator "\t"
set title "libpercpu: costs and the number of possible CPUs"
# What is proportional to the number of copies, for the eye.
plot for [block=0:nr_blocks - 1] data index block using 1:2 with linespoints pointtype 7 title columnheader(1), \
	0.0002 * (x + 1) with lines dashtype 2 linecolor "gray" title "proportional to copies"
