# Trips, mean speed and mean fare for each hour of the day.
BEGIN { FS = "," }
{ n[$16]++; speed[$16] += $15; fare[$16] += $11 }
END { for (h in n) printf "hour %s %d %.2f %.2f\n", h, n[h], speed[h] / n[h], fare[h] / n[h] | "sort" }
