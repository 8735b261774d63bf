namespace OptimalStopping.Theory

open System

/// What a budget on the mean cost of a query asks for (Theorem 17).
type BudgetSettings =
    {
        /// Mean cost of a query that may be spent, above 0.
        Budget: float
        /// Most that one query can cost; at least Budget.
        MostCost: float
        /// A price of cost from which on a plan spends at most Budget on every query, above 0: where going on can never pay.
        Ceiling: float
        /// How much the price moves for one unit of cost above or below the budget, above 0.
        Step: float
        /// The price that the first query is planned with, in [0, Ceiling].
        Start: float
    }

/// The price of cost after some queries.
type BudgetState =
    {
        Settings: BudgetSettings
        /// What the next query is to be planned with; at least 0.
        Price: float
        Queries: int64
        /// Cost of all queries so far.
        Spent: float
    }

    /// Cost beyond the budget so far; below 0 where less was spent.
    member this.Excess = this.Spent - float this.Queries * this.Settings.Budget

/// Keeps the mean cost of a stream of queries near a budget: each query is planned with a price of cost, and the price moves with what
/// was spent (dual ascent; Theorem 17). Bounds on the excess hold for every sequence of queries, bounds on the quality for
/// queries drawn independently of each other.
[<RequireQualifiedAccess>]
module Budget =

    let private check (settings: BudgetSettings) =
        let require name (value: float) (holds: bool) (expected: string) =
            if not (holds && Double.IsFinite value) then raise (ArgumentOutOfRangeException(name, value, $"expected {expected}"))
        require (nameof settings.Budget) settings.Budget (settings.Budget > 0.0) "a finite number above 0"
        require (nameof settings.MostCost) settings.MostCost (settings.MostCost >= settings.Budget) "a finite number of at least the budget"
        require (nameof settings.Ceiling) settings.Ceiling (settings.Ceiling > 0.0) "a finite number above 0"
        require (nameof settings.Step) settings.Step (settings.Step > 0.0) "a finite number above 0"
        require (nameof settings.Start) settings.Start (settings.Start >= 0.0 && settings.Start <= settings.Ceiling) "0 to the ceiling"

    /// Settings whose two bounds shrink together: Step = Ceiling / (MostCost sqrt(horizon)), horizon at least 1.
    [<CompiledName "For">]
    let settings (budget: float, mostCost: float, ceiling: float, start: float, horizon: int64) : BudgetSettings =
        if horizon < 1L then raise (ArgumentOutOfRangeException(nameof horizon, horizon, "expected at least 1"))
        let settings =
            { Budget = budget
              MostCost = mostCost
              Ceiling = ceiling
              Step = ceiling / (mostCost * sqrt (float horizon))
              Start = start }
        check settings
        settings

    /// Before any query. Raises ArgumentOutOfRangeException for settings outside their domains.
    [<CompiledName "Start">]
    let start (settings: BudgetSettings) : BudgetState =
        check settings
        { Settings = settings; Price = settings.Start; Queries = 0L; Spent = 0.0 }

    /// Takes what a query cost, in [0, MostCost]; more than that counts in full, but is outside of the theorem. O(1).
    [<CompiledName "Observe">]
    let observe (state: BudgetState, cost: float) : BudgetState =
        if not (cost >= 0.0 && Double.IsFinite cost) then
            raise (ArgumentOutOfRangeException(nameof cost, cost, "expected a finite number of at least 0"))
        { state with
            Price = max 0.0 (state.Price + state.Settings.Step * (cost - state.Settings.Budget))
            Queries = state.Queries + 1L
            Spent = state.Spent + cost }

    /// Most that Excess can ever be, for every sequence of queries (Theorem 17(a)): (Ceiling - Start)/Step + MostCost.
    [<CompiledName "ExcessBound">]
    let excessBound (settings: BudgetSettings) : float =
        check settings
        (settings.Ceiling - settings.Start) / settings.Step + settings.MostCost

    /// Most quality that so many queries lose on average, in sum, against the best mixture of policies within the budget (Theorem
    /// 17(b)): horizon (suboptimality + Step MostCost^2/2) + Start^2/(2 Step). Suboptimality, at least 0, is how much each plan may
    /// lack of the best for its price.
    [<CompiledName "RegretBound">]
    let regretBound (settings: BudgetSettings, horizon: int64, suboptimality: float) : float =
        check settings
        if not (suboptimality >= 0.0) then
            raise (ArgumentOutOfRangeException(nameof suboptimality, suboptimality, "expected at least 0"))
        float horizon * (suboptimality + settings.Step * settings.MostCost * settings.MostCost / 2.0)
        + settings.Start * settings.Start / (2.0 * settings.Step)
