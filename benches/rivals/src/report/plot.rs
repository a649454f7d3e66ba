//! The picture: what one delivery costs, against the number of subscribers. One line for each rival's best arrangement.
//!
//! Solid: all subscribers read one queue; dashed: a channel for each. The bus is drawn over all others.

use crate::allocator::Allocator;
use crate::bench::Outcome;
use crate::families::WIDTHS;
use crate::results::{Cell, Cells};
use plotters::coord::Shift;
use plotters::coord::combinators::{LogCoord, WithKeyPoints};
use plotters::element::DashedPathElement;
use plotters::prelude::*;
use plotters::series::DashedLineSeries;
use std::ops::Range;
use std::path::Path;

const SIZE: (u32, u32) = (1000, 640);
/// The legend stands to the right of this.
const LEGEND_FROM: i32 = 840;
/// Where the height is written, in nanoseconds.
const HEIGHTS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];
const DASH: u32 = 6;
const GAP: u32 = 4;
const TITLE: &str = "Fan-out: a new message to every subscriber, one publisher (median, mimalloc)";
const CHANNELS: [&str; 6] = ["crossbeam", "kanal", "flume", "std-mpsc", "tokio-mpsc", "crossfire"];
const SHARED: [&str; 6] =
    ["tokio-broadcast", "async-broadcast", "bus", "multiqueue2", "disruptor-multi", "disruptor-single"];
const OURS: [&str; 2] = ["stasis pool", "stasis inline"];
/// Told apart on paper and by most eyes.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(120, 94, 40),
];
const OUR_COLOURS: [RGBColor; 2] = [RGBColor(200, 30, 30), RGBColor(240, 130, 130)];

/// A line of the picture.
struct Line {
    name: &'static str,
    style: ShapeStyle,
    dashed: bool,
    /// Subscribers, and nanoseconds per delivery.
    points: Vec<(f64, f64)>,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Axis = WithKeyPoints<LogCoord<f64>>;
type Chart<'a> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<Axis, Axis>>;

/// Draws what the fan-out scenarios brought; an error if there is too little of it.
pub fn draw(results: &[Cells], path: &Path) -> Outcome<()> {
    let lines = lines(results);
    if lines.is_empty() {
        return Err("--plot needs two of the scenarios fanout-1 to fanout-1000".into());
    }
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (picture, legend) = root.split_horizontally(LEGEND_FROM);
    draw_chart(&picture, &lines)?;
    draw_legend(&legend, &lines)?;
    root.present()?;
    Ok(())
}

fn draw_chart(area: &Area<'_>, lines: &[Line]) -> Outcome<()> {
    let x =
        LogCoord::from((1.0..1000.0).log_scale()).with_key_points(WIDTHS.map(|width| width as f64).into());
    let heights = heights(lines);
    let written = HEIGHTS.into_iter().filter(|height| heights.contains(height)).collect();
    let y = LogCoord::from(heights.log_scale()).with_key_points(written);
    let mut chart = ChartBuilder::on(area)
        .caption(TITLE, ("sans-serif", 20))
        .margin(14)
        .x_label_area_size(44)
        .y_label_area_size(64)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .x_desc("subscribers")
        .y_desc("ns per delivery")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .label_style(("sans-serif", 14))
        .draw()?;
    lines.iter().try_for_each(|line| add(&mut chart, line))
}

fn add(chart: &mut Chart<'_>, line: &Line) -> Outcome<()> {
    let (points, style) = (line.points.clone(), line.style);
    match line.dashed {
        true => chart.draw_series(DashedLineSeries::new(points.clone(), DASH, GAP, style))?,
        false => chart.draw_series(LineSeries::new(points.clone(), style))?,
    };
    chart.draw_series(points.into_iter().map(|point| Circle::new(point, 3, style.filled())))?;
    Ok(())
}

/// From the most expensive one at the right edge down, as the lines end there.
fn draw_legend(area: &Area<'_>, lines: &[Line]) -> Outcome<()> {
    let mut sorted: Vec<_> = lines.iter().collect();
    let last = |line: &Line| line.points.last().map_or(0.0, |point| point.1);
    sorted.sort_by(|a, b| last(b).total_cmp(&last(a)));
    for (line, y) in sorted.into_iter().zip((60..).step_by(24)) {
        let gap = if line.dashed { GAP } else { 0 };
        area.draw(&DashedPathElement::new([(0, y), (26, y)], DASH, gap, line.style))?;
        area.draw(&Text::new(line.name, (34, y - 8), ("sans-serif", 14)))?;
    }
    Ok(())
}

/// Those that others draw over first.
fn lines(results: &[Cells]) -> Vec<Line> {
    let thin = |names: &[&'static str], dashed| -> Vec<Line> {
        let styled = names.iter().zip(COLOURS).map(|(name, colour)| (*name, colour.stroke_width(2)));
        styled.filter_map(|(name, style)| line(results, name, style, dashed)).collect()
    };
    let thick = OURS.iter().zip(OUR_COLOURS).map(|(name, colour)| (*name, colour.stroke_width(4)));
    let ours = thick.filter_map(|(name, style)| line(results, name, style, false));
    thin(&CHANNELS, true).into_iter().chain(thin(&SHARED, false)).chain(ours).collect()
}

fn line(results: &[Cells], name: &'static str, style: ShapeStyle, dashed: bool) -> Option<Line> {
    let points: Vec<_> = WIDTHS.iter().filter_map(|width| point(results, name, *width)).collect();
    (points.len() > 1).then_some(Line { name, style, dashed, points })
}

fn point(results: &[Cells], name: &str, width: usize) -> Option<(f64, f64)> {
    let cells = results.iter().find(|cells| cells.scenario == format!("fanout-{width}"))?;
    let of_it = |cell: &&Cell| cell.row.is(name) && cell.row.allocator == Allocator::Mimalloc;
    let best = cells.all.iter().filter(of_it).map(Cell::median).min_by(f64::total_cmp)?;
    Some((width as f64, best / width as f64))
}

/// From the lowest to the highest, with a margin.
fn heights(lines: &[Line]) -> Range<f64> {
    let costs = || lines.iter().flat_map(|line| line.points.iter().map(|(_, cost)| *cost));
    costs().fold(f64::INFINITY, f64::min) * 0.7..costs().fold(1.0, f64::max) * 1.4
}
