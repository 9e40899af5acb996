//! Charts of lines over time, one above the other.

use std::error::Error;
use std::ops::Range;

use plotters::prelude::*;
use plotters::style::register_font;

use super::canvas::{Canvas, SCALE};

const WIDTH: u32 = 1400;
pub const BLUE: RGBColor = RGBColor(0, 107, 178);
pub const ORANGE: RGBColor = RGBColor(230, 140, 20);
pub const GREEN: RGBColor = RGBColor(40, 150, 90);
pub const GREY: RGBColor = RGBColor(150, 150, 150);
const GRID: RGBColor = RGBColor(228, 228, 228);

/// Line: a name, a colour, and its value in a step, if it has one.
pub type Line<S> = (&'static str, RGBColor, fn(&S) -> Option<f64>);

/// Chart of some lines.
pub struct Chart<'a, S> {
    pub title: &'static str,
    /// Values from the bottom to the top.
    pub range: Range<f64>,
    pub lines: &'a [Line<S>],
}

/// Draws charts of `height` pixels each; `seconds` is the time of a step.
pub fn draw<S>(
    steps: &[S],
    seconds: fn(&S) -> f64,
    height: u32,
    charts: &[Chart<'_, S>],
) -> Result<Canvas, Box<dyn Error>> {
    for (style, font) in [(FontStyle::Normal, notosans::REGULAR_TTF), (FontStyle::Bold, notosans::BOLD_TTF)] {
        register_font("sans-serif", style, font).map_err(|_| "the font cannot be read")?;
    }
    let mut canvas = Canvas::new(WIDTH * SCALE, height * charts.len() as u32 * SCALE);
    let size = (canvas.width, canvas.height);
    {
        let root = BitMapBackend::with_buffer(&mut canvas.pixels, size).into_drawing_area();
        root.fill(&WHITE)?;
        for (area, chart) in root.split_evenly((charts.len(), 1)).iter().zip(charts) {
            draw_one(area, steps, seconds, chart)?;
        }
        root.present()?;
    }
    Ok(canvas.reduced())
}

fn draw_one<S>(
    area: &DrawingArea<BitMapBackend<'_>, plotters::coord::Shift>,
    steps: &[S],
    seconds: fn(&S) -> f64,
    Chart { title, range, lines }: &Chart<'_, S>,
) -> Result<(), Box<dyn Error>> {
    let font = |size: u32, style| ("sans-serif", size * SCALE, style).into_font();
    let end = steps.last().map_or(1.0, seconds).max(0.1);
    let mut chart = ChartBuilder::on(area)
        .margin(10 * SCALE)
        .margin_right(24 * SCALE)
        .caption(title, font(20, FontStyle::Bold))
        .x_label_area_size(28 * SCALE)
        .y_label_area_size(52 * SCALE)
        .build_cartesian_2d(0.0..end, range.clone())?;
    let mut mesh = chart.configure_mesh();
    mesh.x_labels(12).y_labels(6).label_style(font(15, FontStyle::Normal)).bold_line_style(GRID);
    mesh.light_line_style(TRANSPARENT)
        .x_label_formatter(&|t| format!("{t} s"))
        .y_label_formatter(&|y| format!("{y}"))
        .draw()?;
    for &(name, colour, value) in *lines {
        let style = colour.stroke_width(2 * SCALE);
        let point = |step: &S| value(step).map(|value| (seconds(step), value.clamp(range.start, range.end)));
        let known = steps.split(|step| value(step).is_none());
        let lines = known.map(|steps| PathElement::new(steps.iter().filter_map(point).collect::<Vec<_>>(), style));
        let series = chart.draw_series(lines)?;
        series.label(name).legend(move |(x, y)| {
            let half = 5 * SCALE as i32;
            Rectangle::new([(x, y - half), (x + 4 * half, y + half)], colour.filled())
        });
    }
    let mut labels = chart.configure_series_labels();
    labels.position(SeriesLabelPosition::UpperRight).background_style(WHITE.mix(0.85));
    Ok(labels.label_font(("sans-serif", 15 * SCALE)).legend_area_size(26 * SCALE).draw()?)
}
