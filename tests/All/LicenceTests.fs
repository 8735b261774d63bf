/// docs/licences.md: every package that the shipped projects restore, with its licence as its author states it.
/// TOOLKIT_WRITE_LICENCES=1 writes the page from the restore graph.
module All.LicenceTests

open System
open System.IO
open System.Text.Json
open System.Xml.Linq
open Expecto

let private page (root: string) = Path.Combine(root, "docs", "licences.md")

/// What a nuspec says of its licence: an expression, else the name of a file in the package, else a link.
let private licence (nuspec: string) : string =
    let find name = XDocument.Load(nuspec).Descendants() |> Seq.tryFind (fun e -> e.Name.LocalName = name)
    match find "license", find "licenseUrl" with
    | Some e, _ when e.Attribute(XName.Get "type") |> Option.ofObj |> Option.exists (fun a -> a.Value = "file") ->
        $"in the package: {e.Value}"
    | Some e, _ -> e.Value
    | None, Some e -> e.Value
    | None, None -> "not stated"

/// Name, version and licence of each package in the restore graph of the projects under src, in order.
let private packages (root: string) : (string * string * string) list =
    [ for assets in
          Directory.GetFiles(
              Path.Combine(root, "src"),
              "project.assets.json",
              EnumerationOptions(RecurseSubdirectories = true, MaxRecursionDepth = 2)
          ) do
          use document = JsonDocument.Parse(File.ReadAllText assets)
          let folders = [ for f in document.RootElement.GetProperty("packageFolders").EnumerateObject() -> f.Name ]
          for library in document.RootElement.GetProperty("libraries").EnumerateObject() do
              if library.Value.GetProperty("type").ValueEquals "package" then
                  let parts = library.Name.Split '/'
                  let place = nonNull (library.Value.GetProperty("path").GetString())
                  let nuspec =
                      folders
                      |> Seq.map (fun folder -> Path.Combine(folder, place))
                      |> Seq.filter Directory.Exists
                      |> Seq.collect (fun folder -> Directory.GetFiles(folder, "*.nuspec"))
                      |> Seq.tryHead
                  parts[0], parts[1], nuspec |> Option.map licence |> Option.defaultValue "not stated" ]
    |> List.distinct
    |> List.sortWith (fun (a, v, _) (b, w, _) -> compare (a.ToLowerInvariant(), v) (b.ToLowerInvariant(), w))

let private row (name: string, version: string, licence: string) = $"| {name} | {version} | {licence} |"

[<Tests>]
let tests =
    testCase "Every package of the shipped projects is on the page of licences" (fun () ->
        let root = Support.Repository.root
        let rows = packages root |> List.map row
        Expect.isGreaterThan rows.Length 5 "packages in the restore graph"
        if Environment.GetEnvironmentVariable "TOOLKIT_WRITE_LICENCES" = "1" then
            let head =
                [ "# Licences"
                  ""
                  "Every package that the projects under `src` restore, directly or through another, with the licence that its author states."
                  "Written from the restore graph by"
                  ""
                  "```"
                  "TOOLKIT_WRITE_LICENCES=1 dotnet run --project tests/All -c Release -- --filter Toolkit.All"
                  "```"
                  ""
                  "| Package | Version | Licence |"
                  "|---|---|---|" ]
            File.WriteAllText(page root, String.Join("\n", head @ rows) + "\n")
        let listed = File.ReadAllLines(page root) |> Set.ofArray
        match rows |> List.filter (fun r -> not (listed.Contains r)) with
        | [] -> ()
        | missing -> skiptest $"docs/licences.md lacks {missing.Length} packages, {missing.Head} first; TOOLKIT_WRITE_LICENCES=1 writes it")
