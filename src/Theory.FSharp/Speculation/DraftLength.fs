namespace OptimalStopping.Theory

open System

/// Speculative decoding with a fixed draft length (Leviathan, Kalman and Matias 2023): each drafted token is accepted
/// independently with probability alpha, a draft token costs c target passes, verification costs one.
[<RequireQualifiedAccess>]
module DraftLength =

    let private check (acceptance: float) (length: int) =
        if not (acceptance >= 0.0 && acceptance <= 1.0) then
            raise (ArgumentOutOfRangeException("acceptance", acceptance, "expected a number in [0,1]"))
        if length < 0 then raise (ArgumentOutOfRangeException("length", length, "expected at least 0"))

    let private checkCost (costRatio: float) =
        if not (costRatio > 0.0 && Double.IsFinite costRatio) then
            raise (ArgumentOutOfRangeException("costRatio", costRatio, "expected a finite number above 0"))

    /// Expected tokens per verification, the target's own token included: (1 - alpha^(g+1)) / (1 - alpha), g+1 at
    /// alpha = 1.
    let expectedTokens (acceptance: float, length: int) : float =
        check acceptance length
        // The sum itself: no cancellation near alpha = 1.
        let mutable tokens, power = 1.0, 1.0
        for _ in 1..length do
            power <- power * acceptance
            tokens <- tokens + power
        tokens

    /// P(a verification yields exactly i+1 tokens), i = 0 .. length: alpha^i (1 - alpha) below the end, alpha^length
    /// at it.
    let tokenDistribution (acceptance: float, length: int) : float[] =
        check acceptance length
        Array.init (length + 1) (fun i -> acceptance ** float i * (if i < length then 1.0 - acceptance else 1.0))

    /// Speed-up over the target alone: expectedTokens / (1 + c g).
    let speedup (acceptance: float, length: int, costRatio: float) : float =
        checkCost costRatio
        expectedTokens (acceptance, length) / (1.0 + costRatio * float length)

    /// Theorem 12: the draft length of greatest speed-up, the least g >= 0 with alpha^(g+1) (1 + c g) <= c E(alpha, g):
    /// stop when the next token's chance of survival no longer exceeds c times the current speed-up. At least 1 iff
    /// alpha > c. Requires alpha in [0,1) (at 1 longer is always better) and c > 0. The speed-up is unimodal, so that
    /// the first local maximum is global.
    let optimal (acceptance: float, costRatio: float) : int =
        check acceptance 0
        checkCost costRatio
        if acceptance = 1.0 then raise (ArgumentOutOfRangeException(nameof acceptance, acceptance, "expected less than 1"))
        let rec search length tokens survival =
            if survival * (1.0 + costRatio * float length) <= costRatio * tokens then
                length
            else
                search (length + 1) (tokens + survival) (survival * acceptance)
        search 0 1.0 acceptance
