using System.Runtime.Intrinsics;

namespace OptimalStopping.Runtime.Models;

/// <summary>
/// Rotary position embedding (Su et al. 2021) as Hugging Face's Qwen3 applies it: value i of the first half of a head
/// turns together with value i of the second half, by position * theta^(-2i / head dimension).
/// </summary>
internal sealed unsafe class Rotary(Qwen3Config config)
{
    private readonly Lock _growing = new();
    private float[] _angles = [];

    /// <summary>
    /// The table for positions 0 to <paramref name="positions"/> - 1 (or more): per position the cosines of each i, then
    /// the sines. It grows by need: a model may allow far more positions than any sequence uses.
    /// </summary>
    public float[] Table(int positions)
    {
        int half = config.HeadDimension / 2;
        lock (_growing)
        {
            if (_angles.Length >= positions * 2 * half)
                return _angles;
            return _angles = RotaryAngles.Table(config, positions);
        }
    }

    /// <summary>Turns one head in place.</summary>
    public static void Rotate(float* head, float[] table, int position, int half)
    {
        fixed (float* start = &table[(long)position * 2 * half])
        {
            float* cosines = start,
                sines = start + half;
            int i = 0;
            for (; i + 8 <= half; i += 8)
            {
                Vector256<float> first = Vector256.Load(head + i),
                    second = Vector256.Load(head + i + half);
                Vector256<float> cosine = Vector256.Load(cosines + i),
                    sine = Vector256.Load(sines + i);
                (first * cosine - second * sine).Store(head + i);
                (second * cosine + first * sine).Store(head + i + half);
            }
            for (; i < half; i++)
            {
                float first = head[i],
                    second = head[i + half];
                head[i] = first * cosines[i] - second * sines[i];
                head[i + half] = second * cosines[i] + first * sines[i];
            }
        }
    }
}

/// <summary>The angles of rotary position embedding, for every engine.</summary>
public static class RotaryAngles
{
    /// <summary>
    /// [positions, 2, half a head]: per position p the cosines of p times each frequency, then the sines, times the
    /// attention factor of stretched positions (<see cref="PositionScaling"/>).
    /// </summary>
    public static float[] Table(Qwen3Config config, int positions)
    {
        int half = config.HeadDimension / 2;
        var table = new float[checked(positions * 2 * half)];
        double[] frequencies = PositionScaling.Frequencies(config.HeadDimension, config.RopeTheta, config.Scaling);
        double attention = config.Scaling?.Attention ?? 1;
        for (int i = 0; i < half; i++)
        for (int p = 0; p < positions; p++)
        {
            table[p * 2 * half + i] = (float)(attention * Math.Cos(p * frequencies[i]));
            table[p * 2 * half + half + i] = (float)(attention * Math.Sin(p * frequencies[i]));
        }
        return table;
    }
}
