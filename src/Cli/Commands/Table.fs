/// Plain aligned columns on standard output.
module OptimalStopping.Cli.Commands.Table

open System

/// Prints a head and rows of as many cells. The first column is aligned to the left, as are columns whose cells are words.
let print (head: string[]) (rows: string[][]) =
    let numeric (cell: string) =
        cell = "" || Char.IsAsciiDigit cell[0] || cell[0] = '-' || cell[0] = '<' || cell[0] = '>' || cell.StartsWith "B T"
    let width = head |> Array.mapi (fun i title -> rows |> Array.fold (fun w row -> max w row[i].Length) title.Length)
    let right =
        head |> Array.mapi (fun i _ -> i > 0 && rows |> Array.forall (fun row -> numeric row[i] || row[i] = "always" || row[i] = "never"))
    let line (cells: string[]) =
        let padded = cells |> Array.mapi (fun i cell -> if right[i] then cell.PadLeft width[i] else cell.PadRight width[i])
        Console.Out.WriteLine(String.Join("  ", padded).TrimEnd())
    line head
    Array.iter line rows
