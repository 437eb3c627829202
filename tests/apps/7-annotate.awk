# Adds company, driver and city of the taxi. taxis: the file of them.
BEGIN {
    FS = OFS = ","
    while ((getline line <taxis) > 0)
        of[substr(line, 1, 32)] = substr(line, 34)
}
$2 in of { print $0, of[$2] }
