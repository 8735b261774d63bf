module Runtime.Tests.Cascades.CascadeTests

open Support
open System
open System.IO
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Cascades
open OptimalStopping.Runtime.Tokenization
open Support.RandomCheckpoint

let private faultAfter (damage: string -> unit) =
    use folder = new TemporaryFolder()
    let file = RandomCascade.write folder.Path 2 6 100
    damage folder.Path
    try
        use _ = Cascade.Load(CascadeFile.Load file)
        failtest "no fault"
    with :? ToolkitException as e ->
        e.Message

[<Tests>]
let tests =
    testList
        "Cascade"
        [ test "loads every model, and a decoder for each" {
              RandomCascade.using 3 6 100 (fun cascade _ ->
                  Expect.equal cascade.Models.Count 3 "models"
                  Expect.equal (cascade.Tokenizer.Decode(cascade.Tokenizer.Encode "add 1+2=")) "add 1+2=" "tokenizer"
                  for stage in 0..2 do
                      let g = cascade.Decoder(stage).Decode(ReadOnlySpan(cascade.Tokenizer.Encode "add 1+2="))
                      Expect.isTrue (g.Ended || g.Tokens.Length = 6) "the file's limit of tokens")
          }
          test "a missing folder, a missing file and another vocabulary are named" {
              let missing = faultAfter (fun folder -> Directory.Delete(Path.Combine(folder, "2"), true))
              Expect.stringContains missing "stage 'm2': expected a model folder or a .gguf file at " "folder"
              let noTokenizer = Path.Combine("2", "tokenizer.json")
              Expect.stringContains (faultAfter (fun folder -> File.Delete(Path.Combine(folder, noTokenizer)))) noTokenizer "tokenizer"
              let swapped = CharacterTokenizer.Nano.ToJson().Replace("\"a\": 11", "\"a\": 12").Replace("\"b\": 12", "\"b\": 11")
              let other = faultAfter (fun folder -> File.WriteAllText(Path.Combine(folder, noTokenizer), swapped))
              Expect.stringContains other "expected the vocabulary of stage 'm1', got another" "vocabulary"
              let short = CharacterTokenizer.Nano.ToJson().Replace(",\n      \"]\": 63", "")
              let fewer = faultAfter (fun folder -> File.WriteAllText(Path.Combine(folder, noTokenizer), short))
              Expect.stringContains fewer "expected the 64 tokens of the model, got 63" "size"
          } ]
