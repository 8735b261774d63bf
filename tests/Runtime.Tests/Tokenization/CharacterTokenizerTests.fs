module Runtime.Tests.Tokenization.CharacterTokenizerTests

open System.IO
open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Tokenization

let private message (run: unit -> unit) =
    try
        run ()
        failtest "expected a ToolkitException"
    with :? ToolkitException as fault ->
        fault.Message

let private withFile (text: string) (run: string -> unit) =
    let path = Path.GetTempFileName()
    try
        File.WriteAllText(path, text)
        run path
    finally
        File.Delete path

[<Tests>]
let tests =
    testList
        "CharacterTokenizer"
        [ testCase "the alphabet survives tokenizer.json"
          <| fun _ ->
              withFile (CharacterTokenizer.Nano.ToJson()) (fun path ->
                  let read = CharacterTokenizer.Load path
                  let tokens = read.Encode CharacterTokenizer.NanoAlphabet
                  Expect.sequenceEqual tokens [ 1..63 ] "tokens"
                  Expect.equal (read.Decode(System.ReadOnlySpan tokens)) CharacterTokenizer.NanoAlphabet "text"
                  Expect.equal (read.VocabularySize, read.EndOfText) (64, 0) "sizes")
          testCase "a foreign character is named with its place"
          <| fun _ ->
              // Built from numbers: the compiler replaces a lone surrogate in a literal.
              let high, low = string (char 0xD800), string (char 0xDC00)
              for text, place, name in
                  [ "aA", "prompt:2", "U+0041"
                    "a\U0001F600", "prompt:2", "U+1F600"
                    high + "a", "prompt:1", "U+D800"
                    "ab" + high, "prompt:3", "U+D800"
                    low, "prompt:1", "U+DC00"
                    "\n", "prompt:1", "U+000A" ] do
                  let got = message (fun () -> CharacterTokenizer.Nano.Encode text |> ignore)
                  Expect.stringContains got place name
                  Expect.stringContains got name name
          testCase "a faulty tokenizer.json is refused"
          <| fun _ ->
              for text in
                  [ "{"
                    "{}"
                    """{"model":{"vocab":{"a":0,"b":0,"<eos>":1}}}"""
                    """{"model":{"vocab":{"a":0,"b":1}}}"""
                    """{"model":{"vocab":{"a":0,"<x>":1,"<y>":2}}}""" ] do
                  withFile text (fun path -> Expect.stringStarts (message (fun () -> CharacterTokenizer.Load path |> ignore)) path text) ]
