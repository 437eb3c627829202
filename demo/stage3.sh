#!/bin/sh
# Prints for each cell of 0.01 by 0.01 degree, in order: latitude,longitude,mean speed,number of fixes.
LC_ALL=C
export LC_ALL
awk -F, '
# The south or west edge of the cell, in hundredths. By way of whole 100,000ths, which are exact, since
# 39.93 * 100 may be a little less than 3993.
function edge(degrees,    fine, whole) {
    fine = sprintf("%.0f", degrees * 100000) + 0
    whole = int(fine / 1000)
    return whole * 1000 > fine ? whole - 1 : whole
}
{
    cell = sprintf("%.2f,%.2f", edge($4) / 100, edge($5) / 100)
    sum[cell] += $6
    count[cell]++
}
END {
    for (cell in sum)
        printf "%s,%.2f,%d\n", cell, sum[cell] / count[cell], count[cell]
}' | sort
