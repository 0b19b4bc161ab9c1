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
# Without points: what as much memory takes without the library.
plot for [block=0:nr_blocks - 1] data index block using 1:2 with linespoints pointtype 7 linecolor block + 1 \
		title columnheader(1), \
	others using 1:2:3 with lines dashtype 3 linecolor variable title "the same without the library", \
	0.0002 * (x + 1) with lines dashtype 2 linecolor "gray" title "proportional to copies"
