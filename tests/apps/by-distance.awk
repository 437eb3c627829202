# Tips in percent of the fare, by whole miles.
BEGIN { FS = "," }
$11 > 0 { m = int($5); n[m]++; tip[m] += 100 * $12 / $11 }
END { for (m in n) printf "miles %03d %d %.2f\n", m, n[m], tip[m] / n[m] | "sort" }
