namespace OptimalStopping.Runtime.Models;

/// <summary>
/// Matrices that several tensors make together: FP8 with a scale per block of 128 x 128, GPTQ (Frantar et al. 2022) and AWQ
/// (Lin et al. 2023) with integers packed into 32 bits. Rows come out as the floats that the format means.
/// </summary>
internal static class PackedMatrices
{
    /// <summary>The matrix of a projection in any format, an ordinary tensor of floats among them.</summary>
    /// <param name="name">The projection, without <c>.weight</c>.</param>
    /// <exception cref="ToolkitException">A part is missing or has another shape.</exception>
    public static IMatrixRows Open(Checkpoint source, string name, int rows, int columns)
    {
        if (source.Has(name + ".weight_scale_inv"))
            return new Float8Matrix(source, name, rows, columns);
        if (!source.Has(name + ".qweight"))
            return source.Mapped(name + ".weight", rows, columns);
        return source.Quantisation switch
        {
            { Method: "gptq" } q => new GptqMatrix(source, name, rows, columns, q),
            { Method: "awq" } q => new AwqMatrix(source, name, rows, columns, q),
            _ => throw new ToolkitException($"{name}.qweight: expected a quantization_config of gptq or awq in config.json, got none"),
        };
    }

    private static int Groups(int columns, WeightQuantisation format) =>
        format.GroupSize <= 0 ? 1 : (columns + format.GroupSize - 1) / format.GroupSize;

    private sealed class Float8Matrix : IMatrixRows
    {
        private const int Block = 128;
        private readonly MappedTensor _weights;
        private readonly float[] _scales;
        private readonly int _across;

        public Float8Matrix(Checkpoint source, string name, int rows, int columns)
        {
            _weights = source.Mapped(name + ".weight", rows, columns);
            _across = (columns + Block - 1) / Block;
            _scales = source.Floats(name + ".weight_scale_inv", (rows + Block - 1) / Block, _across);
        }

        public void Floats(int row, Span<float> target)
        {
            _weights.Floats(row, target);
            ReadOnlySpan<float> scales = _scales.AsSpan(row / Block * _across, _across);
            for (int c = 0; c < _weights.Columns; c++)
                target[c] *= scales[c / Block];
        }
    }

    // qweight [inputs / pack, outputs]: so many inputs in one integer. w = scale * (q - zero), by the input's group.
    private sealed class GptqMatrix : IMatrixRows
    {
        private readonly int[] _weights,
            _zeros,
            _groups;
        private readonly float[] _scales;
        private readonly int _bits,
            _rows,
            _columns,
            _more;

        public GptqMatrix(Checkpoint source, string name, int rows, int columns, WeightQuantisation format)
        {
            (_bits, _rows, _columns) = (format.Bits, rows, columns);
            int pack = 32 / _bits,
                groups = Groups(columns, format);
            if (columns % pack != 0 || rows % pack != 0)
                throw new ToolkitException($"{name}.qweight: expected rows and columns in multiples of {pack}, got [{rows}, {columns}]");
            _weights = source.Mapped(name + ".qweight", columns / pack, rows).AllIntegers();
            _zeros = source.Mapped(name + ".qzeros", groups, rows / pack).AllIntegers();
            _scales = source.Floats(name + ".scales", groups, rows);
            _groups = source.Has(name + ".g_idx")
                ? source.Mapped(name + ".g_idx", columns).AllIntegers()
                : [.. Enumerable.Range(0, columns).Select(c => groups == 1 ? 0 : c / format.GroupSize)];
            if (Array.FindIndex(_groups, group => group < 0 || group >= groups) is >= 0 and var wrong)
                throw new ToolkitException($"{name}.g_idx: expected groups below {groups}, got {_groups[wrong]}");
            // The first version of the format stores each zero point less one.
            _more = format.StoresZeroLessOne ? 1 : 0;
        }

        public void Floats(int row, Span<float> target)
        {
            int pack = 32 / _bits,
                mask = (1 << _bits) - 1;
            for (int c = 0; c < _columns; c++)
            {
                int group = _groups[c],
                    value = _weights[c / pack * _rows + row] >> (c % pack * _bits) & mask,
                    zero = (_zeros[group * (_rows / pack) + row / pack] >> (row % pack * _bits) & mask) + _more;
                target[c] = _scales[group * _rows + row] * (value - zero);
            }
        }
    }

    // qweight [inputs, outputs / 8]: eight outputs in one integer, in the order that its kernels want.
    private sealed class AwqMatrix : IMatrixRows
    {
        private static readonly int[] Shift = [0, 16, 4, 20, 8, 24, 12, 28]; // of output 0, 1, 2, ...
        private readonly int[] _weights,
            _zeros;
        private readonly float[] _scales;
        private readonly int _rows,
            _columns,
            _groupSize;

        public AwqMatrix(Checkpoint source, string name, int rows, int columns, WeightQuantisation format)
        {
            int groups = Groups(columns, format);
            if (rows % 8 != 0)
                throw new ToolkitException($"{name}.qweight: expected outputs in multiples of 8, got {rows}");
            (_rows, _columns, _groupSize) = (rows, columns, format.GroupSize <= 0 ? columns : format.GroupSize);
            _weights = source.Mapped(name + ".qweight", columns, rows / 8).AllIntegers();
            _zeros = source.Mapped(name + ".qzeros", groups, rows / 8).AllIntegers();
            _scales = source.Floats(name + ".scales", groups, rows);
        }

        public void Floats(int row, Span<float> target)
        {
            int across = _rows / 8,
                shift = Shift[row % 8];
            for (int c = 0; c < _columns; c++)
            {
                int group = c / _groupSize,
                    value = _weights[c * across + row / 8] >> shift & 15,
                    zero = _zeros[group * across + row / 8] >> shift & 15;
                target[c] = _scales[group * _rows + row] * (value - zero);
            }
        }
    }
}
