# Drops what was recorded twice: the same taxi at the same time.
BEGIN { FS = "," }
!seen[$2, $4]++
