# SenML, a record a line, to comma-separated fields:
# time,taxi,licence,pickup,seconds,miles,lon1,lat1,lon2,lat2,payment,fare,surcharge,tax,tip,tolls,total
{
    out = substr($0, 1, index($0, ",") - 1)
    rest = $0
    while (match(rest, /"s?v":"[^"]*"/)) {
        value = substr(rest, RSTART, RLENGTH)
        sub(/^"s?v":"/, "", value)
        sub(/"$/, "", value)
        out = out "," value
        rest = substr(rest, RSTART + RLENGTH)
    }
    print out
}
