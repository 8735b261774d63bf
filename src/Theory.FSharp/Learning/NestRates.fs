namespace OptimalStopping.Theory

/// Rates of Theorem 4.
[<Struct>]
type NestRates = { Eta: float; Gamma: float }

[<RequireQualifiedAccess>]
module NestRates =

    /// How much larger the second gamma of Certificate A is than the learner's. Any constant is valid. A larger one has less
    /// slack ln(N/delta)/(2 gamma) and takes more from the estimates of policies that are rarely graded; 2 was the best of 2,
    /// 3.5 and 8 on the recorded ladder.
    let damping = 2.0

    /// D of Theorem 4: 1 (F), n (B), min(n, ln(1+T)) (S; n below T = 20).
    let depth (feedback: Feedback, stages: int, horizon: float) : float =
        match feedback with
        | Feedback.Full -> 1.0
        | Feedback.StagesRun when horizon >= 20.0 -> min (float stages) (log (1.0 + horizon))
        | _ -> float stages

    /// ln of the largest inverse prior: ln N, or ln 2N with a side expert of prior 1/2.
    let logComparators (policies: int, side: bool) : float = log (float policies) + (if side then log 2.0 else 0.0)

    /// eta and gamma tuned for T queries: eta = sqrt(lnN/(D T)), gamma = eta/2; under F eta = sqrt(8 lnN/T), gamma = 0.
    /// A menu of one policy without side expert has nothing to learn; its lnN is raised to ln 2.
    let tuned (feedback: Feedback, stages: int, logComparators: float, horizon: int) : NestRates =
        let logN, t = max logComparators (log 2.0), float horizon
        if feedback = Feedback.Full then { Eta = sqrt (8.0 * logN / t); Gamma = 0.0 }
        else
            let eta = sqrt (logN / (depth (feedback, stages, t) * t))
            { Eta = eta; Gamma = eta / 2.0 }

    /// The anytime schedule for query t = 1, 2, ...: eta_t = sqrt(lnN/(2 n t)), gamma_t = eta_t/2 (remark after Theorem 4);
    /// under F eta_t = sqrt(8 lnN/t), gamma = 0 (Cesa-Bianchi and Lugosi 2006, Theorem 2.3).
    let anytime (feedback: Feedback, stages: int, logComparators: float, t: int) : NestRates =
        let logN = max logComparators (log 2.0)
        if feedback = Feedback.Full then { Eta = sqrt (8.0 * logN / float t); Gamma = 0.0 }
        else
            let eta = sqrt (logN / (2.0 * float stages * float t))
            { Eta = eta; Gamma = eta / 2.0 }
