#!/bin/sh
# The cleaning in plain sh on one machine. usage: clean.sh [STAGES] <trips
here=$(dirname "$0")
cd "$here" || exit 1
if [ "${1:-9}" = 8 ]; then last='cat'; else last='awk -f 9-senml.awk'; fi
awk -f 1-parse.awk | awk -f 2-range.awk | awk -f 3-once.awk | awk -f 4-fill.awk | awk -f 5-speed.awk |
    awk -f 6-hour.awk | awk -v taxis=taxis.txt -f 7-annotate.awk | awk -f 8-columns.awk | $last
