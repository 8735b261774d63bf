/// How a member of an F# library is written in F#: what its assembly keeps of names, of curried arguments and of records.
module OptimalStopping.Maintenance.Reference.FSharpSignature

open System
open System.Reflection
open System.Text.RegularExpressions
open FSharp.Reflection

/// Whether the assembly was compiled from F#.
let isFSharp (assembly: Assembly) = not (isNull (assembly.GetCustomAttribute<FSharpInterfaceDataVersionAttribute>()))

let private words =
    [ typeof<float>, "float"
      typeof<single>, "float32"
      typeof<int>, "int"
      typeof<int64>, "int64"
      typeof<uint64>, "uint64"
      typeof<bool>, "bool"
      typeof<string>, "string"
      typeof<obj>, "obj"
      typeof<byte>, "byte"
      typeof<sbyte>, "sbyte"
      typeof<unit>, "unit"
      typeof<Void>, "unit" ]

/// The name in the source, where CompiledName or the compiler gave the assembly another one.
let private sourceName (m: MemberInfo) =
    match m.GetCustomAttribute<CompilationSourceNameAttribute>() with
    | null -> m.Name
    | attribute -> attribute.SourceName

let private ownName (t: Type) =
    let name = Regex.Replace(sourceName t, @"`\d+$", "")
    let hasSuffix =
        match t.GetCustomAttribute<CompilationRepresentationAttribute>() with
        | null -> false
        | representation -> representation.Flags.HasFlag CompilationRepresentationFlags.ModuleSuffix
    if hasSuffix && name.EndsWith "Module" then name.Substring(0, name.Length - 6) else name

/// A type as F# writes it.
let rec typeName (t: Type) : string =
    let inParentheses (t: Type) = if FSharpType.IsFunction t then $"({typeName t})" else typeName t
    match words |> List.tryFind (fun (known, _) -> known = t) with
    | Some(_, name) -> name
    | None when t.IsByRef -> $"byref<{typeName (nonNull (t.GetElementType()))}>"
    | None when t.IsArray -> $"{inParentheses (nonNull (t.GetElementType()))}[{String(',', t.GetArrayRank() - 1)}]"
    | None when t.IsGenericParameter -> "'" + t.Name
    | None when FSharpType.IsFunction t ->
        let from, into = FSharpType.GetFunctionElements t
        $"{inParentheses from} -> {typeName into}"
    | None when FSharpType.IsTuple t ->
        let parts = FSharpType.GetTupleElements t |> Array.map inParentheses |> String.concat " * "
        if t.IsValueType then $"struct ({parts})" else $"({parts})"
    | None when t.IsGenericType ->
        let arguments = t.GetGenericArguments() |> Array.map typeName |> String.concat ", "
        match ownName (t.GetGenericTypeDefinition()) with
        | "FSharpValueOption"
        | "ValueOption"
        | "voption" -> $"{arguments} voption"
        | name -> $"{name}<{arguments}>"
    | None -> ownName t

/// Names that are not words of F# stand between two pairs of backticks in F#; parameters of ours never do.
let private parameters (ps: ParameterInfo[]) =
    if ps.Length = 0 then
        "unit"
    else
        ps |> Array.map (fun p -> $"{p.Name}: {typeName p.ParameterType}") |> String.concat " * "

/// Arguments by curried group; the compiler notes the groups only where there is more than one.
let private groups (m: MethodInfo) : ParameterInfo[] list =
    let all = m.GetParameters()
    match m.GetCustomAttribute<CompilationArgumentCountsAttribute>() with
    | null -> [ all ]
    | counts -> [ for start, count in Seq.zip (Seq.scan (+) 0 counts.Counts) counts.Counts -> all[start .. start + count - 1] ]

/// One line of F# for a member; "" where F# has no other way to write it than the type's own.
let ofMember (m: MemberInfo) : string =
    let owner = ownName (nonNull m.DeclaringType)
    match m with
    | :? MethodInfo as f ->
        let prefix = if f.IsStatic then owner else "member"
        let join = if f.IsStatic then "." else " this."
        let arrows = (groups f |> List.map parameters) @ [ typeName f.ReturnType ] |> String.concat " -> "
        $"{prefix}{join}{sourceName f}: {arrows}"
    | :? PropertyInfo as p ->
        let isStatic = p.GetAccessors() |> Array.exists _.IsStatic
        if isStatic then $"{owner}.{sourceName p}: {typeName p.PropertyType}" else $"{sourceName p}: {typeName p.PropertyType}"
    | :? FieldInfo as f when f.IsStatic -> $"{owner}.{f.Name}"
    | _ -> ""

/// What a type is in F#: a record with its fields, a union with its cases, a module, an enumeration, a class.
let ofType (t: Type) : string =
    let name = ownName t
    let field (p: PropertyInfo) = $"{sourceName p}: {typeName p.PropertyType}"
    if FSharpType.IsRecord t then
        let fields = FSharpType.GetRecordFields t |> Array.map field |> String.concat "; "
        $"type {name} = {{ {fields} }}"
    elif FSharpType.IsUnion t && (Array.head (FSharpType.GetUnionCases t)).DeclaringType = t then
        let case (c: UnionCaseInfo) =
            match c.GetFields() with
            | [||] -> c.Name
            | fields -> c.Name + " of " + (fields |> Array.map field |> String.concat " * ")
        $"""type {name} = {FSharpType.GetUnionCases t |> Array.map case |> String.concat " | "}"""
    elif t.IsAbstract && t.IsSealed then
        $"module {name}"
    else
        $"type {name}"
