# Keeps trips within bounds: 10 s to 4 h, up to 100 miles, within the region, fares of 2.5 to 500 dollars.
BEGIN { FS = "," }
$5 >= 10 && $5 <= 14400 && $6 <= 100 && $7 > -75 && $7 < -72 && $8 > 40 && $8 < 42 && $12 >= 2.5 && $12 <= 500
