module Runtime.Tests.Experiments.CsvFileTests

open System.Globalization
open System.IO
open Expecto
open OptimalStopping.Runtime.Experiments
open Runtime.Tests.TraceFiles

let private written (cells: objnull[]) =
    withFolder (fun folder ->
        let path = Path.Combine(folder, "x.csv")
        CsvFile.Write(path, "a,b", [| cells |])
        let files = Directory.GetFiles folder |> Array.map Path.GetFileName
        Expect.equal files [| "x.csv" |] "only the whole file is there"
        File.ReadAllText path)

let tests =
    testList "CsvFile" [
        test "numbers read back exactly, whatever the culture" {
            let culture = CultureInfo.CurrentCulture
            try
                // Made by hand: a build without culture data knows no "de-DE".
                let commas = CultureInfo.InvariantCulture.Clone() :?> CultureInfo
                commas.NumberFormat.NumberDecimalSeparator <- ","
                CultureInfo.CurrentCulture <- commas
                Expect.equal (written [| box (1.0 / 3.0); box 1e-20; box 7 |]) "a,b\n0.3333333333333333,1E-20,7\n" "decimal points"
            finally
                CultureInfo.CurrentCulture <- culture
        }

        test "a value that is absent or without bound is an empty cell" {
            Expect.equal (written [| null; box nan; box infinity; box -infinity |]) "a,b\n,,,\n" "readers take finite numbers only"
        }

        test "text with commas, quotes or line feeds is quoted" {
            Expect.equal (written [| box "m,1"; box "say \"x\"" |]) "a,b\n\"m,1\",\"say \"\"x\"\"\"\n" "RFC 4180"
        }
    ]
