/// What packaging/deploy and docs/deploy.md start is what the program takes.
module Cli.Tests.DeployTests

open System.IO
open System.Text.RegularExpressions
open System.Xml.Linq
open Argu
open Expecto
open OptimalStopping.Cli
open OptimalStopping.Cli.Arguments
open Support

let private text (path: string) = File.ReadAllText(Path.Combine(Repository.root, path))

/// The words of the first list in brackets behind a key, in YAML's flow style or a Dockerfile's JSON.
let private listed (key: string) (text: string) =
    let found = Regex.Match(text, Regex.Escape key + @"\s*\[([^\]]*)\]", RegexOptions.Singleline)
    Expect.isTrue found.Success $"{key} with a list"
    [ for word in Regex.Matches(found.Groups[1].Value, "\"([^\"]*)\"|([^,\\s][^,]*)") ->
          if word.Groups[1].Success then word.Groups[1].Value else word.Groups[2].Value.Trim() ]

/// Commands by the file that has them.
let private commands =
    [ "packaging/deploy/Dockerfile", listed "CMD" (text "packaging/deploy/Dockerfile")
      "packaging/deploy/compose.yaml",
      [ for item in Regex.Matches(text "packaging/deploy/compose.yaml", "(?m)^      - \"?([^\"\\n]*)\"?$") -> item.Groups[1].Value ]
      "packaging/deploy/toolkit.service",
      Regex.Match(text "packaging/deploy/toolkit.service", "(?m)^ExecStart=\\S*/toolkit (.*)$").Groups[1].Value.Split ' '
      |> List.ofArray
      "docs/deploy.md", listed "args:" (text "docs/deploy.md")
      "src/Cli/Cli.fsproj",
      [ for item in (XDocument.Parse(text "src/Cli/Cli.fsproj")).Descendants(XName.Get "ContainerDefaultArgs") do
            yield! (nonNull (item.Attribute(XName.Get "Include"))).Value.Split ';' ] ]

[<Tests>]
let tests =
    testList
        "Deploy"
        [ for file, words in commands do
              test $"{file} starts the server with flags that it knows" {
                  let parser = ArgumentParser.Create<ToolkitArguments>(programName = "toolkit", checkStructure = false)
                  match parser.ParseCommandLine(List.toArray words, raiseOnUsage = false).GetSubCommand() with
                  | Serve arguments ->
                      Expect.isTrue
                          (arguments.Contains Commands.Serve.ServeArguments.Key_Env)
                          "reachable from elsewhere, so it asks for keys"
                      Expect.isTrue (arguments.Contains Commands.Serve.ServeArguments.State) "grades are kept"
                  | other -> failtest $"expected serve, got {other}"
              } ]
