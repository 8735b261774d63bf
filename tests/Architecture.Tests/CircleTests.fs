/// No circle between the files of a C# project, none between the namespaces of an assembly. F# files cannot be circular:
/// the compiler reads them in order.
module Architecture.Tests.CircleTests

open System
open System.IO
open Expecto
open Architecture.Tests.CompiledAssembly

let private relative (file: string) = Path.GetRelativePath(Support.Repository.root, file).Replace('\\', '/')

/// A type's place: the file that it is written in. The files of a partial type are one place.
let private places (assembly: CompiledAssembly) : Map<string, string> =
    let whole = Collections.Generic.Dictionary<string, string list>()
    for t in assembly.Types do
        if t.Files.Length > 1 then
            let together =
                t.Files
                |> List.collect (fun f ->
                    (match whole.TryGetValue f with
                     | true, fs -> fs
                     | _ -> [ f ]))
                |> List.distinct
                |> List.sort
            for file in together do
                whole[file] <- together
    let place file =
        match whole.TryGetValue file with
        | true, together -> together |> List.map relative |> String.concat " + "
        | _ -> relative file
    assembly.Types |> List.choose (fun t -> t.Files |> List.tryHead |> Option.map (fun file -> t.Name, place file)) |> Map.ofList

let private short (name: string) = name.Substring(name.LastIndexOf '.' + 1)

let private why (r: Reference) =
    let whole t m = if m = "" then short t else $"{short t}.{m}"
    $"{whole r.From r.FromMember} names {whole r.To r.ToMember}"

/// Arrows between the places of an assembly's types; a type without a place has none.
let graph (place: string -> string option) (assembly: CompiledAssembly) : Circles.Graph =
    assembly.References
    |> Seq.choose (fun r ->
        match place r.From, place r.To with
        | Some a, Some b -> Some(a, b, why r)
        | _ -> None)
    |> Circles.ofArrows

let files (assembly: CompiledAssembly) =
    let places = places assembly
    graph (fun name -> Map.tryFind name places) assembly

/// F# keeps a file's start-up code in a namespace of the compiler's, which is no place.
let namespaces (assembly: CompiledAssembly) =
    let places = assembly.Types |> List.map (fun t -> t.Name, t.Namespace) |> Map.ofList
    graph (fun name -> Map.tryFind name places |> Option.filter (fun ns -> ns <> "" && not (ns.StartsWith '<'))) assembly

/// The assemblies of the projects under src that every build makes.
let assemblies =
    [ "OptimalStopping.Theory"
      "OptimalStopping.Runtime"
      "OptimalStopping.Experiments"
      "OptimalStopping.Server"
      "OptimalStopping.Reports"
      "toolkit" ]

let load (name: string) = read (Path.Combine(AppContext.BaseDirectory, name + ".dll"))

let private isCSharp (assembly: CompiledAssembly) = assembly.Types |> List.exists (fun t -> t.Files |> List.exists _.EndsWith(".cs"))

/// The graphs of an assembly in which no circle may be.
let graphs (assembly: CompiledAssembly) : Circles.Graph list =
    [ if isCSharp assembly then files assembly
      namespaces assembly ]

/// Arrows on circles, as the list of known ones has them, each with its shortest circle in words.
let arrows (graphs: Circles.Graph list) : Map<string, string> =
    Map.ofList
        [ for graph in graphs do
              for (a, b), circle in Circles.all graph do
                  $"{a} -> {b}", Circles.describe graph circle ]

/// Circles that are still there, as their arrows, one a line. The list may only become shorter.
let private known: Set<string> =
    File.ReadAllLines(Path.Combine(Support.Repository.root, "tests", "Architecture.Tests", "known-circles.txt"))
    |> Array.filter (fun line -> line <> "" && not (line.StartsWith '#'))
    |> Set.ofArray

let private lines (texts: seq<string>) = String.Join("\n", texts)

[<Tests>]
let tests =
    testList
        "Circles"
        [ test "No circle between files of a C# project or between namespaces, but for the known ones" {
              let found = arrows (assemblies |> List.collect (load >> graphs))
              let fresh = found |> Map.filter (fun arrow _ -> not (known.Contains arrow)) |> Map.values |> Seq.distinct
              Expect.isEmpty fresh $"new circles, the shortest through each new arrow:\n{lines fresh}"
              let gone = known |> Set.filter (fun arrow -> not (found.ContainsKey arrow))
              Expect.isEmpty gone $"mended: delete these lines of tests/Architecture.Tests/known-circles.txt:\n{lines gone}"
          }

          test "A circle is found, with the shortest way round" {
              let graph =
                  Circles.ofArrows
                      [ "a", "b", "1"; "b", "c", "2"; "c", "a", "3"; "c", "d", "4"; "d", "c", "5"; "d", "e", "6"; "x", "x", "7" ]
              let all = Circles.all graph |> Map.ofList
              Expect.equal all[("a", "b")] [ "a"; "b"; "c"; "a" ] "three arrows"
              Expect.equal all[("c", "d")] [ "c"; "d"; "c" ] "two arrows"
              Expect.equal (Seq.length all.Keys) 5 "d -> e is on none, and what refers to itself is none"
              Expect.stringContains (Circles.describe graph all[("c", "d")]) "c -> d   (4)" "why"
          } ]
