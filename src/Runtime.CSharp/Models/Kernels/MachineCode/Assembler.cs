namespace OptimalStopping.Runtime.Models;

/// <summary>The general registers that both calling conventions (System V and Windows) let a function overwrite.</summary>
internal enum Register
{
    Rax = 0,
    Rcx = 1,
    Rdx = 2,
    R8 = 8,
    R9 = 9,
    R10 = 10,
    R11 = 11,
}

/// <summary>A place in memory: <c>Base + Index * Scale + Displacement</c>.</summary>
internal readonly record struct Address(Register Base, int Displacement = 0, Register? Index = null, int Scale = 1)
{
    public Address Plus(int bytes) => this with { Displacement = Displacement + bytes };
}

/// <summary>
/// Writes x86-64 machine code into a list of bytes: the few instructions that <see cref="DotProductRoutine"/> needs and
/// no others. Encodings follow the "Intel 64 and IA-32 Architectures Software Developer's Manual", volume 2: a prefix
/// (REX for general registers, EVEX for vectors), the opcode, ModRM, SIB where there is an index, and always a
/// displacement of 32 bits, which is never scaled. Vector registers are the numbers 0 to 31 (zmm0 to zmm31).
/// </summary>
internal sealed class Assembler
{
    private enum Map
    {
        Of = 1,
        Of38 = 2,
    }

    private enum Prefix
    {
        None = 0,
        Operand = 1,
    }

    private readonly List<byte> _code = [];

    /// <summary>The bytes so far, which is also the position of the next instruction.</summary>
    public int Position => _code.Count;

    public byte[] ToArray() => [.. _code];

    /// <summary><c>target = [from]</c>, 64 bits.</summary>
    public void Load(Register target, Address from) => General(0x8B, (int)target, from);

    /// <summary><c>target = the address itself</c></summary>
    public void AddressOf(Register target, Address place) => General(0x8D, (int)target, place);

    /// <summary><c>target += value</c></summary>
    public void Add(Register target, int value)
    {
        GeneralRegister(0x81, 0, (int)target);
        Int32(value);
    }

    /// <summary><c>target += other</c></summary>
    public void Add(Register target, Register other) => GeneralRegister(0x03, (int)target, (int)other);

    /// <summary><c>target -= other</c></summary>
    public void Subtract(Register target, Register other) => GeneralRegister(0x2B, (int)target, (int)other);

    /// <summary><c>target &lt;&lt;= bits</c></summary>
    public void ShiftLeft(Register target, byte bits)
    {
        GeneralRegister(0xC1, 4, (int)target);
        _code.Add(bits);
    }

    /// <summary>Sets the zero flag when the register is zero.</summary>
    public void Test(Register register) => GeneralRegister(0x85, (int)register, (int)register);

    /// <summary><c>target -= 1</c>; sets the zero flag when that gives zero.</summary>
    public void Decrement(Register target) => GeneralRegister(0xFF, 1, (int)target);

    /// <summary>Jumps back to <paramref name="position"/> unless the zero flag is set.</summary>
    public void JumpIfNotZero(int position)
    {
        _code.AddRange([0x0F, 0x85]);
        Int32(position - (Position + 4));
    }

    /// <summary>Jumps forward if the zero flag is set, to where <see cref="Land"/> is called with the result.</summary>
    public int JumpIfZero()
    {
        _code.AddRange([0x0F, 0x84]);
        Int32(0);
        return Position;
    }

    /// <summary>Makes a forward jump end here.</summary>
    public void Land(int jump)
    {
        byte[] distance = BitConverter.GetBytes(Position - jump);
        for (int i = 0; i < 4; i++)
            _code[jump - 4 + i] = distance[i];
    }

    /// <summary>In System V the first argument comes in rdi, in Windows in rcx: <c>rcx = rdi</c>.</summary>
    public void CopyFirstArgument() => _code.AddRange([0x48, 0x89, 0xF9]);

    /// <summary><c>prefetcht1</c>: asks for a cache line ahead of its use, up to the second cache; reading what is not mapped does no harm.</summary>
    public void Prefetch(Address place)
    {
        const int Second = 2;
        Rex(false, Second, place);
        _code.AddRange([0x0F, 0x18]);
        Memory(Second, place);
    }

    /// <summary>Clears the upper parts of the vector registers, which .NET's own code expects, and returns.</summary>
    public void Return() => _code.AddRange([0xC5, 0xF8, 0x77, 0xC3]);

    /// <summary><c>vmovups</c>: 16 floats from memory.</summary>
    public void LoadVector(int target, Address from) => Vector(Map.Of, Prefix.None, 0x10, target, 0, from);

    /// <summary><c>vmovups</c>: 16 floats to memory.</summary>
    public void StoreVector(Address to, int source) => Vector(Map.Of, Prefix.None, 0x11, source, 0, to);

    /// <summary><c>vmovups</c> on the low 128 bits.</summary>
    public void LoadLowest(int target, Address from) => Vector(Map.Of, Prefix.None, 0x10, target, 0, from, bits: 128);

    /// <summary><c>vmovups</c> on the low 128 bits.</summary>
    public void StoreLowest(Address to, int source) => Vector(Map.Of, Prefix.None, 0x11, source, 0, to, bits: 128);

    /// <summary><c>vpbroadcastd</c>: the same 32 bits in every lane.</summary>
    public void Broadcast(int target, Address from) => Vector(Map.Of38, Prefix.Operand, 0x58, target, 0, from);

    /// <summary><c>vpxord</c> of a register with itself.</summary>
    public void Zero(int target) => Vector(Map.Of, Prefix.Operand, 0xEF, target, target, target);

    /// <summary><c>vpdpbusd</c>: in each 32-bit lane, <c>sum += u0 s0 + u1 s1 + u2 s2 + u3 s3</c> of unsigned and signed bytes.</summary>
    public void DotProduct(int sum, int unsigned, int signed) => Vector(Map.Of38, Prefix.Operand, 0x50, sum, unsigned, signed);

    /// <summary><c>vpaddd</c></summary>
    public void AddIntegers(int target, int a, int b) => Vector(Map.Of, Prefix.Operand, 0xFE, target, a, b);

    /// <summary><c>vcvtdq2ps</c>: 32-bit integers to floats.</summary>
    public void ToFloat(int target, int source) => Vector(Map.Of, Prefix.None, 0x5B, target, 0, source);

    /// <summary><c>vfmadd231ps</c>: <c>sum += a * [one float, in every lane]</c>, rounded once.</summary>
    public void FusedMultiplyAdd(int sum, int a, Address one) => Vector(Map.Of38, Prefix.Operand, 0xB8, sum, a, one, broadcast: true);

    /// <summary><c>vmulps</c></summary>
    public void Multiply(int target, int a, Address b) => Vector(Map.Of, Prefix.None, 0x59, target, a, b);

    private void Vector(Map map, Prefix prefix, byte opcode, int register, int second, int third)
    {
        Evex(map, prefix, register, second, third >> 4 & 1, third >> 3 & 1, 512, false);
        _code.Add(opcode);
        _code.Add((byte)(0xC0 | (register & 7) << 3 | third & 7));
    }

    private void Vector(
        Map map,
        Prefix prefix,
        byte opcode,
        int register,
        int second,
        Address place,
        bool broadcast = false,
        int bits = 512
    )
    {
        Evex(map, prefix, register, second, High(place.Index), High(place.Base), bits, broadcast);
        _code.Add(opcode);
        Memory(register, place);
    }

    /// <summary>The four bytes of EVEX; register bits beyond the third go here, inverted.</summary>
    private void Evex(Map map, Prefix prefix, int register, int second, int x, int b, int bits, bool broadcast)
    {
        _code.Add(0x62);
        _code.Add((byte)((~register >> 3 & 1) << 7 | (x ^ 1) << 6 | (b ^ 1) << 5 | (~register >> 4 & 1) << 4 | (int)map));
        _code.Add((byte)((~second & 15) << 3 | 1 << 2 | (int)prefix));
        _code.Add((byte)((bits == 512 ? 2 : 0) << 5 | (broadcast ? 1 : 0) << 4 | (~second >> 4 & 1) << 3));
    }

    private void General(byte opcode, int register, Address place)
    {
        Rex(true, register, place);
        _code.Add(opcode);
        Memory(register, place);
    }

    private void GeneralRegister(byte opcode, int register, int other)
    {
        _code.Add((byte)(0x48 | (register >> 3) << 2 | other >> 3));
        _code.Add(opcode);
        _code.Add((byte)(0xC0 | (register & 7) << 3 | other & 7));
    }

    private void Rex(bool wide, int register, Address place) =>
        _code.Add((byte)(0x40 | (wide ? 8 : 0) | (register >> 3) << 2 | High(place.Index) << 1 | High(place.Base)));

    private void Memory(int register, Address place)
    {
        int field = (register & 7) << 3;
        if (place.Index is { } index)
        {
            _code.Add((byte)(0x80 | field | 4));
            _code.Add((byte)(int.Log2(place.Scale) << 6 | ((int)index & 7) << 3 | (int)place.Base & 7));
        }
        else
            _code.Add((byte)(0x80 | field | (int)place.Base & 7));
        Int32(place.Displacement);
    }

    private static int High(Register? register) => (int)(register ?? 0) >> 3;

    private void Int32(int value) => _code.AddRange(BitConverter.GetBytes(value));
}
