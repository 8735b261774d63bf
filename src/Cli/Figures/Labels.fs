namespace OptimalStopping.Cli.Plots

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
    let private directions =
        [| 1.0, 1.0; 1.0, 0.0; 0.0, 1.0; 1.0, -1.0; -1.0, 1.0; 0.0, -1.0; -1.0, -1.0; -1.0, 0.0 |]

    /// The box, of the given size, beside an anchor that covers the fewest obstacles among those inside the area; of
    /// equals the nearest, and then the first in the order of preference. If none fits into the area, the first.
    let place (anchor: ScreenPoint, size: OxySize, area: OxyRect, obstacles: ScreenPoint[]) : OxyRect =
        let candidates =
            [| for distance in [| 4.0; 8.0; 14.0; 22.0 |] do
                   for dx, dy in directions do
                       let x = anchor.X + dx * (distance + size.Width / 2.0)
                       let y = anchor.Y + dy * (distance + size.Height / 2.0) - dy * 2.0
                       OxyRect(x - size.Width / 2.0, y - size.Height / 2.0, size.Width, size.Height) |]
        let inside (box: OxyRect) =
            box.Left >= area.Left && box.Right <= area.Right && box.Top >= area.Top && box.Bottom <= area.Bottom
        let covered (box: OxyRect) =
            obstacles
            |> Array.sumBy (fun p ->
                Convert.ToInt32(p.X > box.Left - 1.5 && p.X < box.Right + 1.5 && p.Y > box.Top - 0.5 && p.Y < box.Bottom + 0.5))
        match candidates |> Array.filter inside with
        | [||] -> candidates[0]
        | fitting -> fitting |> Array.minBy covered

    /// The corners and the middle of a box, as obstacles for the labels that follow.
    let outline (box: OxyRect) : ScreenPoint[] =
        sample (
            [| ScreenPoint(box.Left, box.Top); ScreenPoint(box.Right, box.Top); ScreenPoint(box.Right, box.Bottom)
               ScreenPoint(box.Left, box.Bottom); ScreenPoint(box.Left, box.Top); box.Center |], 2.0)
