# Trips and takings of each company.
BEGIN { FS = "," }
{ n[$17]++; total[$17] += $14 }
END { for (c in n) printf "company %s %d %.2f\n", c, n[c], total[c] | "sort" }
