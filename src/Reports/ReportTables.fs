namespace OptimalStopping.Reports

open System
open Giraffe.ViewEngine
open OptimalStopping.Experiments

/// The tables of the report.
module ReportTables =

    let private text (value: string) = [ str value ]

    let private minus (value: string) = value.Replace('-', '−')

    let private number digits x = minus (Numbers.decimals (digits, x))

    let private signed digits x = minus (Numbers.signed (digits, x))

    let private bracket (low: string) (high: string) = [ str " "; small [] [ str $"[{low}, {high}]" ] ]

    let private interval digits low high =
        if Double.IsNaN low || Double.IsNaN high then [] else bracket (signed digits low) (signed digits high)

    /// Headings in one text, separated by bars; "d_z" is set with a subscript.
    let private headings (all: string) =
        [ for heading in all.Split '|' ->
              match heading.Split '_' with
              | [| symbol; index |] -> [ str symbol; sub [] [ str index ] ]
              | _ -> text heading ]

    /// A sentence that Table 1 may hold too, with its symbols.
    let prose (sentence: string) : XmlNode list =
        let parts = sentence.Replace("lambda", "λ").Replace("%", "\u00a0%").Split "d_z"
        [ str parts[0]
          for part in parts[1..] do
              str "d"
              sub [] [ str "z" ]
              str part ]

    /// Table 1, with the tests that the paper's version leaves out.
    let comparisons (data: RunData) : XmlNode =
        let p (shown: string) =
            match shown with
            | "<1e-4" -> [ str "<\u202f10"; sup [] [ str "−4" ] ]
            | shown -> text shown
        let resampled (row: PolicyComparison) value = p (Table1.pValue row value)
        let verdict (row: PolicyComparison) =
            match row.Verdict with
            | 1 -> [ span [ _class "better" ] [ str "better" ] ]
            | -1 -> [ span [ _class "worse" ] [ str "worse" ] ]
            | _ -> text (if row.Tested then "not significant" else "not tested")
        let cells (row: PolicyComparison) =
            [ text (Table1.baseline data row.Baseline)
              text (Numbers.parameter row.Lambda)
              str (signed 4 row.Difference) :: interval 4 row.CiLow row.CiHigh
              verdict row
              resampled row row.PPermutation
              resampled row row.PHolm
              str (signed 2 row.Dz) :: interval 2 row.DzLow row.DzHigh
              str (signed 2 row.PairedDelta) :: interval 2 row.PairedDeltaLow row.PairedDeltaHigh
              str (signed 2 row.CliffDelta) :: interval 2 row.CliffDeltaLow row.CliffDeltaHigh
              text $"{number 3 row.QualityDefault} / {number 3 row.QualityBaseline}"
              text $"{number 2 row.CostDefault} / {number 2 row.CostBaseline}"
              resampled row row.PBh
              p (Numbers.pValue row.PWilcoxon)
              p (Numbers.pValue row.PT)
              text (signed 2 row.Gz)
              text (string row.Pairs) ]
        let heads =
            "baseline|λ|utility difference|default is|p permutation|p Holm|d_z|paired δ|Cliff’s δ|quality default / its|cost default / its|"
            + "p BH|p Wilcoxon|p t|g_z|pairs"
        Table1.groups (data.Table<PolicyComparison>())
        |> Seq.collect (fun (struct (_, rows)) -> rows |> Seq.map cells)
        |> Page.table (headings heads)

    /// Slopes and bounds of the regret experiment.
    let slopes (data: RunData) : XmlNode =
        let cells (s: RegretGrowth) =
            let ratio = s.BoundFinal / s.RegretFinal
            [ text (Figure1a.heading s.Instance)
              text s.Learner
              text s.Feedback
              str (number 2 s.Slope) :: (if Double.IsNaN s.SlopeLow then [] else bracket (number 2 s.SlopeLow) (number 2 s.SlopeHigh))
              text (number 1 s.RegretFinal)
              text (number 1 s.BoundFinal)
              text (if Double.IsFinite ratio && s.RegretFinal > 0.0 then number 1 ratio else "–")
              text s.Theorem
              text (number 0 s.TFinal) ]
        data.Table<RegretGrowth>()
        |> Seq.map cells
        |> Page.table (headings "instance|learner|feedback|slope|regret|bound|bound / regret|theorem|T")

    /// Every confidence feature of every stage.
    let features (data: RunData) : XmlNode =
        data.Table<FeatureQuality>()
        |> Seq.map (fun s ->
            [ text $"{s.Stage}: {s.Model}"; text s.Feature; text (number 3 s.Auroc); text (number 3 s.Ece); text (number 3 s.Brier) ])
        |> Page.table (headings "stage|feature|AUROC|ECE|Brier score")

    /// Settings of the run as they stand in its manifest.
    let manifest (data: RunData) : XmlNode =
        data.Settings |> Seq.map (fun (struct (key, value)) -> [ text key; text value ]) |> Page.table [ text "setting"; text "value" ]

    let private finite digits x = if Double.IsFinite x then Numbers.decimals (digits, x) else ""

    let private ratio digits x low high = [ str (finite digits x + " "); small [] [ str $"[{finite digits low}, {finite digits high}]" ] ]

    /// Fixed draft lengths: what was counted and what the formulas say.
    let private counts (rows: SpeculationCount[]) =
        rows
        |> Seq.map (fun c ->
            [ text c.Target
              text c.Chain
              text (string c.Length)
              text (finite 3 c.Acceptance)
              text (finite 3 c.TokensPerForward)
              text (finite 3 c.FormulaFinite)
              text (finite 3 c.Formula)
              text (Numbers.pValue c.IndependenceP)
              text (string c.DifferentTokens) ])
        |> Page.table (
            headings
                "target|chain|draft length|acceptance|tokens per forward|formula, answers end|formula, endless|p of independence|tokens that differ"
        )

    let private times (rows: SpeculationTime[]) =
        rows
        |> Seq.map (fun t ->
            [ text t.Target
              text t.Chain
              text t.Length
              text (finite 2 t.TokensPerForward)
              text (finite 1 (1e6 * t.SecondsPerToken))
              ratio 2 t.Speedup t.SpeedupLow t.SpeedupHigh
              text (finite 2 t.FormulaSpeedup) ])
        |> Page.table (headings "target|chain|draft length|tokens per forward|µs per token|speed-up|by the formula")

    let private adaptive (rows: SpeculationAdaptive[]) =
        let lengths even odd = text (if even = odd then string even else $"{even}, {odd}")
        rows
        |> Seq.map (fun a ->
            [ text a.Target
              text a.Chain
              lengths a.BestEven a.BestOdd
              ratio 3 a.AgainstBest a.AgainstBestLow a.AgainstBestHigh
              ratio 3 a.AgainstBestTotal a.AgainstBestTotalLow a.AgainstBestTotalHigh
              ratio 3 a.Fresh a.FreshLow a.FreshHigh
              lengths a.WorstEven a.WorstOdd
              ratio 2 a.AgainstWorst a.AgainstWorstLow a.AgainstWorstHigh
              ratio 3 a.Twin a.TwinLow a.TwinHigh ])
        |> Page.table (
            headings
                "target|chain|best length|its time over adaptive's|by means|from nothing|worst length|its time over adaptive's|length 3 over itself"
        )

    let private drafts (rows: DraftFeatures[]) =
        rows
        |> Seq.map (fun s ->
            [ text s.Drafter
              text s.Verifier
              text (finite 3 s.AcceptedFraction)
              text (finite 3 s.ForwardsShare)
              text (finite 4 s.AurocWithout)
              text (finite 4 s.AurocWith)
              text (finite 4 s.BrierWithout)
              text (finite 4 s.BrierWith) ])
        |> Page.table (headings "drafter|verifier|accepted|forwards, share|AUROC without|with the verdict|Brier without|with the verdict")

    /// What the cascade saves on the clock, and the prices that it was planned with.
    let savings (data: RunData) : XmlNode list =
        [ Page.paragraph (
              "The default policy against the largest model alone, the same questions in turn on this machine; medians of several "
              + "rounds, speed-ups with 95 % intervals over the questions. The policy is planned with prices of tokens that were measured "
              + "on calibration questions; charged is what it saves at those prices."
          )
          data.Table<Saving>()
          |> Seq.map (fun s ->
              [ text $"{100.0 * s.Target:F0} %%"
                text (if s.Mode = "one" then "one by one" else s.Mode)
                text (string s.Threads)
                ratio 1 (100.0 * s.Kept) (100.0 * s.KeptLow) (100.0 * s.KeptHigh)
                ratio 2 s.Speedup s.SpeedupLow s.SpeedupHigh
                text (number 2 s.ChargedSaving)
                ratio 2 s.ReuseSpeedup s.ReuseSpeedupLow s.ReuseSpeedupHigh
                text (number 1 (100.0 * s.Slower)) ])
          |> Page.table (
              headings
                  "quality to keep|asked|threads|quality kept, %|times as fast|charged, times cheaper|reuse of answers, times as fast|slower, % of questions"
          )
          data.Table<MeasuredPrice>()
          |> Seq.map (fun p ->
              [ text p.Model
                text (number 0 p.InputCost)
                text (number 0 p.OutputCost)
                text (number 3 (1000.0 * p.SecondsPerAnswer))
                text (number 2 p.CostPerAnswer)
                text (number 1 (100.0 * p.Quality)) ])
          |> Page.table (headings "model|a million tokens read|a million tokens written|ms an answer|cost of an answer|accuracy, %") ]

    /// What it brings that a larger model may only read the answer that is there.
    let looks (data: RunData) : XmlNode list =
        [ Page.paragraph (
              "A look: a larger model reads the answer that is there, and its log-probabilities say how sure it is of it. The planner "
              + "may stop, ask or look. Gain is quality less the price of cost, with looks over without, on test questions with 95 % "
              + "intervals; costs in units in which an answer of the largest model costs 10. Published: the first and the last model at "
              + "the speeds that the Qwen3 documentation gives for Qwen3-0.6B and Qwen3-8B on a GPU."
          )
          data.Table<LookPoint>()
          |> Seq.map (fun p ->
              [ text p.Setting
                text (number 4 p.Lambda)
                text (number 3 p.QualityWithout)
                text (number 2 p.CostWithout)
                text (number 3 p.QualityWith)
                text (number 2 p.CostWith)
                ratio 4 p.Gain p.GainLow p.GainHigh
                text (number 2 p.Looks) ])
          |> Page.table (headings "prices|lambda|quality without|cost|quality with looks|cost|gain|looks a question")
          data.Table<LookQuality>()
          |> Seq.map (fun s ->
              [ text s.Setting
                text s.Writer
                text s.Looker
                text (number 2 s.LookCost)
                text (number 2 s.AnswerCost)
                text (number 3 s.AurocOfWriter)
                text (number 3 s.AurocWithLook) ])
          |> Page.table (headings "prices|writer|looking model|cost of a look|of its own answer|AUROC of the writer|with the look") ]

    /// The tables of the speculative experiment, with what they mean.
    let speculation (data: RunData) : XmlNode list =
        let shown (rows: 'row[]) (table: 'row[] -> XmlNode) = if rows.Length > 0 then [ table rows ] else []
        [ Page.paragraph (
              "Answers are token for token those of the target alone. All rows took turns on each prompt. Times are "
              + "sums of each prompt's median over rounds, with 95 % bootstrap intervals over the prompts; they are this machine's."
          )
          yield! shown (data.Table()) times
          Page.paragraph (
              "The adaptive draft length against fixed ones: above 1 it is faster. The best and the worst length are chosen on one half "
              + "of the rounds and timed on the other, both ways round. By means, what adaptive spends on planning counts too; from nothing, "
              + "so does what it learns in the first requests of a server. The last "
              + "column times two decoders that do not differ: what the measurement can tell apart."
          )
          yield! shown (data.Table()) adaptive
          Page.paragraph (
              "Tokens per forward of the target against the formula at the measured acceptance rate. The formula assumes that "
              + "acceptance is the same at every position of a draft; a small p says that it is not."
          )
          yield! shown (data.Table()) counts
          Page.paragraph (
              "A later stage that verifies the earlier stage's answer: share of the forwards that it still makes, and what its "
              + "opinion of the draft adds to the confidence in its own answer."
          )
          yield! shown (data.Table()) drafts ]
