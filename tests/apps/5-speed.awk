# Adds the mean speed in miles an hour, and drops what no taxi can do.
BEGIN { FS = OFS = "," }
{
    speed = $6 * 3600 / $5
    if (speed <= 80)
        print $0, sprintf("%.1f", speed)
}
