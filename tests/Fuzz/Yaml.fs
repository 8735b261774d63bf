/// YAML text: lines of real files moved about, tokens that the grammar cares for, nesting, anchors and aliases.
module Fuzz.Yaml

open System
open System.Text
open Fuzz.Bytes

let tokens: string[] =
    [| "["
       "]"
       "{"
       "}"
       ":"
       ": "
       "- "
       "? "
       ","
       "&a "
       "*a"
       "*b"
       "<<: *a"
       "|\n  x"
       ">\n  x"
       "'"
       "\""
       "!!binary "
       "!!int "
       "!x "
       "%YAML 1.2\n"
       "%TAG ! tag:x\n"
       "---\n"
       "...\n"
       "#"
       "\t"
       "\n"
       "\r\n"
       "\"\\0\""
       "\"\\e[31m\""
       "\"\\ud800\""
       "\"\\x41\""
       "~"
       "null"
       "true"
       ".nan"
       ".inf"
       "1e999"
       "-1"
       "99999999999999999999"
       "0x10"
       "\uFEFF"
       "\u0085"
       "\u2028"
       "name: "
       "stages:"
       "path: "
       "cost: " |]

/// Nested flow or block collections, up to thousands of levels.
let private nested (random: Random) : string =
    let n = size random 4000
    match random.Next 5 with
    | 0 -> String.replicate n "["
    | 1 -> String.replicate n "{a: "
    | 2 -> String.replicate n "[" + String.replicate n "]"
    | 3 -> [ for i in 0 .. min n 300 -> String(' ', i) + "a:" ] |> String.concat "\n"
    | _ -> String.replicate (min n 500) "- " + "x"

/// Anchors that name each other: 9^n items where aliases are copied.
let private laughs (random: Random) : string =
    let n = 1 + size random 30
    [ for i in 0..n ->
          let content = if i = 0 then "x" else String.Join(", ", Array.replicate 9 $"*a{i - 1}")
          if chance random 0.3 then $"? &a{i} [{content}]\n: 1" else $"k{i}: &a{i} [{content}]" ]
    |> String.concat "\n"

let private editLines (random: Random) (text: string) : string =
    let lines = text.Split '\n'
    let i, j = random.Next lines.Length, random.Next lines.Length
    let at k (line: string) = lines |> Array.mapi (fun n l -> if n = k then line else l)
    let result =
        match random.Next 8 with
        | 0 -> Array.removeAt i lines
        | 1 -> Array.insertAt i lines[j] lines
        | 2 ->
            lines
            |> Array.mapi (fun n l ->
                if n = i then lines[j]
                elif n = j then lines[i]
                else l)
        | 3 -> at i (String(' ', size random 12) + lines[i].TrimStart())
        | 4 -> at i (lines[i] + pick random tokens)
        | 5 ->
            let colon = lines[i].IndexOf ':'
            if colon < 0 then
                at i (pick random tokens)
            else
                at
                    i
                    (lines[i].Substring(0, colon + 1)
                     + " "
                     + (if chance random 0.3 then string (pick random interestingNumbers) else pick random tokens))
        | 6 -> at i (nested random)
        | _ -> Array.insertAt i (if chance random 0.2 then laughs random else pick random tokens) lines
    String.Join('\n', result)

let mutate (random: Random) (text: string) : string =
    let mutable result = text
    for _ in 0 .. size random 5 do
        result <- editLines random result
    if chance random 0.3 then
        let at = random.Next(result.Length + 1)
        result <- StringBuilder(result).Insert(at, pick random tokens).ToString()
    result
