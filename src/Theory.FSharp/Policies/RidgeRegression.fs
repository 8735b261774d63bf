namespace OptimalStopping.Theory.Policies

open OptimalStopping.Theory

/// Least squares with a quadratic penalty for many targets on one design, with K-fold predictions: every row is also
/// predicted by the fit that did not see its fold. The factorisations are made once; each target then costs two
/// passes over the rows.
///
/// Columns are standardised first, so one penalty (in pseudo-observations) suits all; the constant is not penalised,
/// so a heavy penalty shrinks every prediction to the mean. Column 0 of the design must be the constant 1.
///
/// x: the design, column after column (entry j * rows + i: column j of row i); it is standardised in place.
/// starts: rows starts[f] .. starts[f + 1] - 1 are fold f; one more entry than folds, the last is the number of rows.
[<Sealed>]
type RidgeRegression(x: float[], width: int, starts: int[], penalty: float) =

    let folds = starts.Length - 1
    let rows = starts[folds]

    /// Rows that are worked on together: the columns of so many stay in the processor's cache.
    static let block = 256

    let mean = Array.zeroCreate<float> width
    let inverseScale = Array.create width 1.0

    do
        for j in 1 .. width - 1 do
            let mutable s, ss = 0.0, 0.0
            for i in j * rows .. (j + 1) * rows - 1 do
                s <- s + x[i]
            let m = s / float (max 1 rows)
            for i in j * rows .. (j + 1) * rows - 1 do
                let d = x[i] - m
                ss <- ss + d * d
            let sd = sqrt (ss / float (max 1 rows))
            mean[j] <- m
            // A constant column says nothing: it is switched off.
            inverseScale[j] <- if sd > 1e-9 then 1.0 / sd else 0.0
            for i in j * rows .. (j + 1) * rows - 1 do
                x[i] <- (x[i] - m) * inverseScale[j]

    /// Calls a function with each fold and each block of its rows: first row, number of rows.
    let forBlocks (work: int -> int -> int -> unit) =
        for f in 0 .. folds - 1 do
            let mutable at = starts[f]
            while at < starts[f + 1] do
                let count = min block (starts[f + 1] - at)
                work f at count
                at <- at + count

    let grams =
        let g = Array.init (folds + 1) (fun _ -> Array.zeroCreate<float>(width * width))
        forBlocks (fun f at count ->
            let target = g[f]
            for a in 0 .. width - 1 do
                for b in 0..a do
                    target[a * width + b] <- target[a * width + b] + Columns.dot (x, a * rows + at, x, b * rows + at, count))
        for f in 0 .. folds - 1 do
            for e in 0 .. width * width - 1 do
                g[folds][e] <- g[folds][e] + g[f][e]
        g

    /// Lower Cholesky factor of total - held out + penalty; index folds holds nothing out.
    let factors =
        Array.init (folds + 1) (fun f ->
            let l = Array.copy grams[folds]
            if f < folds then
                for e in 0 .. l.Length - 1 do
                    l[e] <- l[e] - grams[f][e]
            for j in 0 .. width - 1 do
                l[j * width + j] <- l[j * width + j] + (if j = 0 then 1e-9 else penalty + 1e-9)
            for j in 0 .. width - 1 do
                for i in j .. width - 1 do
                    let mutable s = l[i * width + j]
                    for k in 0 .. j - 1 do
                        s <- s - l[i * width + k] * l[j * width + k]
                    l[i * width + j] <- if i = j then sqrt (max s 1e-12) else s / l[j * width + j]
            l)

    let solve (l: float[]) (b: float[]) =
        for i in 0 .. width - 1 do
            let mutable s = b[i]
            for k in 0 .. i - 1 do
                s <- s - l[i * width + k] * b[k]
            b[i] <- s / l[i * width + i]
        for i in width - 1 .. -1 .. 0 do
            let mutable s = b[i]
            for k in i + 1 .. width - 1 do
                s <- s - l[k * width + i] * b[k]
            b[i] <- s / l[i * width + i]

    /// Coefficients for columns that are not standardised, from those for the standardised ones; in place.
    let unscale (beta: float[]) =
        let mutable shift = 0.0
        for j in 1 .. width - 1 do
            beta[j] <- beta[j] * inverseScale[j]
            shift <- shift + beta[j] * mean[j]
        beta[0] <- beta[0] - shift

    /// Fits several targets (one number per row each, in the design's order; longer arrays are allowed). Writes each row's
    /// prediction by the fit without its fold into heldOut, and returns the coefficients of the fits on all rows, for
    /// columns that are not standardised.
    member _.Fit(targets: float[][], heldOut: float[][]) : float[][] =
        // Entry [a][f]: first the products of fold f with target a, then the coefficients of the fit without fold f.
        let b = Array.init targets.Length (fun _ -> Array.init (folds + 1) (fun _ -> Array.zeroCreate<float> width))
        forBlocks (fun f at count ->
            for a in 0 .. targets.Length - 1 do
                let own = b[a][f]
                for j in 0 .. width - 1 do
                    own[j] <- own[j] + Columns.dot (x, j * rows + at, targets[a], at, count))
        for own in b do
            for f in 0 .. folds - 1 do
                for j in 0 .. width - 1 do
                    own[folds][j] <- own[folds][j] + own[f][j]
            for f in 0 .. folds - 1 do
                for j in 0 .. width - 1 do
                    own[f][j] <- own[folds][j] - own[f][j]
            for f in 0..folds do
                solve factors[f] own[f]
        forBlocks (fun f at count ->
            for a in 0 .. targets.Length - 1 do
                let own = b[a][f]
                System.Array.Clear(heldOut[a], at, count)
                for j in 0 .. width - 1 do
                    Columns.addScaled (own[j], x, j * rows + at, heldOut[a], at, count))
        b
        |> Array.map (fun own ->
            unscale own[folds]
            own[folds])

    /// Fits one target.
    member this.Fit(target: float[], heldOut: float[]) : float[] = this.Fit([| target |], [| heldOut |])[0]
