namespace OptimalStopping.Reports

open System
open System.Collections.Generic
open System.IO
open System.Reflection
open System.Text
open System.Text.RegularExpressions
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Files
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

/// A finished figure: its size in points (1/72 inch) and how to draw it. Title and description are for readers who
/// cannot see it; they go into the SVG and PDF files.
type Drawing = { Title: string; Description: string; Width: float; Height: float; Draw: IRenderContext -> unit }

/// Writes figures as SVG, PDF and PNG. The same drawing gives the same bytes: no dates, no random names.
module Export =

    /// Pixels per point of the PNG: 4 is 288 pixels to the inch.
    let private pngScale = 4.0f

    let private paint (drawing: Drawing) (textAsOutlines: bool) (canvas: SKCanvas) =
        canvas.DrawColor SKColors.White
        use painter = new Painter(canvas, textAsOutlines)
        drawing.Draw painter

    /// The figure as a raster image.
    let png (drawing: Drawing) : byte[] =
        let pixels size = int (ceil (size * float pngScale))
        use surface = SKSurface.Create(SKImageInfo(pixels drawing.Width, pixels drawing.Height))
        surface.Canvas.Scale pngScale
        paint drawing false surface.Canvas
        use image = surface.Snapshot()
        use data = image.Encode(SKEncodedImageFormat.Png, 100)
        data.ToArray()

    /// The figure as a one-page PDF with its fonts embedded.
    let pdf (drawing: Drawing) : byte[] =
        use stream = new MemoryStream()
        let mutable metadata = SKDocumentPdfMetadata.Default
        metadata.Title <- drawing.Title
        metadata.Subject <- drawing.Description
        metadata.Creator <- "Optimal Stopping Toolkit"
        // Skia writes the present time unless the dates stay empty.
        metadata.Creation <- Nullable()
        metadata.Modified <- Nullable()
        do
            use document = SKDocument.CreatePdf(stream, metadata)
            use canvas = document.BeginPage(float32 drawing.Width, float32 drawing.Height)
            paint drawing false canvas
            document.EndPage()
            document.Close()
        stream.ToArray()

    /// Skia numbers its clip paths over the life of the process; here they are numbered in the order of the file.
    let private renumber (svg: string) =
        let numbers = Dictionary<string, int>()
        Regex.Replace(
            svg,
            "\\bcl_[0-9a-f]+\\b",
            fun (found: Match) ->
                numbers.TryAdd(found.Value, numbers.Count + 1) |> ignore
                $"clip{numbers[found.Value]}"
        )

    let private escapeXml (text: string) = System.Security.SecurityElement.Escape text

    /// The figure as SVG, its text as outlines, with a title and a description for screen readers.
    let svg (drawing: Drawing) : byte[] =
        use stream = new MemoryStream()
        do
            use canvas = SKSvgCanvas.Create(SKRect(0.0f, 0.0f, float32 drawing.Width, float32 drawing.Height), stream)
            paint drawing true canvas
        let text = Encoding.UTF8.GetString(stream.ToArray())
        let start = text.IndexOf "<svg"
        let body = text.IndexOf('>', start) + 1
        let width, height = drawing.Width.ToString "0.##", drawing.Height.ToString "0.##"
        let head =
            $"""<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" """
            + $"""width="{width}pt" height="{height}pt" viewBox="0 0 {width} {height}" role="img">"""
            + $"\n<title>{escapeXml drawing.Title}</title>\n<desc>{escapeXml drawing.Description}</desc>"
        Encoding.UTF8.GetBytes(text[.. start - 1] + head + renumber text[body..])

    /// Writes a file whole or not at all.
    let write (path: string, bytes: byte[]) : string =
        AtomicFile.Write(path, (bytes: byte[]))
        path

    /// Writes NAME.svg, NAME.pdf and NAME.png into a folder and returns their paths.
    let writeAll (dir: string, name: string, drawing: Drawing) : string[] =
        [| for extension, render in [ "svg", svg; "pdf", pdf; "png", png ] ->
               write (Path.Combine(dir, $"{name}.{extension}"), render drawing) |]
