namespace OptimalStopping.Reports

open System
open OxyPlot

/// Finds places for labels beside their points, where they hide as little of the figure as possible.
module Labels =

    /// Points along a polyline, at most `step` apart, so that lines count as obstacles between their corners too.
    let sample (corners: ScreenPoint[], step: float) : ScreenPoint[] =
        [| if corners.Length > 0 then corners[0]
           for a, b in Array.pairwise corners do
               let pieces = max 1 (int (ceil (a.DistanceTo b / step)))
               for i in 1..pieces do
                   let share = float i / float pieces
                   ScreenPoint(a.X + share * (b.X - a.X), a.Y + share * (b.Y - a.Y)) |]

    // Right of the point and below it first: curves of quality against cost rise to the upper left.
    let private directions = [| 1.0, 1.0; 1.0, 0.0; 0.0, 1.0; 1.0, -1.0; -1.0, 1.0; 0.0, -1.0; -1.0, -1.0; -1.0, 0.0 |]

    /// The box, of the given size, beside an anchor: inside the area where that is possible, covering few obstacles and
    /// close to its anchor (a point of distance weighs as much as one obstacle), else in the first direction.
    let place (anchor: ScreenPoint, size: OxySize, area: OxyRect, obstacles: ScreenPoint[]) : OxyRect =
        let candidates =
            [| for distance in [| 4.0; 8.0; 14.0; 22.0 |] do
                   for dx, dy in directions do
                       let x = anchor.X + dx * (distance + size.Width / 2.0)
                       let y = anchor.Y + dy * (distance - 2.0 + size.Height / 2.0)
                       distance, OxyRect(x - size.Width / 2.0, y - size.Height / 2.0, size.Width, size.Height) |]
        let inside (box: OxyRect) = box.Left >= area.Left && box.Right <= area.Right && box.Top >= area.Top && box.Bottom <= area.Bottom
        let covered (box: OxyRect) =
            obstacles
            |> Array.filter (fun p -> p.X > box.Left - 1.5 && p.X < box.Right + 1.5 && p.Y > box.Top - 0.5 && p.Y < box.Bottom + 0.5)
            |> Array.length
        match candidates |> Array.filter (fun (_, box) -> inside box) with
        | [||] -> snd candidates[0]
        | fitting -> fitting |> Array.minBy (fun (distance, box) -> distance + float (covered box)) |> snd

    /// The line that leads from an anchor to a box so far away that one could take it for another point's label;
    /// no points where it is close enough to need none.
    let leader (anchor: ScreenPoint, box: OxyRect) : ScreenPoint[] =
        let nearest = ScreenPoint(Math.Clamp(anchor.X, box.Left, box.Right), Math.Clamp(anchor.Y, box.Top, box.Bottom))
        let distance = anchor.DistanceTo nearest
        if distance < 8.0 then
            [||]
        else
            let start = 3.5 / distance
            [| ScreenPoint(anchor.X + start * (nearest.X - anchor.X), anchor.Y + start * (nearest.Y - anchor.Y)); nearest |]

    /// The corners and the middle of a box, as obstacles for the labels that follow.
    let outline (box: OxyRect) : ScreenPoint[] =
        sample (
            [| ScreenPoint(box.Left, box.Top)
               ScreenPoint(box.Right, box.Top)
               ScreenPoint(box.Right, box.Bottom)
               ScreenPoint(box.Left, box.Bottom)
               ScreenPoint(box.Left, box.Top)
               box.Center |],
            2.0
        )
