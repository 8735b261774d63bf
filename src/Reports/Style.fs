namespace OptimalStopping.Reports

open OxyPlot

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

    /// The policy that the project proposes.
    let ours = "jump-recall"

    /// The upper limit that no policy can reach, since it looks at the qualities before it chooses.
    let oracle = "oracle"

    /// A policy that always runs one model: `fixed-k`.
    let isFixed (policy: string) : bool = policy.StartsWith("fixed-", System.StringComparison.Ordinal)

    /// The stage that a `fixed-k` policy runs, or 0 where the name does not say.
    let fixedStage (policy: string) : int =
        match System.Int32.TryParse(policy.Substring(policy.IndexOf '-' + 1)) with
        | true, stage -> stage
        | _ -> 0

    /// Order in which policies are listed: ours, its variants, baselines, references, then unknown names.
    let policyOrder: string[] = [| ours; "jump"; "chain"; "pair-envelope"; "threshold-per-stage"; "threshold"; "random"; oracle |]

    /// Rank of a policy in listings; fixed models come before the oracle, names not known here come last.
    let policyRank (policy: string) : int =
        match Array.tryFindIndex ((=) policy) policyOrder with
        | Some index -> if policy = oracle then 20 else index
        | None -> if isFixed policy then 10 + min 9 (fixedStage policy) else 30

    let policy (name: string) : CurveStyle =
        match name with
        | "jump-recall" -> style "jump with recall (ours)" blue LineStyle.Solid MarkerType.Circle 1.8
        | "recall" -> style "jump with recall (ours)" blue LineStyle.Solid MarkerType.Circle 1.8
        | "recall-ceiling" -> style "ours, fitted on the test part (not attainable)" grey LineStyle.Dot MarkerType.None 0.9
        | "cascade-router" -> style "cascade router" orange LineStyle.Dash MarkerType.Square 0.9
        | "mixture" -> style "mixture of single models" grey LineStyle.Dash MarkerType.Square 0.9
        | "jump" -> style "jump, no recall" sky LineStyle.Dash MarkerType.Triangle 0.9
        | "chain" -> style "full chain" green LineStyle.DashDot MarkerType.Square 0.9
        | "pair-envelope" -> style "best pairs of models" vermillion LineStyle.LongDash MarkerType.Diamond 0.9
        | "threshold-per-stage"
        | "chain-thresholds" -> shaped "threshold per stage" purple LineStyle.DashDashDot downTriangle 0.9
        | "threshold" -> shaped "one threshold" orange LineStyle.LongDashDot pentagon 0.9
        | "random" -> shaped "random mixture" grey LineStyle.Dot hexagon 0.9
        | "oracle" -> style "oracle (not attainable)" black LineStyle.Dot MarkerType.None 0.9
        | "policy-file" -> style "the given policy file" black LineStyle.None MarkerType.Circle 0.9
        | name when isFixed name -> style "one model alone" black LineStyle.None MarkerType.Square 0.9
        | name -> style name grey LineStyle.Dash MarkerType.Diamond 0.9

    let private learnerStyles =
        [| style "" blue LineStyle.Solid MarkerType.Circle
           style "" vermillion LineStyle.Solid MarkerType.Triangle
           style "" green LineStyle.Solid MarkerType.Square
           style "" orange LineStyle.Solid MarkerType.Diamond
           shaped "" purple LineStyle.Solid downTriangle
           shaped "" sky LineStyle.Solid pentagon
           shaped "" grey LineStyle.Solid hexagon |]

    /// Whether a learner is the one that the project proposes (NEST and its variants).
    let isOurLearner (learner: string) : bool = learner.StartsWith("nest", System.StringComparison.OrdinalIgnoreCase)

    /// The style of the learner at a place of the legend. Dashes are kept for the bounds, so that learners differ by
    /// colour and marker only; ours is thicker.
    let learner (index: int, learner: string, feedback: string) : CurveStyle =
        let ours = isOurLearner learner
        let name = if feedback = "" then learner else $"{learner}, {feedback}"
        { learnerStyles[index % learnerStyles.Length](if ours then 1.8 else 1.1) with
            Label = if ours then name + " (ours)" else name }
