# SPDX-License-Identifier: MIT
# gnuplot: what perf/swing found, from lines "bytes<TAB>ns" in blocks of one size and one side each; perf/plot runs it.
set logscale xy
set xlabel "KiB that swing"
set ylabel "ns a pair"
set xrange [48:90000]
set yrange [4:2000]
set xtics (64, 256, "1 Mi" 1024, "4 Mi" 4096, "16 Mi" 16384, "64 Mi" 65536)
set grid
set key top left reverse Left
set datafile separator "\t"
set multiplot layout 2,2 title "allocate n objects, free them, again and again"
do for [size=0:3] {
	set title word("64 1024 4096 16384", size + 1)." bytes each"
	plot for [side=0:nr_sides - 1] data index size * nr_sides + side using 1:2 with linespoints pointtype 7 pointsize 0.4 \
		linewidth (side ? 1 : 2.5) linecolor side + 1 title columnheader(1)
}
unset multiplot
