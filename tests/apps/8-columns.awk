# Drops what nobody asks for: licence, surcharge, tax.
BEGIN { FS = OFS = "," }
{ print $1, $2, $4, $5, $6, $7, $8, $9, $10, $11, $12, $15, $16, $17, $18, $19, $20, $21, $22 }
