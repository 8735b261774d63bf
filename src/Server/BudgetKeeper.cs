using OptimalStopping.Theory;

namespace OptimalStopping.Server;

/// <summary>
/// Answers requests that choose nothing within a mean cost per query: the price of cost follows what is spent (Theorem 17). May be
/// used from several threads at once.
/// </summary>
/// <remarks>
/// Requests under way at the same time are planned with the same price, so that the excess may pass the theorem's bound by what they
/// cost together. Prices are those of the front, the next higher one: the plan spends no more than the theorem's.
/// </remarks>
internal sealed class BudgetKeeper
{
    private readonly Lock _lock = new();
    private readonly PolicyStore _policies;
    private BudgetState _state;

    /// <param name="budget">Mean cost of a query, in the cascade's units.</param>
    /// <exception cref="ToolkitException">No calibration records, or even the first stage alone costs more.</exception>
    public BudgetKeeper(PolicyStore policies, double budget, double mostCost, long horizon)
    {
        _policies = policies;
        if (policies.Front.Count == 0)
            throw new ToolkitException("budget: expected a cascade with calibration records, got one without");
        ServedPolicy cheapest = policies.Front[0];
        if (budget < cheapest.ExpectedCost)
            throw new ToolkitException(
                FormattableString.Invariant(
                    $"budget: expected at least {cheapest.ExpectedCost:0.####} (what a query costs on average at the least), got {budget}"
                )
            );
        // The plan that is expected to spend as much is where the search begins.
        ServedPolicy likely = policies.Front.LastOrDefault(policy => policy.ExpectedCost <= budget) ?? cheapest;
        _state = Budget.Start(Budget.For(budget, Math.Max(mostCost, budget), cheapest.Lambda, likely.Lambda, horizon));
        Expected = likely;
    }

    /// <summary>The plan of the front that is expected to spend the budget: what the monitors hold the grades against.</summary>
    public ServedPolicy Expected { get; }

    /// <summary>What was spent and what the next request is planned with.</summary>
    public BudgetState State
    {
        get
        {
            lock (_lock)
                return _state;
        }
    }

    /// <summary>The plan for the next request: that of the least price of the front that is no lower than the present one.</summary>
    public ServedPolicy Choose()
    {
        double price = State.Price;
        ServedPolicy plan = _policies.Front.LastOrDefault(policy => policy.Lambda >= price) ?? _policies.Front[0];
        return plan with { Kind = "budget" };
    }

    /// <summary>Takes what a request cost.</summary>
    public void Observe(double cost)
    {
        lock (_lock)
            _state = Budget.Observe(_state, cost);
    }
}
