namespace OptimalStopping.Theory

/// When does a table of stop advantages D(s) = mu(s) - Q(s), s = 0 .. m-1 from the least to the most sure bin, amount
/// to a threshold? A policy that stops iff D(s) >= 0 is "stop iff s >= theta" exactly when D crosses zero once,
/// upwards.
[<RequireQualifiedAccess>]
module SingleCrossing =

    /// Advantages this close to 0 are ties: rounding must not decide whether a table has a threshold.
    [<Literal>]
    let Tolerance = 1e-12

    /// True when stopping stays optimal (D >= 0) in every bin above one in which it is strictly better, and no bin
    /// below the threshold is strictly for stopping. Bins at a tie fit either side.
    let holds (advantages: float[]) : bool =
        let firstStop = advantages |> Array.tryFindIndex (fun d -> d > Tolerance)
        match firstStop with
        | None -> true
        | Some s -> advantages[s..] |> Array.forall (fun d -> d >= -Tolerance)

    /// The least threshold consistent with the table: the smallest s such that D >= 0 in s and in every bin above;
    /// m (one past the last bin: never stop) if D < 0 in the last bin. It is optimal iff `holds`.
    let threshold (advantages: float[]) : int =
        let lastContinue = advantages |> Array.tryFindIndexBack (fun d -> d < -Tolerance)
        match lastContinue with
        | None -> 0
        | Some s -> s + 1
