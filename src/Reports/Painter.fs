namespace OptimalStopping.Reports

open System
open System.Reflection
open OxyPlot
open OxyPlot.SkiaSharp
open global.SkiaSharp

/// The font that the toolkit ships (Liberation Sans, SIL Open Font License 1.1): a machine without any font, or with
/// other ones, draws the same figure as every other machine.
module internal Font =

    let private load name =
        lazy
            (use stream = Assembly.GetExecutingAssembly().GetManifestResourceStream name
             use data = SKData.Create stream
             SKTypeface.FromData data)

    let private regular = load "LiberationSans-Regular.ttf"
    let private bold = load "LiberationSans-Bold.ttf"

    /// A brush that writes in the font at a size in points; a weight of 600 or more is bold. Glyphs are neither hinted
    /// nor snapped to pixels, so that a text has the same width in every output format.
    let brush (size: float, weight: float, fill: OxyColor) : SKPaint =
        new SKPaint(
            Typeface = (if weight >= 600.0 then bold.Value else regular.Value),
            TextSize = float32 size,
            Color = SKColor(fill.R, fill.G, fill.B, fill.A),
            IsAntialias = true,
            SubpixelText = true,
            IsLinearText = true,
            HintingLevel = SKPaintHinting.NoHinting
        )

/// Draws OxyPlot models on a Skia canvas in points (1/72 inch). Shapes come from OxyPlot's own Skia renderer; text is
/// drawn here, in the shipped font, either as text (PDF embeds and subsets the font) or as outlines (SVG, where a
/// viewer would otherwise put a font of its own).
type Painter(canvas: SKCanvas, textAsOutlines: bool) as this =
    inherit SkiaRenderContext()

    let lineHeight (brush: SKPaint) = float (brush.FontMetrics.Descent - brush.FontMetrics.Ascent)

    let measure (text: string) size weight =
        use brush = Font.brush (size, weight, OxyColors.Black)
        let lines = text.Split '\n'
        let width = lines |> Array.map (fun line -> float (brush.MeasureText line)) |> Array.max
        OxySize(width, lineHeight brush * float lines.Length)

    let drawLine (line: string) (x: float32) (y: float32) (brush: SKPaint) =
        if textAsOutlines then
            use path = brush.GetTextPath(line, x, y)
            canvas.DrawPath(path, brush)
        else
            canvas.DrawText(line, x, y, brush)

    let draw (p: ScreenPoint) (text: string) fill size weight rotation horizontal vertical =
        use brush = Font.brush (size, weight, fill)
        let lines = text.Split '\n'
        let height = lineHeight brush
        let top =
            match vertical with
            | VerticalAlignment.Top -> 0.0
            | VerticalAlignment.Middle -> -0.5 * height * float lines.Length
            | _ -> -height * float lines.Length
        canvas.Save() |> ignore
        canvas.Translate(float32 p.X, float32 p.Y)
        canvas.RotateDegrees(float32 rotation)
        lines
        |> Array.iteri (fun i line ->
            let width = float (brush.MeasureText line)
            let left =
                match horizontal with
                | HorizontalAlignment.Left -> 0.0
                | HorizontalAlignment.Center -> -0.5 * width
                | _ -> -width
            let baseline = top + height * float i - float brush.FontMetrics.Ascent
            drawLine line (float32 left) (float32 baseline) brush)
        canvas.Restore()

    do
        this.SkCanvas <- canvas
        this.RenderTarget <- RenderTarget.VectorGraphic
        this.DpiScale <- 1.0f

    interface IRenderContext with
        member _.MeasureText(text, _, fontSize, fontWeight) =
            if String.IsNullOrEmpty text then OxySize.Empty else measure text fontSize fontWeight

        member _.DrawText(p, text, fill, _, fontSize, fontWeight, rotation, horizontal, vertical, _) =
            if not (String.IsNullOrEmpty text || fill.IsInvisible()) then
                draw p text fill fontSize fontWeight rotation horizontal vertical
