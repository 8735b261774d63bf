namespace OptimalStopping.Reports

open System
open System.IO
open System.Reflection
open System.Text.Encodings.Web
open System.Text.Json
open Giraffe.ViewEngine
open Plotly.NET

/// What the toolkit's pages share. A page holds everything it needs (plotly.js too), and its content security policy forbids
/// every request: it works offline and tells nobody. Elements are built by Giraffe.ViewEngine, so that every text and
/// attribute is escaped; only our own scripts and styles are written as they are.
module Page =

    let private resource (assembly: Assembly) (matches: string -> bool) =
        let name = assembly.GetManifestResourceNames() |> Array.find matches
        match assembly.GetManifestResourceStream name with
        | null -> invalidOp $"the program lacks its resource {name}"
        | stream ->
            use reader = new StreamReader(stream)
            reader.ReadToEnd()

    let private own name = resource (Assembly.GetExecutingAssembly()) ((=) name)

    let private plotly =
        lazy
            (resource typeof<GenericChart>.Assembly (fun name ->
                name.Contains "plotly-" && name.EndsWith(".min.js", StringComparison.Ordinal)))

    /// JSON inside a script element: "<" is written as an escape, so that no text can close the element.
    let private json (value: obj) =
        let options = JsonSerializerOptions(Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping)
        JsonSerializer.Serialize(value, options).Replace("<", "\\u003c")

    /// A paragraph of plain text.
    let paragraph (text: string) : XmlNode = p [] [ str text ]

    /// A section with a heading.
    let titled (id: string) (heading: string) (body: XmlNode list) : XmlNode = section [ _id id ] (h2 [] [ str heading ] :: body)

    /// An empty element, which the page's script fills with the chart of that id.
    let chart (id: string) (label: string) : XmlNode = div [ _class "chart"; _id id; attr "role" "img"; attr "aria-label" label ] []

    /// A range slider for lambda with its read-out, and what it shows.
    let slider (attributes: XmlAttribute list) (shown: XmlNode list) : XmlNode =
        div
            (_class "slider" :: attributes)
            ([ label [ _for "lambda" ] [ str "price of cost λ = "; tag "output" [ _id "lambda-value" ] [] ]
               input [ _id "lambda"; _type "range"; _min "0"; _step "1" ]
               p [ _id "lambda-text"; attr "aria-live" "polite" ] [] ]
             @ shown)

    /// A table that scrolls sideways on a narrow screen; the first cell of each row is its heading.
    let table (headings: XmlNode list list) (rows: XmlNode list list seq) : XmlNode =
        let row (cells: XmlNode list list) = tr [] (th [ attr "scope" "row" ] cells.Head :: [ for cell in cells.Tail -> td [] cell ])
        div
            [ _class "scroll"; attr "tabindex" "0" ]
            [ tag
                  "table"
                  []
                  [ thead [] [ tr [] [ for heading in headings -> th [ attr "scope" "col" ] heading ] ]
                    tbody [] [ for cells in rows -> row cells ] ] ]

    /// A whole page: its title and heading, what stands above the main part, the main part, what stands below it, and the
    /// data that the scripts (names of our own files) read by id.
    let render
        (title': string)
        (heading: string)
        (styles: string list)
        (above: XmlNode list)
        (body': XmlNode list)
        (below: string)
        (data': (string * obj) list)
        (scripts: string list)
        : string =
        let policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
        html
            [ _lang "en" ]
            [ head
                  []
                  [ meta [ _charset "utf-8" ]
                    // The single quotes stand as they are: some readers of pages do not decode them here.
                    rawText $"<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">"
                    meta [ _name "viewport"; _content "width=device-width, initial-scale=1" ]
                    title [] [ str title' ]
                    style [] [ rawText (styles |> List.map own |> String.concat "") ] ]
              body
                  []
                  ([ header [] [ h1 [] [ str heading ]; button [ _id "theme"; _type "button" ] [ str "light / dark" ] ] ]
                   @ above
                   @ [ main [] body'
                       footer
                           []
                           [ str
                                 $"Written by the Optimal Stopping Toolkit{below} Charts by plotly.js (MIT licence), contained in this file." ]
                       script [] [ rawText plotly.Value ] ]
                   @ [ for id, value in data' -> script [ _type "application/json"; _id id ] [ rawText (json value) ] ]
                   @ [ script [] [ rawText (scripts |> List.map own |> String.concat "") ] ]) ]
        |> RenderView.AsString.htmlDocument
