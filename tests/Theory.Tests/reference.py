"""Reference values of ReferenceTests.fs, from formulas as the paper prints them and from scipy's distributions and root
finders; shares no code with src/. Run: python3 tests/Theory.Tests/reference.py (scipy 1.10.1 when the values were taken)."""
from math import ceil, exp, log, pi, sqrt
import numpy as np
from scipy import optimize, stats

sleep = [-1.2, -2.4, -1.3, -1.3, 0.0, -1.0, -1.8, -0.8, -4.6, -1.4]  # drug 1 minus drug 2 (Cushny and Peebles 1905)
for margin in (1.0, 2.0):
    r = stats.ttest_1samp(sleep, -margin, alternative="greater")
    print("non-inferiority", margin, repr(r.statistic), repr(r.pvalue))
d = np.array(sleep)
print("lower limit .05", repr(d.mean() - stats.t.ppf(0.95, 9) * d.std(ddof=1) / sqrt(10)))

b, c = 9, 3
k, n = min(b, c), b + c
print("McNemar mid-p 9, 3", repr(2 * stats.binom.cdf(k - 1, n, 0.5) + stats.binom.pmf(k, n, 0.5)))

kl = lambda p, q: (p * log(p / q) if p > 0 else 0) + ((1 - p) * log((1 - p) / (1 - q)) if p < 1 else 0)
def hb(r, m, alpha):
    return min(1, exp(-m * kl(min(r, alpha), alpha)), exp(1) * stats.binom.cdf(ceil(m * r), m, alpha))
for r, m, alpha in ((0.123, 57, 0.2), (0.05, 200, 0.1), (0.3, 40, 0.2)):
    print("Hoeffding-Bentkus", r, m, alpha, repr(hb(r, m, alpha)))

for p, e in ((0.2, 0.1), (0.9, 0.02), (0.5, 1.0)):
    print("klUCB", p, e, repr(optimize.brentq(lambda x: kl(p, x) - e, p, 1 - 1e-15, xtol=1e-15)))

v, m, delta, B = 0.04, 250, 0.05, 1.3
print("empirical Bernstein", repr(sqrt(2 * v * log(2 / delta) / m) + 7 * B * log(2 / delta) / (3 * (m - 1))))

# Waudby-Smith and Ramdas's predictable plug-in empirical-Bernstein interval after each observation.
xs, alpha = [0.2, 0.9, 0.4, 0.4, 1.0, 0.0, 0.7], 0.1
low, high, mu, var, sl, slx, sv = 0.0, 1.0, 0.5, 0.25, 0.0, 0.0, 0.0
for i, x in enumerate(xs, 1):
    lam = min(sqrt(2 * log(2 / alpha) / (var * i * log(1 + i))), 0.5)
    sl, slx = sl + lam, slx + lam * x
    sv += 4 * (x - mu) ** 2 * (-log(1 - lam) - lam) / 4
    half = (log(2 / alpha) + sv) / sl
    low, high = max(low, slx / sl - half), min(high, slx / sl + half)
    mu = (0.5 + sum(xs[:i])) / (i + 1)
    means = [(0.5 + sum(xs[:j])) / (j + 1) for j in range(1, i + 1)]
    var = (0.25 + sum((y - w) ** 2 for y, w in zip(xs[:i], means))) / (i + 1)
print("confidence sequence", repr(slx / sl - half), repr(slx / sl + half))

# Rates and bounds of theory-proofs.md at n = 4, m = 10 (N = 11^3), T = 10^5, B = 1.3, delta = .05.
n, m, T, N = 4, 10, 10**5, 11**3
lnN = log(2 * N)
D = min(n, log(1 + T))
eta = sqrt(lnN / (D * T))
print("eta S", repr(eta), "eta F", repr(sqrt(8 * lnN / T)))
D8 = min(20, log(1 + 1000))
print("eta S, n = 20, T = 1000", repr(sqrt(lnN / (D8 * 1000))))
print("Theorem 5", repr(B * ((lnN + log((N + 1) / delta)) / eta + 1.36 * eta * D * T + D * log(1 / delta)
                              + (1 + D) * sqrt(T * log(1 / delta) / 2))))
print("anytime S", repr(2 * sqrt(2) * B * sqrt(n * T * lnN)))
print("UCB1", repr(B * (4 * sqrt(2 * n * T * log(T)) + (1 + pi**2 / 3) * n)))
iota = log((2 * m + 9) * n * m * T**2)
a, y = iota * (n - 1) * m * (1 + log(T)), n * m + sqrt(8 * iota * n * m * T)
c1, c2 = 5 / 3 * sqrt(2), 35 / 6
bern = lambda x: (4.31 * sqrt(a * (T + 2 * x)) + (1 + sqrt(m)) * sqrt(2 * a * (y + 2 * x))
                  + (c1 * sqrt(4 * m / 3) + c2 + (m + 1) / 3) * a + 2 * (n - 1) * m) - x
C = (n - 1) * T
hoef = lambda x: sqrt(8 * iota * (n - 1) * m * C) + sqrt(2 * m * a * (y + 2 * x)) + m * a / 3 + (n - 1) * m - x
for name, f in (("Bernstein", bern), ("Hoeffding", hoef)):
    print("Theorem 7", name, repr(optimize.brentq(f, 1, 1e12, xtol=1e-6, rtol=1e-15) + y + B))

M = 5000
print("Theorem 10", repr(B * sqrt(2 * log(M * (n - 1) + 1) / M) + B * sqrt(2 * log(2 / delta) / M)))
counts = [[400, 900], [300, 1000], [1300, 1250]]
M = 1300 * 2
beta = [sqrt(log(4 * 3 * 2 * M / delta) / (2 * min(row))) for row in counts]
print("Theorem 11", repr(sum(2 * beta[k] + sum(beta[k + 1:]) for k in range(2))))

for a in (eta, 4 * eta, 16 * eta):
    print("Certificate A slack, stake", repr(a), repr(B * log(3 * (N + 1) / delta) / a))
print("bet of stake .2 on a loss of .6 graded with probability .25", repr(0.6 + log((1 + 0.2 * 0.6 / 0.25) / (1 + 0.2 * 0.6)) / 0.2))
t, W, earned = 50, 1.0, 20.0
print("Certificate B, one query type never graded", repr(t * W - earned + B * sqrt(0.5 * t * log(t * (t + 1) / delta))))
