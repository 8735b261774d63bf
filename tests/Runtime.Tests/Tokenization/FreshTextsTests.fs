/// 10,000 new texts in every run, against Hugging Face's own tokenizers (Rust), which transformers uses.
module Runtime.Tests.Tokenization.FreshTextsTests

open System
open System.Globalization
open System.IO
open System.Text
open System.Text.Json.Nodes
open System.Runtime.InteropServices
open Expecto
open OptimalStopping.Runtime.Tokenization
open Support.RandomCheckpoint

let private folder = Path.Combine(__SOURCE_DIRECTORY__, "qwen3")

let private join (parts: string seq) = String.Concat parts

/// Every code point that .NET's tables know, but for halves of pairs and private ones.
let private assigned =
    lazy
        ([| for c in 1..0x32FFF do
                if Rune.IsValid c then
                    match Rune.GetUnicodeCategory(Rune c) with
                    | UnicodeCategory.OtherNotAssigned
                    | UnicodeCategory.PrivateUse -> ()
                    | _ -> Rune c |])

let private emoji = [| "😀"; "👍🏽"; "👩‍👩‍👧‍👦"; "🏳️‍🌈"; "🇩🇪"; "❤️"; "1️⃣"; "🧑🏿‍💻"; "🫠" |]
let private marks =
    [| for c in [ 0x300; 0x301; 0x308; 0x323; 0x327; 0x338; 0x345; 0x5B0; 0x64B; 0x93C; 0x3099; 0x20DD; 0xFE0F; 0x200D ] -> string (Rune c) |]
let private spaces = [| " "; "  "; "\t"; "\n"; "\r\n"; "\n\n"; "\u00A0"; "\u2003"; "\u2028"; "\u3000"; "\u0085"; "\u200B"; "\uFEFF" |]
let private endings = [| "'s"; "'LL"; "'ſ"; "'t"; "’s"; "!"; "..."; "{}"; "=>"; "://"; "_"; "-" |]
let private added = [| "<|im_start|>"; "<|im_end|>"; "<think>"; "</think>"; "<|endoftext|>"; "<|im_"; "<tool_call>" |]

let private words =
    lazy
        ([| for line in File.ReadLines(Path.Combine(folder, "reference.jsonl")) |> Seq.truncate 900 do
                use document = Json.JsonDocument.Parse line
                match document.RootElement.TryGetProperty "text" with
                | true, text -> yield! (nonNull (text.GetString())).Split(' ', StringSplitOptions.RemoveEmptyEntries)
                | _ -> () |])

/// A text of up to 24 parts, of one kind or of all.
let private text (random: Random) : string =
    let pick (list: 'a[]) = list[random.Next list.Length]
    let neighbours () =
        let start = random.Next assigned.Value.Length
        join [ for i in 0 .. random.Next 8 -> string assigned.Value[min (assigned.Value.Length - 1) (start + random.Next 40)] ]
    let parts: (unit -> string)[] =
        [| neighbours
           fun () -> string (pick assigned.Value)
           fun () -> pick words.Value
           fun () -> pick words.Value + pick spaces
           fun () -> pick emoji
           fun () -> join [ for _ in 0 .. random.Next 4 -> pick marks ]
           fun () -> pick spaces
           fun () -> pick endings
           fun () -> pick added
           fun () -> string (random.Next 1_000_000)
           fun () -> string (Rune(0x20 + random.Next 95))
           fun () -> Convert.ToBase64String(Array.init (random.Next 12) (fun _ -> byte (random.Next 256))) |]
    let kinds = if random.Next 2 = 0 then parts else [| pick parts; pick parts |]
    join [ for _ in 0 .. random.Next 24 -> (pick kinds) () ]

/// Whether Unicode 9.0 has a character: what the reference's tables of normalisation are of.
let private isOld =
    lazy
        (let old = Collections.Generic.HashSet<int>()
         for line in File.ReadLines(Path.Combine(folder, "unicode-9.txt")) do
             if not (line.StartsWith '#') then
                 let ends = line.Split '-' |> Array.map (fun hex -> Convert.ToInt32(hex, 16))
                 for c in ends[0] .. ends[1] do
                     old.Add c |> ignore
         fun (rune: Rune) -> old.Contains rune.Value)

/// A copy of a tokenizer.json for the reference, which gives an added token a new number where the vocabulary lacks it, as one
/// that is cut does.
let private withAddedInside (file: string) (target: string) =
    let root = nonNull (JsonNode.Parse(File.ReadAllText file))
    let vocabulary = (nonNull (nonNull root["model"]).["vocab"]).AsObject()
    for token in (nonNull root["added_tokens"]).AsArray() do
        let token = nonNull token
        vocabulary[(nonNull token["content"]).GetValue<string>()] <- (nonNull token["id"]).DeepClone()
    File.WriteAllText(target, root.ToJsonString())

let private show (text: string) = join [ for rune in text.EnumerateRunes() -> $"U+{rune.Value:X4} " ]

/// The text without every character that the difference does not need.
let private smallest (differs: string -> bool) (text: string) : string =
    let mutable runes = [ for rune in text.EnumerateRunes() -> rune ]
    let mutable at = 0
    while at < runes.Length do
        let fewer = List.removeAt at runes
        if differs (join (fewer |> List.map string)) then runes <- fewer else at <- at + 1
    join (runes |> List.map string)

[<Tests>]
let tests =
    testList
        "FreshTexts"
        [ test "10,000 new texts have the tokens that Hugging Face's tokenizers give them" {
              if not (OperatingSystem.IsLinux() && RuntimeInformation.ProcessArchitecture = Architecture.X64) then
                  skiptest "the reference has a library for Linux on x64 only"
              let real = Environment.GetEnvironmentVariable "QWEN3_TOKENIZER"
              let model = real |> Option.ofObj |> Option.defaultValue (Path.Combine(folder, "model"))
              use folder = new TemporaryFolder()
              let file = Path.Combine(model, "tokenizer.json")
              withAddedInside file (folder.File "reference.json")
              use reference = new Tokenizers.DotNet.Tokenizer(folder.File "reference.json")
              File.Copy(file, folder.File "tokenizer.json")
              File.WriteAllText(folder.File "generation_config.json", """{ "eos_token_id": 151645 }""")
              let own = TokenizerFiles.Load folder.Path
              let differs (text: string) = text <> "" && own.Encode text <> Array.map int (reference.Encode text)
              let seed = Random.Shared.Next()
              let random = Random seed
              let texts = [| for _ in 1..10_000 -> text random |]
              let runes = texts |> Array.sumBy (fun text -> Seq.length (text.EnumerateRunes()))
              let found = texts |> Array.filter differs |> Array.map (smallest differs) |> Array.distinct
              let newer, wrong = found |> Array.partition (fun text -> text.EnumerateRunes() |> Seq.exists (isOld.Value >> not))
              printfn
                  $"10,000 fresh texts of {runes} characters, seed {seed}: {wrong.Length} different, {newer.Length} by Unicode's version"
              for text in found do
                  printfn $"  {show text}: %A{own.Encode text} here, %A{reference.Encode text} there"
              Expect.isEmpty wrong $"seed {seed}"
              // Characters newer than the reference's tables are few: a rule that let much pass would be seen here.
              Expect.isLessThan newer.Length 100 $"seed {seed}: differences by Unicode's version"
          } ]
