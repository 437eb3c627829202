# Adds the hour of the day.
BEGIN { FS = OFS = "," }
{ print $0, substr($4, 12, 2) }
