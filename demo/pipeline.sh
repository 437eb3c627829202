#!/bin/sh
# The demo's work in plain sh on one machine: what OneOS must give too, byte for byte.
# usage: demo/pipeline.sh [FILE]
here=$(dirname "$0")
"$here/stage1.sh" <"${1:-$here/taxi-traces.csv}" | "$here/stage2.sh" | "$here/stage3.sh"
