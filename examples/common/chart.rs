//! Charts of lines over time, one above the other.

use std::error::Error;
use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::register_font;

use super::canvas::{Canvas, SCALE};

pub const WIDTH: u32 = 1400;
pub const BLUE: RGBColor = RGBColor(0, 107, 178);
pub const ORANGE: RGBColor = RGBColor(230, 140, 20);
pub const GREEN: RGBColor = RGBColor(40, 150, 90);
pub const GREY: RGBColor = RGBColor(150, 150, 150);
pub const RED: RGBColor = RGBColor(200, 60, 50);
const GRID: RGBColor = RGBColor(228, 228, 228);

pub type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;
pub type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;
pub type Panel<'a> = ChartContext<'a, BitMapBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

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
pub fn draw<S>(steps: &[S], seconds: fn(&S) -> f64, height: u32, charts: &[Chart<'_, S>]) -> Result<Canvas> {
    picture(height * charts.len() as u32, |root| {
        let areas = root.split_evenly((charts.len(), 1));
        areas.iter().zip(charts).try_for_each(|(area, chart)| draw_one(area, steps, seconds, chart))
    })
}

/// A picture of this height, white where nothing is drawn.
pub fn picture(height: u32, draw: impl FnOnce(&Area<'_>) -> Result) -> Result<Canvas> {
    for (style, font) in [(FontStyle::Normal, notosans::REGULAR_TTF), (FontStyle::Bold, notosans::BOLD_TTF)] {
        register_font("sans-serif", style, font).map_err(|_| "the font cannot be read")?;
    }
    let mut canvas = Canvas::new(WIDTH * SCALE, height * SCALE);
    let size = (canvas.width, canvas.height);
    {
        let root = BitMapBackend::with_buffer(&mut canvas.pixels, size).into_drawing_area();
        root.fill(&WHITE)?;
        draw(&root)?;
        root.present()?;
    }
    Ok(canvas.reduced())
}

fn draw_one<S>(area: &Area<'_>, steps: &[S], seconds: fn(&S) -> f64, chart: &Chart<'_, S>) -> Result {
    let Chart { title, range, lines } = chart;
    let mut chart = panel(area, title, steps.last().map_or(1.0, seconds).max(0.1), range.clone())?;
    for &(name, colour, value) in *lines {
        let style = colour.stroke_width(2 * SCALE);
        let point = |step: &S| value(step).map(|value| (seconds(step), value.clamp(range.start, range.end)));
        let known = steps.split(|step| value(step).is_none());
        let lines = known.map(|steps| PathElement::new(steps.iter().filter_map(point).collect::<Vec<_>>(), style));
        chart.draw_series(lines)?.label(name).legend(move |place| key(place, colour));
    }
    legend(&mut chart)
}

/// An empty chart over time.
pub fn panel<'a>(area: &Area<'a>, title: &str, seconds: f64, range: Range<f64>) -> Result<Panel<'a>> {
    let font = |size: u32, style| ("sans-serif", size * SCALE, style).into_font();
    let mut chart = ChartBuilder::on(area)
        .margin(10 * SCALE)
        .margin_right(24 * SCALE)
        .caption(title, font(20, FontStyle::Bold))
        .x_label_area_size(28 * SCALE)
        .y_label_area_size(52 * SCALE)
        .build_cartesian_2d(0.0..seconds, range)?;
    let mut mesh = chart.configure_mesh();
    mesh.x_labels(12).y_labels(6).label_style(font(15, FontStyle::Normal)).bold_line_style(GRID);
    mesh.light_line_style(TRANSPARENT)
        .x_label_formatter(&|t| format!("{t} s"))
        .y_label_formatter(&|y| format!("{y}"))
        .draw()?;
    Ok(chart)
}

/// The names of all series with their colours.
pub fn legend(chart: &mut Panel<'_>) -> Result {
    let font = ("sans-serif", 15 * SCALE).into_font();
    let mut labels = chart.configure_series_labels();
    labels.position(SeriesLabelPosition::UpperRight).background_style(WHITE.mix(0.85)).label_font(font);
    Ok(labels.legend_area_size(26 * SCALE).draw()?)
}

/// A series' colour in the legend.
pub fn key((x, y): (i32, i32), colour: RGBColor) -> Rectangle<(i32, i32)> {
    let half = 5 * SCALE as i32;
    Rectangle::new([(x, y - half), (x + 4 * half, y + half)], colour.filled())
}
