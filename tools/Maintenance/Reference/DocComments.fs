namespace OptimalStopping.Maintenance.Reference

open System
open System.Collections.Generic
open System.IO
open System.Reflection
open System.Text.RegularExpressions
open System.Xml.Linq

/// The XML file of doc comments that the compiler leaves beside an assembly.
[<Sealed>]
type DocComments(path: string) =

    let members =
        let table = Dictionary<string, XElement>()
        for m in XDocument.Load(path).Descendants(XName.Get "member") do
            match m.Attribute(XName.Get "name") with
            | null -> ()
            | name -> table[name.Value] <- m
        table

    let clean (text: string) = Regex.Replace(text, @"\s+", " ")

    /// Text of an element as Markdown: code, references and parameters in backticks, paragraphs apart.
    let rec markdown (element: XElement) : string =
        element.Nodes()
        |> Seq.map (function
            | :? XText as t -> clean t.Value
            | :? XElement as e ->
                let reference (attribute: string) =
                    match e.Attribute(XName.Get attribute) with
                    | null -> markdown e
                    | a -> "`" + Regex.Replace(Regex.Replace(a.Value, @"^[A-Z]:", ""), @"\(.*|.*\.(?=[^.]+$)", "") + "`"
                match e.Name.LocalName with
                | "see"
                | "seealso" -> reference "cref"
                | "paramref"
                | "typeparamref" -> reference "name"
                | "c" -> "`" + markdown e + "`"
                | "para" -> "\n\n" + (markdown e).Trim() + "\n\n"
                | "param"
                | "typeparam" -> ""
                | _ -> markdown e
            | _ -> "")
        |> String.concat ""

    /// Type names as the compiler writes them in member ids.
    static member private TypeId(t: Type) : string =
        if t.IsByRef then
            DocComments.TypeId(nonNull (t.GetElementType())) + "@"
        elif t.IsPointer then
            DocComments.TypeId(nonNull (t.GetElementType())) + "*"
        elif t.IsArray then
            let rank = t.GetArrayRank()
            let shape = if rank = 1 then "[]" else "[" + String.Join(",", Array.create rank "0:") + "]"
            DocComments.TypeId(nonNull (t.GetElementType())) + shape
        elif t.IsGenericMethodParameter then
            $"``{t.GenericParameterPosition}"
        elif t.IsGenericParameter then
            $"`{t.GenericParameterPosition}"
        elif t.IsGenericType then
            let definition = (nonNull (t.GetGenericTypeDefinition().FullName)).Replace('+', '.')
            let arguments = t.GetGenericArguments() |> Array.map DocComments.TypeId |> String.concat ","
            Regex.Replace(definition, @"`\d+", "") + "{" + arguments + "}"
        else
            (match t.FullName with
             | null -> t.Name
             | name -> name.Replace('+', '.'))

    /// The id under which the compiler files the comment of a member.
    static member Id(m: MemberInfo) : string =
        let owner =
            match m.DeclaringType with
            | null -> ""
            | t ->
                (match t.FullName with
                 | null -> t.Name
                 | n -> n.Replace('+', '.'))
        match m with
        | :? Type as t -> "T:" + (nonNull t.FullName).Replace('+', '.')
        | :? PropertyInfo as p ->
            let index = p.GetIndexParameters() |> Array.map (fun x -> DocComments.TypeId x.ParameterType)
            $"P:{owner}.{p.Name}" + (if index.Length = 0 then "" else "(" + String.Join(",", index) + ")")
        | :? FieldInfo as f -> $"F:{owner}.{f.Name}"
        | :? EventInfo as e -> $"E:{owner}.{e.Name}"
        | :? MethodBase as b ->
            let name = if b.IsConstructor then "#ctor" else b.Name
            let generic = if b.IsGenericMethod then $"``{b.GetGenericArguments().Length}" else ""
            let parameters = b.GetParameters() |> Array.map (fun p -> DocComments.TypeId p.ParameterType)
            $"M:{owner}.{name}{generic}" + (if parameters.Length = 0 then "" else "(" + String.Join(",", parameters) + ")")
        | _ -> ""

    /// The comment of a member as Markdown, with its parameters as a list; "" where it has none.
    member _.Of(m: MemberInfo) : string =
        match members.TryGetValue(DocComments.Id m) with
        | true, element ->
            // A comment without tags is its own summary.
            let body =
                match element.Element(XName.Get "summary") with
                | null -> markdown element
                | summary ->
                    let remarks =
                        match element.Element(XName.Get "remarks") with
                        | null -> ""
                        | r -> "\n\n" + (markdown r).Trim()
                    let returns =
                        match element.Element(XName.Get "returns") with
                        | null -> ""
                        | r -> "\n\nReturns: " + (markdown r).Trim()
                    (markdown summary).Trim() + remarks + returns
            let parameters =
                element.Elements(XName.Get "param")
                |> Seq.choose (fun p ->
                    match p.Attribute(XName.Get "name") with
                    | null -> None
                    | name -> let text = (markdown p).Trim() in (if text = "" then None else Some $"- `{name.Value}`: {text}"))
                |> Seq.toArray
            let list = if parameters.Length = 0 then "" else "\n\n" + String.Join("\n", parameters)
            Regex.Replace(body.Trim() + list, @"\n{3,}", "\n\n")
        | _ -> ""
