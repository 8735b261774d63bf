/// JSON as a tree that can be broken: names may occur twice, numbers and texts are kept as they are written.
module Fuzz.JsonTree

open System
open System.Text
open System.Text.Json
open Fuzz.Bytes

type Tree =
    | Raw of string
    | Items of Tree list
    | Fields of (string * Tree) list

let rec private ofElement (element: JsonElement) : Tree =
    match element.ValueKind with
    | JsonValueKind.Object -> Fields [ for p in element.EnumerateObject() -> JsonSerializer.Serialize p.Name, ofElement p.Value ]
    | JsonValueKind.Array -> Items [ for item in element.EnumerateArray() -> ofElement item ]
    | _ -> Raw(element.GetRawText())

let parse (text: string) : Tree =
    use document = JsonDocument.Parse text
    ofElement document.RootElement

let rec private write (random: Random) (text: StringBuilder) (tree: Tree) : unit =
    let space () = if chance random 0.02 then text.Append(pick random [| " "; "\n"; "\t"; "\r\n"; "  " |]) |> ignore
    let separated (items: 'a list) (one: 'a -> unit) =
        items
        |> List.iteri (fun i item ->
            if i > 0 then text.Append ',' |> ignore
            space ()
            one item)
    match tree with
    | Raw raw -> text.Append raw |> ignore
    | Items items ->
        text.Append '[' |> ignore
        separated items (write random text)
        text.Append ']' |> ignore
    | Fields fields ->
        text.Append '{' |> ignore
        separated fields (fun (name, value) ->
            text.Append(name).Append(':') |> ignore
            space ()
            write random text value)
        text.Append '}' |> ignore

/// The tree as text, with white space here and there.
let render (random: Random) (tree: Tree) : string =
    let text = StringBuilder()
    write random text tree
    text.ToString()

let private numbers =
    [| "0"
       "-0"
       "-1"
       "1"
       "0.5"
       "1.5"
       "1e9"
       "1e308"
       "1e309"
       "-1e400"
       "1e-400"
       "2147483647"
       "2147483648"
       "4294967296"
       "9223372036854775807"
       "9223372036854775808"
       "18446744073709551616"
       "0.1e1"
       "1E+2"
       "00"
       "01"
       "1."
       "NaN"
       "Infinity"
       "-" |]

let private texts =
    [| "\"\""
       "\"a\""
       "\"\\ud800\""
       "\"\\udc00\\ud800\""
       "\"\\u0000\""
       "\"\\n\""
       "\"\\u001b[31m\""
       "\"../../../etc/passwd\""
       "\"/etc/passwd\""
       "\"a\\\\b\""
       "\"\\ud83d\\ude00\""
       "\"\u00e4\u4e2d\U0001F600\""
       "\"\\x\""
       "\""
       "\"true\""
       "\"1\""
       "\"__metadata__\"" |]

/// A value of any kind, small most of the time; deep or long now and then.
let rec random (source: Random) (depth: int) : Tree =
    match source.Next 12 with
    | 0
    | 1
    | 2 -> Raw(pick source numbers)
    | 3 -> Raw(string (pick source interestingNumbers))
    | 4
    | 5 -> Raw(pick source texts)
    | 6 -> Raw(pick source [| "null"; "true"; "false"; "nul"; "" |])
    | 7 -> Raw("\"" + String('x', size source 5000) + "\"")
    | 8 when chance source 0.3 ->
        let n = size source 300
        Raw(String.replicate n "[" + "1" + String.replicate n "]")
    | 9 when chance source 0.3 -> Raw(String.replicate (size source 300) "{\"a\":")
    | 10 when depth > 0 -> Items [ for _ in 1 .. size source 6 -> random source (depth - 1) ]
    | _ when depth > 0 -> Fields [ for _ in 1 .. size source 5 -> pick source texts, random source (depth - 1) ]
    | _ -> Raw "1"

let rec private count (tree: Tree) : int =
    1
    + (match tree with
       | Raw _ -> 0
       | Items items -> List.sumBy count items
       | Fields fields -> fields |> List.sumBy (fun (_, value) -> count value))

let private edit (source: Random) (tree: Tree) : Tree =
    let removeAt i list = List.removeAt i list
    match tree, source.Next 6 with
    | Items items, 0 when not items.IsEmpty -> Items(removeAt (source.Next items.Length) items)
    | Items items, 1 when not items.IsEmpty -> Items(items @ [ items[source.Next items.Length] ])
    | Items items, 2 -> Items(random source 2 :: items)
    | Items items, 3 when not items.IsEmpty -> Items(List.replicate (1 + size source 200) items.Head @ items.Tail)
    | Fields fields, 0 when not fields.IsEmpty -> Fields(removeAt (source.Next fields.Length) fields)
    | Fields fields, 1 when not fields.IsEmpty -> Fields(fields @ [ fields[source.Next fields.Length] ])
    | Fields fields, 2 -> Fields(fields @ [ pick source texts, random source 2 ])
    | Fields fields, 3 when not fields.IsEmpty ->
        let i, j = source.Next fields.Length, source.Next fields.Length
        Fields(fields |> List.mapi (fun k (name, value) -> (if k = i then fst fields[j] else name), value))
    | Fields fields, 4 when not fields.IsEmpty ->
        let i, j = source.Next fields.Length, source.Next fields.Length
        Fields(fields |> List.mapi (fun k (name, value) -> name, (if k = i then snd fields[j] else value)))
    | _ -> random source 2

/// The tree with one node, chosen evenly, edited or replaced.
let mutateOnce (source: Random) (tree: Tree) : Tree =
    let target = source.Next(count tree)
    let mutable seen = -1
    let rec go tree =
        seen <- seen + 1
        if seen = target then
            edit source tree
        else
            match tree with
            | Raw _ -> tree
            | Items items -> Items(items |> List.map go)
            | Fields fields -> Fields(fields |> List.map (fun (name, value) -> name, go value))
    go tree

/// One to five edits.
let mutate (source: Random) (tree: Tree) : Tree =
    let mutable result = tree
    for _ in 0 .. size source 4 do
        result <- mutateOnce source result
    result
