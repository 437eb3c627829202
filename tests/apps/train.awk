# Fits fare = a + b * miles + c * minutes by least squares; prints a, b, c.
BEGIN { FS = "," }
{
    x[1] = 1; x[2] = $5; x[3] = $4 / 60; y = $11
    for (i = 1; i <= 3; i++) {
        for (j = 1; j <= 3; j++)
            m[i, j] += x[i] * x[j]
        m[i, 4] += x[i] * y
    }
}
END {
    for (p = 1; p <= 3; p++)
        for (i = 1; i <= 3; i++)
            if (i != p) {
                f = m[i, p] / m[p, p]
                for (j = p; j <= 4; j++)
                    m[i, j] -= f * m[p, j]
            }
    printf "model %.6f %.6f %.6f\n", m[1, 4] / m[1, 1], m[2, 4] / m[2, 2], m[3, 4] / m[3, 3]
}
