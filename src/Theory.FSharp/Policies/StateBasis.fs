namespace OptimalStopping.Theory.Policies

open System

/// How rich the regressions on a state are. Chosen by cross-validation: a small training part gets few columns.
[<Struct>]
type BasisShape =
    {
        /// Interior knots of the piecewise linear function of each confidence rank (0 = a straight line).
        Knots: int
        /// Whether products of the ranks of two stages enter (stages that disagree, stages that confirm each other).
        Products: bool
        /// Whether confidences enter at all; without them the best policy is a single model.
        Confidences: bool
    }

/// What the columns of every state of a policy are made from.
type StateInputs =
    {
        /// The common axis of each stage's confidences.
        Scales: ConfidenceScale[]
        /// Stages that now and then ran without reporting a confidence.
        HasNull: bool[]
        /// Whether agreement between answers is seen.
        HasAnswers: bool
        /// Numbers known before any model runs.
        ContextWidth: int
        Shape: BasisShape
    }

/// The regression columns of one state: a fixed set of stages that have run. Column 0 is the constant 1.
[<Sealed>]
type StateBasis(stages: int[], inputs: StateInputs) =

    let scales, hasNull, hasAnswers = inputs.Scales, inputs.HasNull, inputs.HasAnswers
    let contextWidth, shape = inputs.ContextWidth, inputs.Shape
    let pairs = stages.Length * (stages.Length - 1) / 2
    let knots = Array.init shape.Knots (fun i -> float (i + 1) / float (shape.Knots + 1))
    let nulls = stages |> Array.filter (fun k -> hasNull[k]) |> Array.length

    let width =
        1
        + contextWidth
        + (if shape.Confidences then stages.Length * (1 + knots.Length) + nulls else 0)
        + (if shape.Confidences && shape.Products then pairs else 0)
        + (if shape.Confidences && hasAnswers then pairs else 0)

    member _.Stages = stages
    member _.Width = width

    /// Writes the Width columns of an observation in which the state's stages have run. A confidence that was not
    /// reported counts as the middle rank, with an indicator column where training had such cases.
    member _.Fill(observation: Observation, columns: Span<float>) : unit =
        columns[0] <- 1.0
        let mutable c = 1
        for i in 0 .. contextWidth - 1 do
            columns[c] <- observation.Context[i]
            c <- c + 1
        if shape.Confidences then
            let first = c
            for i in 0 .. stages.Length - 1 do
                let k = stages[i]
                let confidence = observation.Confidence[k]
                let isNull = Double.IsNaN confidence
                let rank = if isNull then 0.5 else scales[k].Rank confidence
                columns[first + i] <- rank - 0.5
                for h in 0 .. knots.Length - 1 do
                    columns[first + stages.Length + i * knots.Length + h] <- max 0.0 (rank - knots[h])
                c <- first + stages.Length * (1 + knots.Length)
            for i in 0 .. stages.Length - 1 do
                if hasNull[stages[i]] then
                    columns[c] <- if Double.IsNaN observation.Confidence[stages[i]] then 1.0 else 0.0
                    c <- c + 1
            if shape.Products then
                for i in 0 .. stages.Length - 1 do
                    for j in i + 1 .. stages.Length - 1 do
                        columns[c] <- columns[first + i] * columns[first + j]
                        c <- c + 1
            if hasAnswers then
                for i in 0 .. stages.Length - 1 do
                    for j in i + 1 .. stages.Length - 1 do
                        columns[c] <-
                            if observation.Answer.IsEmpty then
                                0.0
                            else
                                let a, b = observation.Answer[stages[i]], observation.Answer[stages[j]]
                                if a >= 0 && a = b then 1.0 else 0.0
                        c <- c + 1
