using System.Reflection;
using System.Text;
using Expecto;
using Expecto.CSharp;

namespace OptimalStopping.Theory.CSharp.Tests;

/// <summary>
/// The public surface of the theory library as C# sees it: no type that only F# can write with ease, and nothing of
/// PublicSurface.txt missing.
/// </summary>
public static class SurfaceTests
{
    private static readonly Assembly Theory = typeof(ChainModel).Assembly;

    private const BindingFlags Public = BindingFlags.Public | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;

    [Tests]
    public static Test Tests { get; } =
        Runner.TestList(
            "surface",
            [
                Runner.TestCase("no FSharpList, FSharpFunc, FSharpOption, map, set, unit or tuple crosses", NoFSharpTypes),
                Runner.TestCase("C# sees PascalCase names and no class that is called Module", Names),
                Runner.TestCase("the reflection test has teeth: it finds an option, a function and a list", Teeth),
                Runner.TestCase("nothing of PublicSurface.txt is gone", Baseline),
            ]
        );

    // What C# can only make or read through FSharp.Core's own modules. ValueOption, unions and results are allowed.
    private static bool IsForeign(Type type) =>
        type.Namespace is { } space
            && space.StartsWith("Microsoft.FSharp", StringComparison.Ordinal)
            && type.Name is not ("FSharpValueOption`1" or "FSharpResult`2")
        || type.IsGenericType
            && type.GetGenericTypeDefinition().FullName is { } name
            && name.StartsWith("System.Tuple`", StringComparison.Ordinal);

    private static IEnumerable<Type> Parts(Type type)
    {
        yield return type;
        if (type.HasElementType)
            foreach (Type part in Parts(type.GetElementType()!))
                yield return part;
        foreach (Type argument in type.GenericTypeArguments)
        foreach (Type part in Parts(argument))
            yield return part;
    }

    private static IEnumerable<(string Where, Type Type)> Mentions(Type type)
    {
        // What records and unions inherit from the compiler is no part of what a caller writes.
        foreach (MethodInfo method in type.GetMethods(Public).Where(m => !m.Name.StartsWith('<') && !IsCompilers(m)))
        {
            yield return ($"{type.Name}.{method.Name} returns", method.ReturnType);
            foreach (ParameterInfo parameter in method.GetParameters())
                yield return ($"{type.Name}.{method.Name}({parameter.Name})", parameter.ParameterType);
        }
        foreach (ConstructorInfo constructor in type.GetConstructors(Public))
        foreach (ParameterInfo parameter in constructor.GetParameters())
            yield return ($"new {type.Name}({parameter.Name})", parameter.ParameterType);
        foreach (PropertyInfo property in type.GetProperties(Public))
            yield return ($"{type.Name}.{property.Name}", property.PropertyType);
        foreach (FieldInfo field in type.GetFields(Public))
            yield return ($"{type.Name}.{field.Name}", field.FieldType);
    }

    private static bool IsCompilers(MethodInfo method) => method.Name is "CompareTo" or "Equals" or "GetHashCode" or "ToString";

    private static string[] ForeignIn(IEnumerable<Type> types) =>
        [
            .. from type in types
            from mention in Mentions(type)
            where Parts(mention.Type).Any(IsForeign)
            select $"{mention.Where}: {mention.Type}",
        ];

    private static void NoFSharpTypes()
    {
        string[] foreign = ForeignIn(Theory.GetExportedTypes());
        if (foreign.Length > 0)
            throw new InvalidOperationException(string.Join(Environment.NewLine, foreign));
        if (Theory.GetExportedTypes().Length < 80)
            throw new InvalidOperationException("expected the whole library");
    }

    private static void Names()
    {
        string[] strange =
        [
            .. from type in Theory.GetExportedTypes()
            from name in type.GetMembers(Public)
                .Where(member => member is not MethodBase { IsSpecialName: true } && !member.Name.Contains('<'))
                .Select(member => member.Name)
                .Append(type.Name)
            where !char.IsUpper(name[0]) && name != "value__" || name.EndsWith("Module", StringComparison.Ordinal)
            select $"{type.Name}.{name}",
        ];
        if (strange.Length > 0)
            throw new InvalidOperationException(string.Join(Environment.NewLine, strange));
    }

    // FSharp.Core's own modules are full of what must not cross.
    private static void Teeth()
    {
        string[] found = ForeignIn(
            typeof(Microsoft.FSharp.Collections.ListModule).Assembly.GetExportedTypes().Where(t => t.Name == "ListModule")
        );
        foreach (string kind in new[] { "FSharpList", "FSharpFunc", "FSharpOption", "System.Tuple" })
            if (!found.Any(text => text.Contains(kind, StringComparison.Ordinal)))
                throw new InvalidOperationException($"missed {kind}");
    }

    private static string Name(Type type)
    {
        if (type.IsArray)
            return Name(type.GetElementType()!) + "[]";
        if (type.IsByRef)
            return "ref " + Name(type.GetElementType()!);
        if (type.IsGenericType)
            return $"{type.Name[..type.Name.IndexOf('`')]}<{string.Join(", ", type.GenericTypeArguments.Select(Name))}>";
        return type == typeof(double) ? "double"
            : type == typeof(int) ? "int"
            : type == typeof(bool) ? "bool"
            : type == typeof(string) ? "string"
            : type == typeof(long) ? "long"
            : type == typeof(ulong) ? "ulong"
            : type == typeof(void) ? "void"
            : type.Name;
    }

    private static string Surface()
    {
        var text = new StringBuilder();
        foreach (Type type in Theory.GetExportedTypes().OrderBy(t => t.FullName, StringComparer.Ordinal))
        {
            string kind =
                type.IsEnum ? "enum"
                : type.IsInterface ? "interface"
                : type.IsValueType ? "struct"
                : type.IsAbstract && type.IsSealed ? "static class"
                : "class";
            text.Append(kind).Append(' ').Append(type.FullName!["OptimalStopping.Theory.".Length..]).Append('\n');
            List<string> members = [];
            if (type.IsEnum)
                members.AddRange(Enum.GetNames(type).Select(n => $"{n} = {Convert.ToInt32(Enum.Parse(type, n))}"));
            else
            {
                members.AddRange(type.GetConstructors(Public).Select(c => $"new({Parameters(c)})"));
                members.AddRange(
                    type.GetMethods(Public)
                        .Where(m => !m.IsSpecialName && !IsCompilers(m) && !m.Name.Contains('<'))
                        .Select(m => $"{Name(m.ReturnType)} {m.Name}({Parameters(m)})")
                );
                members.AddRange(type.GetProperties(Public).Where(p => p.Name != "Tag").Select(p => $"{Name(p.PropertyType)} {p.Name}"));
            }
            foreach (string member in members.Order(StringComparer.Ordinal))
                text.Append("  ").Append(member).Append('\n');
        }
        return text.ToString();

        static string Parameters(MethodBase method) =>
            string.Join(", ", method.GetParameters().Select(p => $"{Name(p.ParameterType)} {p.Name}"));
    }

    // Additions are welcome; what a caller may already use must stay. TOOLKIT_SURFACE=FILE writes the surface of today.
    private static void Baseline()
    {
        string now = Surface();
        if (Environment.GetEnvironmentVariable("TOOLKIT_SURFACE") is { } file)
            File.WriteAllText(file, now);
        string[] gone = [.. Lines(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "PublicSurface.txt"))).Except(Lines(now))];
        if (gone.Length > 0)
            throw new InvalidOperationException(
                "gone from the public surface; if that is meant, write tests/Theory.CSharp.Tests/PublicSurface.txt anew (TOOLKIT_SURFACE):\n"
                    + string.Join('\n', gone)
            );
    }

    // Every member with the type that it belongs to.
    private static IEnumerable<string> Lines(string surface)
    {
        string type = "";
        foreach (string line in surface.ReplaceLineEndings("\n").Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            if (!line.StartsWith(' '))
                type = line;
            yield return line.StartsWith(' ') ? $"{type}: {line.Trim()}" : line;
        }
    }
}
