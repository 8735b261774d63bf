namespace OptimalStopping.Reports

open System
open System.Globalization
open OxyPlot
open OptimalStopping.Runtime.Cascades

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

/// How one curve looks in every figure. Colour is never the only difference: dash and marker differ too, so that the
/// figures survive a black-and-white printer and a colour-blind reader.
type CurveStyle =
    {
        Label: string
        /// Colour as #RRGGBB, from the palette of Okabe and Ito (2008), which colour-blind readers can tell apart.
        Hex: string
        Dash: LineStyle
        Marker: MarkerType
        /// Corners of the marker around (0, 0) where Marker is Custom; empty otherwise.
        Outline: ScreenPoint[]
        /// Line width in points; what the figure is about is drawn thicker than what it is compared with.
        Width: float
    }

    member this.Color: OxyColor = OxyColor.Parse this.Hex

    /// The same with its interval's transparency.
    member this.BandColor: OxyColor = OxyColor.FromAColor(44uy, this.Color)

module Style =

    let black, grey = "#111111", "#8a8a8a"
    let blue, sky, green, orange = "#0072B2", "#56B4E9", "#009E73", "#E69F00"
    let vermillion, purple = "#D55E00", "#CC79A7"

    /// Regular polygon with the area of a circle marker; every marker has an inside, so that it can be filled or open.
    let private polygon (corners: int, turn: float) : ScreenPoint[] =
        [| for i in 0 .. corners - 1 do
               let angle = 2.0 * System.Math.PI * (float i + turn) / float corners
               ScreenPoint(1.2 * sin angle, -1.2 * cos angle) |]

    let private downTriangle = [| ScreenPoint(-1.2, -0.9); ScreenPoint(1.2, -0.9); ScreenPoint(0.0, 1.2) |]
    let private pentagon = polygon (5, 0.0)
    let private hexagon = polygon (6, 0.5)

    /// A style with one of OxyPlot's markers.
    let private style label hex dash marker width =
        { Label = label; Hex = hex; Dash = dash; Marker = marker; Outline = [||]; Width = width }

    /// A style with a marker of our own.
    let private shaped label hex dash outline width =
        { Label = label; Hex = hex; Dash = dash; Marker = MarkerType.Custom; Outline = outline; Width = width }

    /// A bare line, as legends need for what all curves share.
    let line (label: string, hex: string, dash: LineStyle, width: float) : CurveStyle = style label hex dash MarkerType.None width

    /// How the policies look that every figure shows; others take what is free, in the order of the registry.
    let private policyStyles =
        dict
            [ PolicyRegistry.Default, style "" blue LineStyle.Solid MarkerType.Circle 1.8
              "recall", style "" green LineStyle.LongDash MarkerType.Circle 0.9
              "jump", style "" sky LineStyle.Dash MarkerType.Triangle 0.9
              "chain", style "" green LineStyle.DashDot MarkerType.Square 0.9
              "pair-envelope", style "" vermillion LineStyle.LongDash MarkerType.Diamond 0.9
              "cascade-router", style "" orange LineStyle.Dash MarkerType.Square 0.9
              "threshold-per-stage", shaped "" purple LineStyle.DashDashDot downTriangle 0.9
              "threshold", shaped "" orange LineStyle.LongDashDot pentagon 0.9
              "mixture", style "" grey LineStyle.Dash MarkerType.Square 0.9
              "random", shaped "" grey LineStyle.Dot hexagon 0.9
              PolicyRegistry.Oracle, style "" black LineStyle.Dot MarkerType.None 0.9
              PolicyRegistry.Ceiling, style "" grey LineStyle.Dot MarkerType.None 0.9
              PolicyRegistry.Given, style "" black LineStyle.None MarkerType.Circle 0.9 ]

    let private freeStyles =
        [| shaped "" vermillion LineStyle.DashDot pentagon 0.9
           style "" purple LineStyle.Dash MarkerType.Triangle 0.9
           shaped "" sky LineStyle.DashDashDot downTriangle 0.9
           style "" green LineStyle.Dot MarkerType.Diamond 0.9 |]

    /// The style of a policy, with its label.
    let policy (name: string) : CurveStyle =
        let drawn =
            match policyStyles.TryGetValue name with
            | true, known -> known
            | _ when PolicyRegistry.IsSingle name -> style "" black LineStyle.None MarkerType.Square 0.9
            | _ -> freeStyles[PolicyRegistry.Rank name % freeStyles.Length]
        { drawn with Label = PolicyRegistry.Label name }

    let private learnerStyles =
        [| style "" blue LineStyle.Solid MarkerType.Circle
           style "" vermillion LineStyle.Solid MarkerType.Triangle
           style "" green LineStyle.Solid MarkerType.Square
           style "" orange LineStyle.Solid MarkerType.Diamond
           shaped "" purple LineStyle.Solid downTriangle
           shaped "" sky LineStyle.Solid pentagon
           shaped "" grey LineStyle.Solid hexagon |]

    /// Whether a learner is NEST or a variant of it, which the paper is about.
    let isNest (learner: string) : bool = learner.StartsWith("nest", System.StringComparison.OrdinalIgnoreCase)

    /// The style of the learner at a place of the legend. Dashes are kept for the bounds, so that learners differ by
    /// colour and marker only; NEST is thicker.
    let learner (index: int, learner: string, feedback: string) : CurveStyle =
        { learnerStyles[index % learnerStyles.Length](if isNest learner then 1.8 else 1.1) with
            Label = if feedback = "" then learner else $"{learner}, {feedback}" }
