namespace OptimalStopping.Reports

open System
open System.Globalization

/// How numbers of the statistical tables are written, in LaTeX and in HTML alike.
module Numbers =

    let private format (pattern: string) (x: float) = x.ToString(pattern, CultureInfo.InvariantCulture)

    /// With a fixed number of decimals; a dash where the value is not available.
    let decimals (digits: int, x: float) : string =
        if Double.IsNaN x then
            "–"
        else
            let text = format ("F" + string digits) x
            // -0.000 reads as a sign that the data do not have.
            if text.Trim('-', '0', '.') = "" then text.TrimStart '-' else text

    /// A count with commas between its thousands.
    let grouped (x: float) : string = format "#,0" x

    /// A fixed number of decimals with an explicit plus sign, for differences and effect sizes.
    let signed (digits: int, x: float) : string =
        let text = decimals (digits, x)
        if x > 0.0 && text.Trim('0', '.') <> "" then "+" + text else text

    /// A probability with three significant digits, "<1e-4" below one in ten thousand (in that very spelling), or a dash.
    let pValue (p: float) : string =
        if Double.IsNaN p then
            "–"
        elif p < 1e-4 then
            "<1e-4"
        else
            // Digits after the point that leave three significant ones.
            let exponent = int (floor (log10 p))
            let rounded = Math.Round(p, min 15 (2 - exponent))
            format ("F" + string (2 - int (floor (log10 rounded)))) rounded

    /// A parameter with up to four significant digits, never in exponent notation; nothing where it is not available.
    let parameter (x: float) : string =
        if Double.IsNaN x then
            ""
        elif x = 0.0 then
            "0"
        else
            let digits = 3 - int (floor (log10 (abs x)))
            format "0.###############" (Math.Round(x, Math.Clamp(digits, 0, 15)))
