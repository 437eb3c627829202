#!/bin/sh
# Keeps the fixes in the middle of Beijing: latitude 39.7 to 40.2, longitude 116.1 to 116.7.
exec awk -F, '$4 >= 39.7 && $4 <= 40.2 && $5 >= 116.1 && $5 <= 116.7'
