namespace OptimalStopping.Theory

/// Rates of Theorem 4.
[<Struct>]
type NestRates = { Eta: float; Gamma: float }

[<RequireQualifiedAccess>]
module NestRates =

    /// The stakes of Certificate A: 1, 4 and 16 times 2 gamma. Any constants are valid. A bet of stake a knows a policy's loss
    /// up to ln(3(N+1)/delta)/a and what it takes from the estimate, a/2 times the sum of loss^2 (1/o - o): little for a
    /// policy that is graded often (o near 1), much for one that hardly ever is. So each policy has its own best stake.
    let stakes (gamma: float) : float[] = [| 2.0 * gamma; 8.0 * gamma; 32.0 * gamma |]

    /// What a bet of stake a > 0 counts of a loss in [0,1] that was graded and had probability `graded` of that:
    /// loss + ln((1 + a loss/graded)/(1 + a loss))/a. What was not graded counts 0. It lies between
    /// loss/(graded + a/2), the estimate of implicit exploration, and loss/graded, and is the loss itself at graded = 1; it
    /// falls as the stake or `graded` rises (paper, section 6). A probability below 1e-12 counts as that: rounding may have left none.
    let betLoss (stake: float, loss: float, graded: float) : float =
        loss + log ((1.0 + stake * loss / max 1e-12 graded) / (1.0 + stake * loss)) / stake

    /// D of Theorem 4: 1 (F), n (B), min(n, ln(1+T)) (S; n below T = 20).
    let depth (feedback: Feedback, stages: int, horizon: float) : float =
        match feedback with
        | Feedback.Full -> 1.0
        | Feedback.StagesRun when horizon >= 20.0 -> min (float stages) (log (1.0 + horizon))
        | _ -> float stages

    /// ln of the largest inverse prior: ln N, or ln 2N with a side expert of prior 1/2.
    let logComparators (policies: int, side: bool) : float = log (float policies) + (if side then log 2.0 else 0.0)

    /// eta and gamma tuned for T queries: eta = sqrt(lnN/(D T)), gamma = eta/2; under F eta = sqrt(8 lnN/T), gamma = 0.
    /// A policy class of one policy without side expert has nothing to learn; its lnN is raised to ln 2.
    let tuned (feedback: Feedback, stages: int, logComparators: float, horizon: int) : NestRates =
        let logN, t = max logComparators (log 2.0), float horizon
        if feedback = Feedback.Full then
            { Eta = sqrt (8.0 * logN / t); Gamma = 0.0 }
        else
            let eta = sqrt (logN / (depth (feedback, stages, t) * t))
            { Eta = eta; Gamma = eta / 2.0 }

    /// The anytime schedule for query t = 1, 2, ...: eta_t = sqrt(lnN/(2 n t)), gamma_t = eta_t/2 (remark after Theorem 4);
    /// under F eta_t = sqrt(8 lnN/t), gamma = 0 (Cesa-Bianchi and Lugosi 2006, Theorem 2.3).
    let anytime (feedback: Feedback, stages: int, logComparators: float, t: int) : NestRates =
        let logN = max logComparators (log 2.0)
        if feedback = Feedback.Full then
            { Eta = sqrt (8.0 * logN / float t); Gamma = 0.0 }
        else
            let eta = sqrt (logN / (2.0 * float stages * float t))
            { Eta = eta; Gamma = eta / 2.0 }
