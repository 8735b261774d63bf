module Runtime.Tests.Tokenization.BpeTrainerTests

open System
open System.IO
open Expecto
open OptimalStopping.Runtime.Tokenization

let private written (texts: seq<string>) (tokens: int) (check: string -> ITokenizer -> unit) =
    let folder = Directory.CreateTempSubdirectory("bpe-").FullName
    try
        let struct (vocabulary, merges) = BpeTrainer.Train(texts, tokens)
        QwenTokenizerWriter.Write(folder, vocabulary, merges, "{{ messages }}", 512)
        check folder (TokenizerFiles.Load folder)
    finally
        Directory.Delete(folder, true)

[<Tests>]
let tests =
    testList
        "BpeTrainer"
        [ test "The most frequent pair is merged first, of equal ones the earlier, never across pieces" {
              let struct (vocabulary, merges) = BpeTrainer.Train([ "low low low lower"; "new new" ], 256 + 4)
              Expect.equal (List.ofSeq merges) [ struct ("l", "o"); struct ("lo", "w"); struct ("Ġ", "low"); struct ("e", "w") ] "merges"
              Expect.equal vocabulary.Count 260 "256 bytes and the merges"
              Expect.equal [ vocabulary[0]; vocabulary[1] ] [ "!"; "\"" ] "bytes in the order of the published vocabularies"
          }

          test "Pairs that come once are not merged, and the vocabulary stays smaller" {
              let struct (vocabulary, merges) = BpeTrainer.Train([ "abc" ], 300)
              Expect.isEmpty merges "merges"
              Expect.equal vocabulary.Count 256 "bytes"
              Expect.throwsT<ArgumentOutOfRangeException> (fun () -> BpeTrainer.Train([ "abc" ], 255) |> ignore) "fewer tokens than bytes"
          }

          test "The folder is read as any Qwen3 tokenizer: texts come back, added tokens are one token, the stop is <|im_end|>" {
              let texts = [ for i in 1..50 -> $"The answer to question {i} is forty-two, naïvely: 东京 🙂.\n" ]
              written texts 400 (fun folder tokenizer ->
                  for text in texts @ [ "  spaces\r\n\r\nand\ttabs "; "ÅngstrÖm ﬁ"; "" ] do
                      Expect.equal (tokenizer.Decode(ReadOnlySpan(tokenizer.Encode text))) text "round trip"
                  Expect.isLessThan (tokenizer.Encode texts[0]).Length (texts[0].Length / 2) "learned texts are short"
                  let qwen = tokenizer :?> QwenTokenizer
                  for struct (token, special) in QwenTokenizerWriter.AddedTokens do
                      Expect.equal (tokenizer.Encode token) [| (qwen.TokenOf token).Value |] token
                      Expect.equal (tokenizer.Decode(ReadOnlySpan(tokenizer.Encode token))) (if special then "" else token) token
                  Expect.equal tokenizer.EndOfText (qwen.TokenOf "<|im_end|>").Value "stop"
                  Expect.stringContains (File.ReadAllText(Path.Combine(folder, "tokenizer_config.json"))) "{{ messages }}" "template")
          } ]
