module Reports.Tests.ExportTests

open Support
open System.IO
open System.Text
open System.Xml.Linq
open Expecto
open OxyPlot
open OptimalStopping.Reports
open global.SkiaSharp

let private drawing =
    { Title = "A <title> & more"
      Description = "What is \"seen\""
      Width = 120.0
      Height = 60.5
      Draw =
        fun rc ->
            rc.DrawText(
                ScreenPoint(10.0, 10.0),
                "Text λ",
                OxyColors.Black,
                "",
                10.0,
                400.0,
                0.0,
                HorizontalAlignment.Left,
                VerticalAlignment.Top,
                System.Nullable()
            )
            rc.DrawLine(
                [| ScreenPoint(0.0, 0.0); ScreenPoint(120.0, 60.0) |],
                OxyColors.Red,
                1.0,
                EdgeRenderingMode.Automatic,
                null,
                LineJoin.Miter
            ) }

[<Tests>]
let tests =
    testList
        "Export"
        [ test "the SVG is XML with a size in points, a title, and text as outlines" {
              let root = XDocument.Parse(Encoding.UTF8.GetString(Export.svg drawing)).Root |> nonNull
              let names = root.Descendants() |> Seq.map _.Name.LocalName |> Seq.toList
              let attribute name = (root.Attribute(XName.Get name) |> nonNull).Value
              Expect.equal (attribute "width", attribute "height", attribute "viewBox") ("120pt", "60.5pt", "0 0 120 60.5") "size"
              Expect.equal ((root.Elements() |> Seq.head).Value) drawing.Title "title"
              Expect.isFalse (List.contains "text" names) "no text that needs a font"
              Expect.isTrue (List.contains "path" names) "outlines"
          }
          test "the PDF embeds its font and has no date" {
              let text = Encoding.Latin1.GetString(Export.pdf drawing)
              Expect.stringStarts text "%PDF-" "format"
              Expect.stringContains text "LiberationSans" "the font's name"
              Expect.stringContains text "/FontFile2" "the font itself"
              Expect.isFalse (text.Contains "CreationDate" || text.Contains "ModDate") "no dates"
          }
          test "the PNG has 288 pixels to the inch on white" {
              use bitmap = SKBitmap.Decode(Export.png drawing)
              Expect.equal (bitmap.Width, bitmap.Height) (480, 242) "pixels"
              Expect.equal (bitmap.GetPixel(470, 5)) SKColors.White "background"
          }
          test "the same drawing gives the same bytes" {
              for render in [ Export.svg; Export.pdf; Export.png ] do
                  Expect.isTrue (render drawing = render drawing) "bytes"
          }
          test "a file is replaced whole and no temporary file stays" {
              SampleRun.inFolder (fun dir ->
                  let path = Path.Combine(dir, "x.bin")
                  File.WriteAllText(path, "a longer old content")
                  Export.write (path, [| 1uy; 2uy |]) |> ignore
                  Expect.equal (File.ReadAllBytes path) [| 1uy; 2uy |] "content"
                  Expect.equal (Directory.GetFiles dir) [| path |] "files")
          } ]
