module Experiments.Tests.CsvFileTests

open System.Globalization
open System.IO
open Expecto
open OptimalStopping.Experiments
open Support.TraceFiles

[<Tests>]
let tests =
    testList
        "CsvFile"
        [ test "numbers read back exactly, NaN and nothing are empty, commas and quotes are quoted" {
              withFolder (fun folder ->
                  let path = Path.Combine(folder, "t.csv")
                  CsvFile.Write(
                      path,
                      "a,b",
                      [ [| box 0.1; box nan |]; [| box 1e-7; null |]; [| box 12; box "x,\"y\"" |]; [| box (1.0 / 3.0); box "plain" |] ]
                  )
                  Expect.equal (File.ReadAllText path) "a,b\n0.1,\n1E-07,\n12,\"x,\"\"y\"\"\"\n0.3333333333333333,plain\n" "text"
                  CsvFile.Write(path, "a", [])
                  Expect.equal (File.ReadAllText path) "a\n" "replaced"
                  Expect.equal (Directory.GetFiles folder).Length 1 "nothing beside it")
          }
          test "whatever the culture, points are decimal; a number without bound is an empty cell" {
              let culture = CultureInfo.CurrentCulture
              try
                  // Made by hand: a build without culture data knows no "de-DE".
                  let commas = CultureInfo.InvariantCulture.Clone() :?> CultureInfo
                  commas.NumberFormat.NumberDecimalSeparator <- ","
                  CultureInfo.CurrentCulture <- commas
                  withFolder (fun folder ->
                      let path = Path.Combine(folder, "t.csv")
                      CsvFile.Write(path, "a,b,c", [ [| box 0.5; box infinity; box -infinity |] ])
                      Expect.equal (File.ReadAllText path) "a,b,c\n0.5,,\n" "the readers of these files take finite numbers only")
              finally
                  CultureInfo.CurrentCulture <- culture
          } ]
