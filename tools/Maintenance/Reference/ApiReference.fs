/// docs/api/*.md: the public types of the theory and of the runtime with their doc comments, one page for each namespace.
module OptimalStopping.Maintenance.Reference.ApiReference

open System
open System.IO
open System.Reflection
open System.Text.RegularExpressions
open OptimalStopping.Runtime

/// Names of types as a C# reader writes them.
let rec private typeName (t: Type) : string =
    let simple =
        [ typeof<float>, "double"
          typeof<single>, "float"
          typeof<int>, "int"
          typeof<int64>, "long"
          typeof<uint64>, "ulong"
          typeof<bool>, "bool"
          typeof<string>, "string"
          typeof<obj>, "object"
          typeof<byte>, "byte"
          typeof<sbyte>, "sbyte"
          typeof<Void>, "void" ]
    if t.IsByRef then
        typeName (nonNull (t.GetElementType()))
    elif t.IsPointer then
        typeName (nonNull (t.GetElementType())) + "*"
    elif t.IsArray then
        typeName (nonNull (t.GetElementType())) + "[" + String(',', t.GetArrayRank() - 1) + "]"
    else
        match simple |> List.tryFind (fun (known, _) -> known = t) with
        | Some(_, name) -> name
        | None when t.IsGenericType ->
            let arguments = t.GetGenericArguments() |> Array.map typeName
            match Nullable.GetUnderlyingType t with
            | null ->
                if t.Name.StartsWith "ValueTuple`" then
                    "(" + String.Join(", ", arguments) + ")"
                else
                    Regex.Replace(t.Name, @"`\d+", "") + "<" + String.Join(", ", arguments) + ">"
            | inner -> typeName inner + "?"
        | None -> t.Name

let private parameters (ps: ParameterInfo[]) = ps |> Array.map (fun p -> $"{typeName p.ParameterType} {p.Name}") |> String.concat ", "

/// One line of C# for a member.
let private signature (m: MemberInfo) : string =
    match m with
    | :? ConstructorInfo as c -> $"new {typeName (nonNull c.DeclaringType)}({parameters (c.GetParameters())})"
    | :? MethodInfo as f ->
        let generic = if f.IsGenericMethod then "<" + String.Join(", ", f.GetGenericArguments() |> Array.map _.Name) + ">" else ""
        (if f.IsStatic then "static " else "") + $"{typeName f.ReturnType} {f.Name}{generic}({parameters (f.GetParameters())})"
    | :? PropertyInfo as p -> $"{typeName p.PropertyType} {p.Name}"
    | :? FieldInfo as f -> (if f.IsStatic then "static " else "") + $"{typeName f.FieldType} {f.Name}"
    | m -> m.Name

/// Compiler-made members say nothing to a reader.
let private isNoise (m: MemberInfo) =
    let generated =
        m.GetCustomAttributes false
        |> Seq.exists (fun a -> a :? Runtime.CompilerServices.CompilerGeneratedAttribute || a :? Diagnostics.DebuggerNonUserCodeAttribute)
    let named = set [ "Equals"; "GetHashCode"; "ToString"; "CompareTo"; "Deconstruct"; "GetType"; "Tag"; "PrintMembers"; "<Clone>$" ]
    generated && not (m :? PropertyInfo) || named.Contains m.Name || m.Name.StartsWith "op_" || m.Name = "value__"

let private kind (t: Type) =
    if t.IsEnum then "enum"
    elif t.IsInterface then "interface"
    elif t.IsValueType then "struct"
    elif t.IsAbstract && t.IsSealed then "static class"
    else "class"

let private isDelegate (t: Type) = typeof<Delegate>.IsAssignableFrom t

let private typeSection (comments: DocComments) (t: Type) : string list =
    let fsharp = FSharpSignature.isFSharp t.Assembly
    let flags = BindingFlags.Public ||| BindingFlags.Instance ||| BindingFlags.Static ||| BindingFlags.DeclaredOnly
    let members =
        t.GetMembers flags
        |> Array.filter (fun m -> not (m :? Type) && not (isNoise m))
        |> Array.filter (function
            | :? MethodInfo as f -> not f.IsSpecialName
            | _ -> true)
        |> Array.filter (fun m -> not (t.IsEnum && not (m :? FieldInfo)))
        // Constructors, then properties and fields, then methods; a record's constructor repeats its fields.
        |> Array.sortBy (function
            | :? ConstructorInfo -> 0
            | :? MethodInfo -> 2
            | _ -> 1)
    [ yield $"## {typeName t}"
      yield ""
      if fsharp then yield $"`{kind t}`; F#: `{FSharpSignature.ofType t}`" else yield $"`{kind t}`"
      yield ""
      match comments.Of t with
      | "" -> ()
      | text ->
          yield text
          yield ""
      if not (isDelegate t) then
          for m in members do
              yield $"### `{signature m}`"
              yield ""
              match (if fsharp then FSharpSignature.ofMember m else "") with
              | "" -> ()
              | text ->
                  yield $"F#: `{text}`"
                  yield ""
              match comments.Of m with
              | "" -> ()
              | text ->
                  yield text
                  yield "" ]

/// The pages of an assembly: file name and text, in the order of the alphabet.
let pages (assembly: Assembly) : struct (string * string)[] =
    let path = nonNull (Path.ChangeExtension(assembly.Location, ".xml"))
    if not (File.Exists path) then
        raise (ToolkitException $"{path}: expected the doc comments beside the assembly, got none; build from source")
    let comments = DocComments path
    assembly.GetExportedTypes()
    |> Array.filter (fun t -> not (isNull t.Namespace) && not (isNoise t) && not (t.Name.Contains '@'))
    |> Array.groupBy (fun t -> nonNull t.Namespace)
    |> Array.sortBy fst
    |> Array.map (fun (name, types) ->
        let text =
            [ yield $"# {name}"
              yield ""
              yield "Written by `dotnet run --project tools/Maintenance -- docs` from the doc comments; do not edit."
              yield ""
              for t in types |> Array.sortBy _.Name do
                  yield! typeSection comments t ]
            |> String.concat "\n"
        struct ($"{name}.md", text))
