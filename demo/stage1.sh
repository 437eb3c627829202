#!/bin/sh
# Keeps the fixes of taxis that move: speed, the sixth field, above 0.
exec awk -F, '$6 > 0'
