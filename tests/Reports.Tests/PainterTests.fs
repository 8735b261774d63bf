module Reports.Tests.PainterTests

open Expecto
open OxyPlot
open OptimalStopping.Reports
open global.SkiaSharp

let private withPainter action =
    use bitmap = new SKBitmap(200, 100)
    use canvas = new SKCanvas(bitmap)
    canvas.Clear SKColors.White
    use painter = new Painter(canvas, false)
    action (painter :> IRenderContext) bitmap

let private inked (bitmap: SKBitmap) =
    [| for y in 0 .. bitmap.Height - 1 do
           for x in 0 .. bitmap.Width - 1 do
               if bitmap.GetPixel(x, y) <> SKColors.White then struct (x, y) |]

let private draw (rc: IRenderContext) text rotation horizontal vertical =
    rc.DrawText(ScreenPoint(100.0, 50.0), text, OxyColors.Black, "any", 12.0, 400.0, rotation, horizontal, vertical, System.Nullable())

[<Tests>]
let tests =
    testList
        "Painter"
        [ test "text has the widths of Liberation Sans, whatever fonts the machine has" {
              // Advance widths in units of 1/2048 em: H 1479, i 455, lambda 1025 regular; H 1479, i 569 bold.
              withPainter (fun rc _ ->
                  Expect.floatClose Accuracy.medium (rc.MeasureText("Hi", "Segoe UI", 2048.0, 400.0).Width) 1934.0 "regular"
                  Expect.floatClose Accuracy.medium (rc.MeasureText("Hi", "Segoe UI", 2048.0, 700.0).Width) 2048.0 "bold"
                  Expect.isGreaterThan (rc.MeasureText("λ", "", 2048.0, 400.0).Width) 900.0 "Greek has glyphs")
          }
          test "two lines are twice as high and as wide as the wider one" {
              withPainter (fun rc _ ->
                  let one, two = rc.MeasureText("wide line", "", 10.0, 400.0), rc.MeasureText("wide line\nx", "", 10.0, 400.0)
                  Expect.floatClose Accuracy.high two.Height (2.0 * one.Height) "height"
                  Expect.equal two.Width one.Width "width"
                  Expect.equal (rc.MeasureText("", "", 10.0, 400.0)) OxySize.Empty "nothing")
          }
          test "text lies on the side of its point that the alignment says, and turns with the rotation" {
              let spread action =
                  withPainter (fun rc bitmap ->
                      action rc
                      let dots = inked bitmap
                      Expect.isNonEmpty dots "something was drawn"
                      let xs, ys = dots |> Array.map (fun (struct (x, _)) -> x), dots |> Array.map (fun (struct (_, y)) -> y)
                      (Array.min xs, Array.max xs), (Array.min ys, Array.max ys))
              let (left, _), (top, _) = spread (fun rc -> draw rc "Mm" 0.0 HorizontalAlignment.Left VerticalAlignment.Top)
              Expect.isTrue (left >= 99 && top >= 49) "right of and below the point"
              let (_, right), (_, bottom) = spread (fun rc -> draw rc "Mm" 0.0 HorizontalAlignment.Right VerticalAlignment.Bottom)
              Expect.isTrue (right <= 101 && bottom <= 51) "left of and above the point"
              let (l, r), (t, b) = spread (fun rc -> draw rc "Mmmm" -90.0 HorizontalAlignment.Center VerticalAlignment.Middle)
              Expect.isGreaterThan (b - t) (r - l) "upright"
          } ]
