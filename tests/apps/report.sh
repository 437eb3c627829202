#!/bin/sh
# One report of the analyses named. usage: report.sh FILE...
set -e
wc -l "$@" | awk '{ print "# " $1 " lines" }'
sort -- "$@"
