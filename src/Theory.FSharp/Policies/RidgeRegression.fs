namespace OptimalStopping.Theory.Policies

open System

/// Least squares with a quadratic penalty for many targets on one design, with K-fold predictions: every row is also
/// predicted by the fit that did not see its fold. The factorisations are made once; each target then costs two
/// passes over the rows.
///
/// Columns are standardised first, so one penalty (in pseudo-observations) suits all; the constant is not penalised,
/// so a heavy penalty shrinks every prediction to the mean. Column 0 of the design must be the constant 1.
[<Sealed>]
type RidgeRegression(x: float[], rows: int, width: int, fold: int[], folds: int, penalty: float) =

    let mean = Array.zeroCreate<float> width
    let inverseScale = Array.create width 1.0

    do
        for j in 1 .. width - 1 do
            let mutable s, ss = 0.0, 0.0
            for i in 0 .. rows - 1 do
                s <- s + x[i * width + j]
            let m = s / float (max 1 rows)
            for i in 0 .. rows - 1 do
                let d = x[i * width + j] - m
                ss <- ss + d * d
            let sd = sqrt (ss / float (max 1 rows))
            mean[j] <- m
            // A constant column says nothing: it is switched off.
            inverseScale[j] <- if sd > 1e-9 then 1.0 / sd else 0.0
            for i in 0 .. rows - 1 do
                x[i * width + j] <- (x[i * width + j] - m) * inverseScale[j]

    let grams =
        let g = Array.init (folds + 1) (fun _ -> Array.zeroCreate<float>(width * width))
        for i in 0 .. rows - 1 do
            let target = g[fold[i]]
            let o = i * width
            for a in 0 .. width - 1 do
                let xa = x[o + a]
                for b in 0..a do
                    target[a * width + b] <- target[a * width + b] + xa * x[o + b]
        for f in 0 .. folds - 1 do
            for e in 0 .. width * width - 1 do
                g[folds][e] <- g[folds][e] + g[f][e]
        g

    /// Lower Cholesky factor of total - held out + penalty; index folds holds nothing out.
    let factors =
        let gram = grams
        Array.init (folds + 1) (fun f ->
            let l = Array.copy gram[folds]
            if f < folds then
                for e in 0 .. l.Length - 1 do
                    l[e] <- l[e] - gram[f][e]
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

    /// Fits one target (one number per row). Writes each row's prediction by the fit without its fold into heldOut
    /// and returns the coefficients of the fit on all rows, for columns that are not standardised.
    member _.Fit(target: float[], heldOut: float[]) : float[] =
        let b = Array.init (folds + 1) (fun _ -> Array.zeroCreate<float> width)
        for i in 0 .. rows - 1 do
            let bf = b[fold[i]]
            let y = target[i]
            let o = i * width
            for j in 0 .. width - 1 do
                bf[j] <- bf[j] + y * x[o + j]
        for f in 0 .. folds - 1 do
            for j in 0 .. width - 1 do
                b[folds][j] <- b[folds][j] + b[f][j]
        for f in 0 .. folds - 1 do
            for j in 0 .. width - 1 do
                b[f][j] <- b[folds][j] - b[f][j]
        for f in 0..folds do
            solve factors[f] b[f]
        for i in 0 .. rows - 1 do
            let bf = b[fold[i]]
            let o = i * width
            let mutable s = 0.0
            for j in 0 .. width - 1 do
                s <- s + bf[j] * x[o + j]
            heldOut[i] <- s
        let all = b[folds]
        let mutable shift = 0.0
        for j in 1 .. width - 1 do
            all[j] <- all[j] * inverseScale[j]
            shift <- shift + all[j] * mean[j]
        all[0] <- all[0] - shift
        all
