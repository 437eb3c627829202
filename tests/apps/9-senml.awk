# Back to SenML.
BEGIN {
    FS = ","
    n = split("taxi pickup seconds miles lon1 lat1 lon2 lat2 payment fare tip tolls total speed hour company driver city", name, " ")
}
{
    printf "%s,{\"e\":[", $1
    for (i = 1; i <= n; i++)
        printf "%s{\"n\":\"%s\",\"sv\":\"%s\"}", (i > 1 ? "," : ""), name[i], $(i + 1)
    printf "],\"bt\":%s}\n", $1
}
