/// What a compiled assembly says of itself: which types it has, which source file each was written in (from the portable
/// PDB beside it), and which other types of the assembly each member refers to.
///
/// A reference is anything that the metadata or the code names: base types, interfaces, constraints, fields, signatures,
/// locals, instructions, caught exceptions, attributes and the types that these name. Constants do not count, since the
/// compiler copies them. A nested or compiler-made type belongs to the file of its own code, else to its owner's.
module Architecture.Tests.CompiledAssembly

open System
open System.Collections.Generic
open System.Collections.Immutable
open System.IO
open System.Reflection.Emit
open System.Reflection.Metadata
open System.Reflection.Metadata.Ecma335
open System.Reflection.PortableExecutable
open System.Text
open System.Text.RegularExpressions

/// One member that names another: both by the type that holds them.
type Reference = { From: string; FromMember: string; To: string; ToMember: string }

/// A type by its full name: its namespace, the source files of its code, and whether others can see it.
type CompiledType = { Name: string; Namespace: string; Files: string list; Outermost: string; IsPublic: bool; PublicMembers: string list }

type CompiledAssembly = { Name: string; Types: CompiledType list; References: Reference list }

/// The kind of operand that follows each instruction.
let private operands: IReadOnlyDictionary<int, OperandType> =
    typeof<OpCodes>.GetFields()
    |> Seq.map (fun field -> nonNull (field.GetValue null) :?> OpCode)
    |> Seq.map (fun code -> KeyValuePair(int (uint16 code.Value), code.OperandType))
    |> Dictionary
    :> _

/// The metadata tokens in a method's instructions.
let private tokens (il: BlobReader) : EntityHandle list =
    let mutable il = il
    [ while il.RemainingBytes > 0 do
          let first = int (il.ReadByte())
          let code = if first = 0xFE then 0xFE00 ||| int (il.ReadByte()) else first
          match operands[code] with
          | OperandType.InlineNone -> ()
          | OperandType.ShortInlineBrTarget
          | OperandType.ShortInlineI
          | OperandType.ShortInlineVar -> il.ReadByte() |> ignore
          | OperandType.InlineVar -> il.ReadInt16() |> ignore
          | OperandType.InlineI8
          | OperandType.InlineR -> il.ReadInt64() |> ignore
          | OperandType.InlineSwitch ->
              let targets = il.ReadInt32()
              il.Offset <- il.Offset + 4 * targets
          | OperandType.InlineField
          | OperandType.InlineMethod
          | OperandType.InlineTok
          | OperandType.InlineType -> MetadataTokens.EntityHandle(il.ReadInt32())
          | _ -> il.ReadInt32() |> ignore ]

/// A signature as the list of the assembly's own types in it.
type private Provider() =
    interface ISignatureTypeProvider<TypeDefinitionHandle list, unit> with
        member _.GetArrayType(element, _) = element
        member _.GetByReferenceType element = element
        member _.GetFunctionPointerType signature = signature.ReturnType @ List.concat signature.ParameterTypes
        member _.GetGenericInstantiation(generic, arguments) = generic @ List.concat arguments
        member _.GetGenericMethodParameter(_, _) = []
        member _.GetGenericTypeParameter(_, _) = []
        member _.GetModifiedType(modifier, unmodified, _) = modifier @ unmodified
        member _.GetPinnedType element = element
        member _.GetPointerType element = element
        member _.GetPrimitiveType _ = []
        member _.GetSZArrayType element = element
        member _.GetTypeFromDefinition(_, handle, _) = [ handle ]
        member _.GetTypeFromReference(_, _, _) = []
        member this.GetTypeFromSpecification(reader, context, handle, _) =
            reader.GetTypeSpecification(handle).DecodeSignature(this, context)

let private provider = Provider()

/// Types and members that an entity names: the types of the assembly, each with the member's name (or "").
let rec private named (reader: MetadataReader) (handle: EntityHandle) : (TypeDefinitionHandle * string) list =
    let bare types = types |> List.map (fun t -> t, "")
    if handle.IsNil then
        []
    else
        match handle.Kind with
        | HandleKind.TypeDefinition -> bare [ TypeDefinitionHandle.op_Explicit handle ]
        | HandleKind.TypeSpecification ->
            bare (reader.GetTypeSpecification(TypeSpecificationHandle.op_Explicit handle).DecodeSignature(provider, ()))
        | HandleKind.MethodDefinition ->
            let method = reader.GetMethodDefinition(MethodDefinitionHandle.op_Explicit handle)
            [ method.GetDeclaringType(), reader.GetString method.Name ]
        | HandleKind.FieldDefinition ->
            let field = reader.GetFieldDefinition(FieldDefinitionHandle.op_Explicit handle)
            [ field.GetDeclaringType(), reader.GetString field.Name ]
        | HandleKind.MemberReference ->
            let ``member`` = reader.GetMemberReference(MemberReferenceHandle.op_Explicit handle)
            named reader ``member``.Parent |> List.map (fun (t, _) -> t, reader.GetString ``member``.Name)
        | HandleKind.MethodSpecification ->
            let spec = reader.GetMethodSpecification(MethodSpecificationHandle.op_Explicit handle)
            named reader spec.Method @ bare (List.concat (spec.DecodeSignature(provider, ())))
        | HandleKind.StandaloneSignature ->
            let signature = reader.GetStandaloneSignature(StandaloneSignatureHandle.op_Explicit handle)
            if signature.GetKind() = StandaloneSignatureKind.LocalVariables then
                bare (List.concat (signature.DecodeLocalSignature(provider, ())))
            else
                let method = signature.DecodeMethodSignature(provider, ())
                bare (method.ReturnType @ List.concat method.ParameterTypes)
        | _ -> []

let rec private outermost (reader: MetadataReader) (handle: TypeDefinitionHandle) =
    let owner = reader.GetTypeDefinition(handle).GetDeclaringType()
    if owner.IsNil then handle else outermost reader owner

let rec private fullName (reader: MetadataReader) (handle: TypeDefinitionHandle) : string =
    let t = reader.GetTypeDefinition handle
    let owner, own = t.GetDeclaringType(), reader.GetString t.Name
    if not owner.IsNil then $"{fullName reader owner}+{own}"
    elif t.Namespace.IsNil then own
    else $"{reader.GetString t.Namespace}.{own}"

let rec private isPublic (reader: MetadataReader) (handle: TypeDefinitionHandle) : bool =
    let t = reader.GetTypeDefinition handle
    match t.Attributes &&& Reflection.TypeAttributes.VisibilityMask with
    | Reflection.TypeAttributes.Public -> true
    | Reflection.TypeAttributes.NestedPublic
    | Reflection.TypeAttributes.NestedFamily -> isPublic reader (t.GetDeclaringType())
    | _ -> false

/// Names that others can write: public and protected methods, properties through their accessors, parameters, fields.
let private publicMembers (reader: MetadataReader) (t: TypeDefinition) : string list =
    let seen (access: int) = access = 6 || access = 4 || access = 5 // public, family, family or assembly
    [ for handle in t.GetMethods() do
          let method = reader.GetMethodDefinition handle
          if seen (int (method.Attributes &&& Reflection.MethodAttributes.MemberAccessMask)) then
              reader.GetString method.Name
              for parameter in method.GetParameters() do
                  reader.GetString(reader.GetParameter(parameter).Name)
      for handle in t.GetFields() do
          let field = reader.GetFieldDefinition handle
          if seen (int (field.Attributes &&& Reflection.FieldAttributes.FieldAccessMask)) then reader.GetString field.Name ]

/// The list of documents of a type that has no code, such as an interface, as the C# compiler leaves it in the PDB.
let private typeDefinitionDocuments = Guid "932E74BC-DBA9-4478-8D46-0F32A7BAB3D3"

/// Source files of a type's own code, without what generators wrote.
let private files (reader: MetadataReader) (pdb: MetadataReader) (handle: TypeDefinitionHandle) : string list =
    let document (d: DocumentHandle) = pdb.GetString(pdb.GetDocument(d).Name)
    [ for m in reader.GetTypeDefinition(handle).GetMethods() do
          for point in pdb.GetMethodDebugInformation(m).GetSequencePoints() do
              if not point.IsHidden then document point.Document
      for custom in pdb.GetCustomDebugInformation(TypeDefinitionHandle.op_Implicit handle: EntityHandle) do
          let custom = pdb.GetCustomDebugInformation custom
          if pdb.GetGuid custom.Kind = typeDefinitionDocuments then
              let mutable blob = pdb.GetBlobReader custom.Value
              while blob.RemainingBytes > 0 do
                  document (MetadataTokens.DocumentHandle(blob.ReadCompressedInteger())) ]
    |> List.map _.Replace('\\', '/')
    |> List.filter (fun file -> not (file.Contains "/obj/"))
    |> List.distinct

/// Every reference that a type makes, with the member that makes it.
let private references (pe: PEReader) (reader: MetadataReader) (byName: IReadOnlyDictionary<string, TypeDefinitionHandle>) handle =
    let t = reader.GetTypeDefinition handle
    // A type named in an attribute is a string in its value; a length of one byte may stand before it and look like a letter.
    let inAttribute (attribute: CustomAttribute) =
        [ for found in Regex.Matches(Encoding.Latin1.GetString(reader.GetBlobBytes attribute.Value), @"[A-Za-z_][\w.+`]*") do
              for name in [ found.Value; found.Value.Substring 1 ] do
                  match byName.TryGetValue name with
                  | true, target -> target, ""
                  | _ -> () ]
    let attributes (handles: CustomAttributeHandleCollection) =
        [ for h in handles do
              let attribute = reader.GetCustomAttribute h
              yield! named reader attribute.Constructor
              yield! inAttribute attribute ]
    let constraints (parameters: GenericParameterHandleCollection) =
        [ for p in parameters do
              for c in reader.GetGenericParameter(p).GetConstraints() do
                  yield! named reader (reader.GetGenericParameterConstraint(c).Type) ]
    let bare types = types |> List.map (fun t -> t, "")
    [ for target in
          named reader t.BaseType
          @ List.collect
              (fun i -> named reader (reader.GetInterfaceImplementation(i).Interface))
              (List.ofSeq (t.GetInterfaceImplementations()))
          @ attributes (t.GetCustomAttributes())
          @ constraints (t.GetGenericParameters()) do
          "", target
      for f in t.GetFields() do
          let field = reader.GetFieldDefinition f
          for target in bare (field.DecodeSignature(provider, ())) @ attributes (field.GetCustomAttributes()) do
              reader.GetString field.Name, target
      for p in t.GetProperties() do
          let property = reader.GetPropertyDefinition p
          for target in attributes (property.GetCustomAttributes()) do
              reader.GetString property.Name, target
      for m in t.GetMethods() do
          let method = reader.GetMethodDefinition m
          let signature = method.DecodeSignature(provider, ())
          let own =
              [ yield! bare (signature.ReturnType @ List.concat signature.ParameterTypes)
                yield! constraints (method.GetGenericParameters())
                yield! attributes (method.GetCustomAttributes())
                for p in method.GetParameters() do
                    yield! attributes (reader.GetParameter(p).GetCustomAttributes())
                if method.RelativeVirtualAddress <> 0 then
                    let body = pe.GetMethodBody method.RelativeVirtualAddress
                    yield! named reader (StandaloneSignatureHandle.op_Implicit body.LocalSignature: EntityHandle)
                    for region in body.ExceptionRegions do
                        yield! named reader region.CatchType
                    for token in tokens (body.GetILReader()) do
                        yield! named reader token ]
          for target in own do
              reader.GetString method.Name, target ]

/// Reads an assembly and the PDB that lies beside it.
let read (path: string) : CompiledAssembly =
    use pe = new PEReader(File.OpenRead path)
    use symbols = MetadataReaderProvider.FromPortablePdbStream(File.OpenRead(nonNull (Path.ChangeExtension(path, ".pdb"))))
    let reader, pdb = pe.GetMetadataReader(), symbols.GetMetadataReader()
    let handles = reader.TypeDefinitions |> List.ofSeq
    let byName = handles |> Seq.map (fun h -> KeyValuePair(fullName reader h, h)) |> Dictionary
    let rec filesOf handle =
        match files reader pdb handle with
        | [] ->
            let owner = reader.GetTypeDefinition(handle).GetDeclaringType()
            if owner.IsNil then [] else filesOf owner
        | own -> own
    let types =
        [ for handle in handles do
              let t = reader.GetTypeDefinition handle
              let visible = isPublic reader handle
              { Name = fullName reader handle
                Namespace = reader.GetString(reader.GetTypeDefinition(outermost reader handle).Namespace)
                Files = filesOf handle
                Outermost = fullName reader (outermost reader handle)
                IsPublic = visible
                PublicMembers = if visible then publicMembers reader t |> List.distinct else [] } ]
    let references =
        [ for handle in handles do
              let from = fullName reader handle
              for fromMember, (target, toMember) in references pe reader byName handle do
                  { From = from; FromMember = fromMember; To = fullName reader target; ToMember = toMember } ]
        |> List.distinct
    { Name = nonNull (Path.GetFileNameWithoutExtension path); Types = types; References = references }
