# The first line is the model; for each trip behind it: taxi, fare, what the model says; then its mean error.
BEGIN { FS = "," }
NR == 1 { split($0, model, " "); next }
{
    says = model[2] + model[3] * $5 + model[4] * $4 / 60
    printf "%s,%.2f,%.2f\n", $2, $11, says
    error += (says > $11 ? says - $11 : $11 - says)
    n++
}
END { printf "# mean error %.2f of %d\n", error / n, n }
