namespace OptimalStopping.Theory

open System.Runtime.Intrinsics

/// Sums over long columns. The order of every sum is fixed (eight lanes in four partial sums, no fused operations), so a
/// result is the same to the last bit on every processor, whatever the width of its vectors.
module internal Columns =

    let private lanes = 8

    /// Sum of x[xAt + i] y[yAt + i] over i < count.
    let dot (x: float[], xAt: int, y: float[], yAt: int, count: int) : float =
        let mutable s0, s1 = Vector512<float>.Zero, Vector512<float>.Zero
        let mutable s2, s3 = Vector512<float>.Zero, Vector512<float>.Zero
        let mutable i = 0
        if count >= lanes then
            let a = &x[xAt]
            let b = &y[yAt]
            while i + 4 * lanes <= count do
                let at = unativeint i
                s0 <- s0 + Vector512.LoadUnsafe(&a, at) * Vector512.LoadUnsafe(&b, at)
                s1 <- s1 + Vector512.LoadUnsafe(&a, at + 8un) * Vector512.LoadUnsafe(&b, at + 8un)
                s2 <- s2 + Vector512.LoadUnsafe(&a, at + 16un) * Vector512.LoadUnsafe(&b, at + 16un)
                s3 <- s3 + Vector512.LoadUnsafe(&a, at + 24un) * Vector512.LoadUnsafe(&b, at + 24un)
                i <- i + 4 * lanes
            while i + lanes <= count do
                s0 <- s0 + Vector512.LoadUnsafe(&a, unativeint i) * Vector512.LoadUnsafe(&b, unativeint i)
                i <- i + lanes
        let total = (s0 + s1) + (s2 + s3)
        let mutable sum = 0.0
        for k in 0 .. lanes - 1 do
            sum <- sum + total.GetElement k
        while i < count do
            sum <- sum + x[xAt + i] * y[yAt + i]
            i <- i + 1
        sum

    /// Adds factor * x[xAt + i] to y[yAt + i] for i < count.
    let addScaled (factor: float, x: float[], xAt: int, y: float[], yAt: int, count: int) : unit =
        let mutable i = 0
        if count >= lanes then
            let a = &x[xAt]
            let b = &y[yAt]
            let scale = Vector512.Create factor
            while i + lanes <= count do
                (Vector512.LoadUnsafe(&b, unativeint i) + scale * Vector512.LoadUnsafe(&a, unativeint i)).StoreUnsafe(&b, unativeint i)
                i <- i + lanes
        while i < count do
            y[yAt + i] <- y[yAt + i] + factor * x[xAt + i]
            i <- i + 1
