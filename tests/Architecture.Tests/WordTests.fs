/// The field's words in what others read: public names, the command's help, the documents. The words of our own that were
/// here before have no place there.
module Architecture.Tests.WordTests

open System
open System.IO
open System.Text.RegularExpressions
open Argu
open Expecto
open OptimalStopping.Cli.Arguments

/// An old word, in singular and plural, with the one that the field has for it.
let private old =
    [ "ladder", "cascade"
      "rung", "stage"
      "menu", "policy class"
      "promise", "guarantee"
      "knob", "parameter"
      "law", "distribution"
      "signal", "confidence features" ]

/// Words that only a name may not have.
let private oldInNames = old @ [ "wire", "OpenAi"; "desk", "service"; "team", "pool"; "fault", "error" ]

/// Uses that are the field's own, with the words around them.
let private legitimate =
    [ "power law" // of regret or of time against size
      "power laws"
      "tokens, signals" ] // keys of the trace format

/// In the theory a stage's signal is the random variable S_k of the model, whatever it is computed from.
let private isTheory (place: string) = place.Contains "Theory" || place.EndsWith "theory.md" || place.EndsWith "mutations.md"

/// The parts of a name: "DraftLength" and "draft_length" have "draft" and "length".
let private parts (name: string) = Regex.Matches(name, "[A-Z]?[a-z]+|[A-Z]+(?![a-z])") |> Seq.map _.Value.ToLowerInvariant() |> List.ofSeq

let private plural (word: string) = if word.EndsWith 's' then word[.. word.Length - 2] else word

/// Old words in a name, each with its place and what to say instead.
let inName (place: string) (name: string) : string list =
    [ for part in parts name do
          match oldInNames |> List.tryFind (fun (word, _) -> word = plural part) with
          | Some("signal", _) when isTheory place -> ()
          | Some(word, instead) -> $"{place}: {name}: expected '{instead}', got '{word}'"
          | None -> () ]

/// Old words in a text, line by line.
let inText (place: string) (text: string) : string list =
    let words = old |> List.map fst |> List.filter (fun word -> not (word = "signal" && isTheory place)) |> String.concat "|"
    [ for number, line in text.Split '\n' |> Seq.indexed do
          let line = legitimate |> List.fold (fun (l: string) use' -> l.Replace(use', "")) (line.ToLowerInvariant())
          for found in Regex.Matches(line, $@"\b({words})s?\b") do
              $"{place}:{number + 1}: {found.Value}" ]

/// The help of a command and of all commands under it.
let rec private help (parser: ArgumentParser) : (string * string) list =
    [ let name = parser.ParentInfo |> Option.map _.Name.Value |> Option.defaultValue "toolkit"
      name, parser.PrintUsage()
      for sub in parser.GetSubCommandParsers() do
          yield! help sub ]

let private documents =
    let root = Support.Repository.root
    let pages folder = Directory.GetFiles(Path.Combine(root, folder), "*.md", SearchOption.AllDirectories)
    [| yield! Directory.GetFiles(root, "*.md")
       for folder in [ "docs"; "packaging"; "samples" ] do
           if Directory.Exists(Path.Combine(root, folder)) then yield! pages folder |]

let private none (what: string) (hits: string list) =
    let shown = String.Join("\n", hits)
    Expect.isEmpty hits $"{hits.Length} old words in {what}:\n{shown}"

[<Tests>]
let tests =
    testList
        "Words"
        [ test "Public names have the field's words" {
              none
                  "public names"
                  [ for name in CircleTests.assemblies do
                        for t in (CircleTests.load name).Types do
                            if t.IsPublic then
                                let own = t.Name.Substring(t.Name.LastIndexOfAny [| '.'; '+' |] + 1)
                                yield! inName t.Name own
                                for ``member`` in t.PublicMembers do
                                    yield! inName t.Name ``member`` ]
          }

          test "The command's help has the field's words" {
              let pages = help (ArgumentParser.Create<ToolkitArguments>(programName = "toolkit", checkStructure = false))
              Expect.isGreaterThan pages.Length 10 "commands found"
              none
                  "help"
                  [ for name, text in pages do
                        yield! inText $"toolkit {name}" text ]
          }

          test "The documents have the field's words" {
              Expect.isGreaterThan documents.Length 20 "documents found"
              none
                  "documents"
                  [ for file in documents do
                        yield! inText (Path.GetRelativePath(Support.Repository.root, file)) (File.ReadAllText file) ]
          }

          test "Public methods that give a task end in Async" {
              let isTask (t: Type) =
                  let name = if t.IsGenericType then t.GetGenericTypeDefinition().FullName else t.FullName
                  not (isNull name)
                  && Regex.IsMatch(
                      nonNull name,
                      @"^System\.Threading\.Tasks\.(Value)?Task(`1)?$|^System\.Collections\.Generic\.IAsyncEnumerable`1$"
                  )
              let hits =
                  [ for name in CircleTests.assemblies do
                        for t in Reflection.Assembly.Load(name).GetExportedTypes() do
                            for m in t.GetMethods() do
                                if m.DeclaringType = t && not m.IsSpecialName && isTask m.ReturnType && not (m.Name.EndsWith "Async") then
                                    $"{t.FullName}.{m.Name}" ]
              Expect.isEmpty hits "methods"
              Expect.isTrue (isTask typeof<Threading.Tasks.ValueTask<int>>) "a task is seen"
          }

          test "Old words are found, and what only looks like one is not" {
              Expect.equal (inName "Runtime.X" "LadderFile").Length 1 "at the start of a name"
              Expect.equal (inName "Runtime.X" "modelRungs").Length 1 "at its end, in the plural"
              Expect.equal (inName "Runtime.X" "Default").Length 0 "fault inside another word"
              Expect.equal (inName "OptimalStopping.Theory.Chain" "signals").Length 0 "the theory's random variables"
              Expect.equal (inText "README.md" "the law of large ladders,\na power law").Length 2 "two words, in the first line"
          } ]
