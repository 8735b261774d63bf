module Runtime.Tests.Configuration.YamlReaderTests

open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Files

let private text = "name: nano\ncost: 2.5\ncount: 7\non: true\nstages:\n  - model: a\n  - model: b\n    extra: 1\ntags: [x, y]\n"

let private fault (yaml: string) (read: YamlMap -> unit) (expected: string) =
    try
        read (YamlMap.Parse("f.yaml", yaml))
        failtest $"expected a fault: {expected}"
    with :? ToolkitException as error ->
        Expect.stringStarts error.Message expected "message"

[<Tests>]
let tests =
    testList
        "YamlReader"
        [ testCase "values of every type"
          <| fun _ ->
              let map = YamlMap.Parse("f.yaml", text)
              Expect.equal (map.Text "name") "nano" "text"
              Expect.equal (map.Number("cost", 0.0, 3.0)) 2.5 "number"
              Expect.equal (map.Integer("count", 7, 7)) 7 "integer"
              Expect.isTrue (map.Flag "on") "flag"
              Expect.equal [ for stage in map.List "stages" -> stage.Text "model" ] [ "a"; "b" ] "list"
              Expect.sequenceEqual (map.Strings "tags") [ "x"; "y" ] "strings"
              Expect.equal (map.TextOr("absent", "d"), map.IntegerOr("absent", 0, 9, 4)) ("d", 4) "defaults"
              map.RejectUnknown()

          testCase "every fault names file, line and key"
          <| fun _ ->
              fault text (fun m -> m.Text "lost" |> ignore) "f.yaml:1: key 'lost': expected text, got nothing"
              fault text (fun m -> m.Number("cost", 0.0, 1.0) |> ignore) "f.yaml:2: key 'cost': expected a number from 0 to 1, got '2.5'"
              fault text (fun m -> m.Integer("cost", 0, 9) |> ignore) "f.yaml:2: key 'cost': expected a whole number from 0 to 9, got '2.5'"
              fault text (fun m -> m.Integer("count", 0, 6) |> ignore) "f.yaml:3: key 'count'"
              fault text (fun m -> m.Flag "name" |> ignore) "f.yaml:1: key 'name': expected true or false, got 'nano'"
              fault text (fun m -> m.Text "stages" |> ignore) "f.yaml:5: key 'stages': expected text, got a list"
              fault text (fun m -> m.List "tags" |> ignore) "f.yaml:9: key 'tags[0]': expected keys with values, got 'x'"
              fault text (fun m -> m.Strings "name" |> ignore) "f.yaml:1: key 'name': expected a list of texts, got 'nano'"
              fault
                  text
                  (fun m ->
                      m.Text "name" |> ignore
                      m.RejectUnknown())
                  "f.yaml:2: key 'cost': expected one of name, got an unknown key"
              fault
                  text
                  (fun m ->
                      let s = (m.List "stages").[1] in
                      s.Text "model" |> ignore
                      s.RejectUnknown())
                  "f.yaml:8: key 'stages[1].extra'"
              fault "a: .nan\n" (fun m -> m.Number("a", 0.0, 1.0) |> ignore) "f.yaml:1: key 'a'"

          testCase "what is no mapping is refused with its line"
          <| fun _ ->
              fault "a: 1\na: 2\n" ignore "f.yaml:2: expected YAML with each key once"
              fault "a: 1\nb: [1\n" ignore "f.yaml:"
              fault "- 1\n" ignore "f.yaml:1: expected keys with values, got a list"
              fault "" ignore "f.yaml:1: expected one YAML document, got 0" ]
