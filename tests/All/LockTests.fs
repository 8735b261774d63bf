/// packaging/locks: versions and hashes of every package, for `packaging/lock check`.
module All.LockTests

open System.IO
open System.Text.Json
open System.Xml.Linq
open Expecto

/// Version of each package in Directory.Packages.props.
let private central (root: string) : Map<string, string> =
    XDocument.Load(Path.Combine(root, "Directory.Packages.props")).Descendants(XName.Get "PackageVersion")
    |> Seq.map (fun e -> (nonNull (e.Attribute(XName.Get "Include"))).Value, (nonNull (e.Attribute(XName.Get "Version"))).Value)
    |> Map.ofSeq

/// Name and version of each package that one lock file resolves.
let private resolved (file: string) : (string * string) list =
    use document = JsonDocument.Parse(File.ReadAllText file)
    [ for framework in document.RootElement.GetProperty("dependencies").EnumerateObject() do
          for package in framework.Value.EnumerateObject() do
              match package.Value.TryGetProperty "resolved" with
              | true, version -> package.Name, nonNull (version.GetString())
              | _ -> () ]

[<Tests>]
let tests =
    testCase "The lock files hold the central versions" (fun () ->
        let root = Support.Repository.root
        let versions = central root
        let files = Directory.GetFiles(Path.Combine(root, "packaging", "locks"), "*.json")
        Expect.isGreaterThan files.Length 10 "a lock file for each project"
        let behind =
            [ for file in files do
                  for name, version in resolved file do
                      match versions.TryFind name with
                      | Some pinned when pinned <> version -> $"{Path.GetFileName file}: {name} {version}, expected {pinned}"
                      | _ -> () ]
        Expect.equal behind [] "packaging/lock update writes them")
