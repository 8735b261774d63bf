/// Circles in a graph of names: which arrows lie on one, and the shortest way round.
module Architecture.Tests.Circles

open System.Collections.Generic

/// Arrows with what they are made of, such as "Decoder.Run calls Model.Forward".
type Graph = Map<string, Map<string, string>>

/// The graph of the arrows; of several between two nodes the first says why.
let ofArrows (arrows: seq<string * string * string>) : Graph =
    arrows
    |> Seq.filter (fun (a, b, _) -> a <> b)
    |> Seq.groupBy (fun (a, _, _) -> a)
    |> Seq.map (fun (a, out) -> a, out |> Seq.rev |> Seq.map (fun (_, b, why) -> b, why) |> Map.ofSeq)
    |> Map.ofSeq

let private next (graph: Graph) node = graph |> Map.tryFind node |> Option.map (Map.toList >> List.map fst) |> Option.defaultValue []

/// The shortest path along arrows, both ends included; None where there is none.
let path (graph: Graph) (start: string) (goal: string) : string list option =
    let before = Dictionary<string, string>()
    let queue = Queue [ start ]
    while queue.Count > 0 && not (before.ContainsKey goal) do
        let node = queue.Dequeue()
        for following in next graph node do
            if before.TryAdd(following, node) then queue.Enqueue following
    let rec back node tail = if node = start && not (List.isEmpty tail) then node :: tail else back before[node] (node :: tail)
    if before.ContainsKey goal then Some(back before[goal] [ goal ]) else None

/// Every arrow that lies on a circle, with the shortest circle through it, which begins and ends with the arrow's first node.
let all (graph: Graph) : ((string * string) * string list) list =
    [ for KeyValue(a, out) in graph do
          for KeyValue(b, _) in out do
              match path graph b a with
              | Some back -> (a, b), a :: back
              | None -> () ]

/// A circle in words: each arrow with what makes it.
let describe (graph: Graph) (circle: string list) : string =
    let steps = circle |> List.pairwise |> List.map (fun (a, b) -> $"    {a} -> {b}   ({graph[a][b]})")
    String.concat "\n" steps
