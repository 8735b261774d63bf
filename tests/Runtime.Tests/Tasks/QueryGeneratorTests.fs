module Runtime.Tests.Tasks.QueryGeneratorTests

open Expecto
open OptimalStopping.Runtime
open OptimalStopping.Runtime.Tasks
open OptimalStopping.Runtime.Tokenization

let private draw seed split count = QueryGenerator(seed, split).Distinct count

/// Answers a prompt from its text alone, by other means than the generator's.
let private solve (prompt: string) : string =
    let family, body = prompt.Split(' ').[0], prompt.Split(' ').[1].TrimEnd('=')
    let two (mark: char) = let parts = body.Split mark in parts.[0], parts.[1]
    let numbers (mark: char) = body.Split mark |> Array.map bigint.Parse
    let ofChars (chars: char seq) = System.String(Seq.toArray chars)
    match family with
    | "copy" -> body
    | "last" -> body.Substring(body.LastIndexOf ',' + 1)
    | "find" -> let key, pairs = two ':' in string pairs.[pairs.IndexOf key + 1]
    | "rev" -> ofChars (Seq.rev body)
    | "zip" -> let a, b = two ',' in ofChars (Seq.collect (fun i -> [ a.[i]; b.[i] ]) [ 0 .. a.Length - 1 ])
    | "uniq" -> ofChars (Seq.distinct body)
    | "rot" ->
        let shift, word = two ':'
        let circle = "abcdefghijklmnopqrstuvwxyzabcde"
        word |> Seq.map (fun c -> circle.[circle.IndexOf c + int shift]) |> ofChars
    | "cnt" -> let asked, word = two ':' in string (word.Split(asked.[0]).Length - 1)
    | "par" -> string (body.Replace("0", "").Length % 2)
    | "bool" ->
        let rec evaluate (text: string) =
            if text.Length = 1 then
                text = "t"
            else
                let left, right = evaluate (text.Substring(0, text.Length - 2)), text.EndsWith 't'
                match text.[text.Length - 2] with
                | '&' -> left && right
                | '|' -> left || right
                | _ -> left <> right
        if evaluate body then "t" else "f"
    | "cmp" ->
        let parts = numbers '?'
        if parts.[0] < parts.[1] then "<"
        elif parts.[0] > parts.[1] then ">"
        else "."
    | "max" -> string (Array.max (numbers ','))
    | "min" -> string (Array.min (numbers ','))
    | "sort" -> body |> Seq.sort |> ofChars
    | "sum" -> string (Array.sum (numbers '+'))
    | "add" -> string (Array.sum (numbers '+'))
    | "sub" -> let parts = numbers '-' in string (parts.[0] - parts.[1])
    | "mul" -> let parts = numbers '*' in string (parts.[0] * parts.[1])
    | "mod" -> let parts = numbers '%' in string (parts.[0] % parts.[1])
    | "var" ->
        // Resolved from the asked variable backwards, where the generator goes forwards.
        let definitions = body.Split ';' |> Array.filter (fun part -> part.Contains '=')
        let rec value (name: char) =
            let right = (definitions |> Array.find (fun part -> part.[0] = name)).Substring 2
            if System.Char.IsDigit right.[0] then int right
            elif right.[1] = '+' then value right.[0] + int (right.Substring 2)
            else value right.[0] - int (right.Substring 2)
        string (value (Seq.last body))
    | other -> failwith $"no solver for family {other}"

[<Tests>]
let tests =
    testList
        "QueryGenerator"
        [ testCase "the same seed gives the same queries, another seed others"
          <| fun _ ->
              Expect.sequenceEqual (draw 5 QuerySplit.Test 300) (draw 5 QuerySplit.Test 300) "same seed"
              Expect.notEqual (draw 5 QuerySplit.Test 300) (draw 6 QuerySplit.Test 300) "other seed"

          testCase "splits share no prompt, and no prompt occurs twice"
          <| fun _ ->
              let prompts split = draw 1 split 3000 |> Array.map _.Prompt |> Set.ofArray
              let train, calibration, test = prompts QuerySplit.Train, prompts QuerySplit.Calibration, prompts QuerySplit.Test
              for set in [ train; calibration; test ] do
                  Expect.equal set.Count 3000 "distinct"
              for a, b in [ train, calibration; train, test; calibration, test ] do
                  Expect.isEmpty (Set.intersect a b) "disjoint"

          testCase "every family appears at every level"
          <| fun _ ->
              let seen = draw 2 QuerySplit.Train 12_000 |> Array.map (fun q -> q.Family, q.Level) |> Set.ofArray
              for family in QueryGenerator.Families do
                  for level in 1..5 do
                      Expect.isTrue (seen.Contains(family.Name, level)) $"{family.Name} {level}"

          testCase "answers agree with an independent solver"
          <| fun _ ->
              for query in draw 3 QuerySplit.Train 6000 do
                  Expect.equal query.Answer (solve query.Prompt) query.Prompt

          testCase "texts fit a training row and the tokenizer's alphabet"
          <| fun _ ->
              for query in draw 4 QuerySplit.Train 6000 do
                  let tokens = CharacterTokenizer.Nano.Encode(query.Prompt + query.Solution)
                  Expect.isLessThan tokens.Length 96 query.Prompt

          testCase "an unknown family is a fault"
          <| fun _ -> Expect.throwsT<ToolkitException> (fun () -> QueryGenerator(1, QuerySplit.Train, [| "nope" |]) |> ignore) "unknown" ]
