//! The call as a picture: delay, missing packets, and what was filled in, over time.

use std::error::Error;
use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::register_font;

use crate::common::canvas::{Canvas, SCALE};
use crate::log::{Log, STEP_MS, Step};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;
type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

type Chart<'a> = ChartContext<'a, BitMapBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// What is drawn of a step: a name, a colour, and how much.
type Series = (&'static str, RGBColor, fn(&Step) -> f64);

const SIZE: (u32, u32) = (1400, 900);
const BLUE: RGBColor = RGBColor(0, 107, 178);
const ORANGE: RGBColor = RGBColor(230, 140, 20);
const GREEN: RGBColor = RGBColor(40, 150, 90);
const RED: RGBColor = RGBColor(200, 60, 50);
const GREY: RGBColor = RGBColor(150, 150, 150);
const GRID: RGBColor = RGBColor(228, 228, 228);

pub fn draw(log: &Log) -> Result<Canvas> {
    for (style, font) in [(FontStyle::Normal, notosans::REGULAR_TTF), (FontStyle::Bold, notosans::BOLD_TTF)] {
        register_font("sans-serif", style, font).map_err(|_| "the font cannot be read")?;
    }
    let mut canvas = Canvas::new(SIZE.0 * SCALE, SIZE.1 * SCALE);
    let size = (canvas.width, canvas.height);
    {
        let root = BitMapBackend::with_buffer(&mut canvas.pixels, size).into_drawing_area();
        root.fill(&WHITE)?;
        let seconds = log.frames.last().map_or(1.0, |frame| frame.0 / 1000.0).max(0.1);
        let (top, rest) = root.split_vertically(380 * SCALE);
        let (middle, bottom) = rest.split_vertically(235 * SCALE);
        delays(&top, log, seconds)?;
        let steps = log.steps();
        let per_step = format!("per {} s", STEP_MS / 1000.0);
        let missing: [Series; 2] =
            [("rebuilt", GREEN, |s| s.rebuilt), ("missing for good", RED, |s| (s.missing - s.rebuilt).max(0.0))];
        bars(&middle, &format!("Missing packets {per_step}"), &steps, seconds, &missing)?;
        let filled: [Series; 4] = [
            ("FEC", GREEN, |s| s.fec),
            ("DRED", BLUE, |s| s.dred),
            ("concealed", RED, |s| s.concealed),
            ("comfort noise", GREY, |s| s.comfort),
        ];
        bars(&bottom, &format!("Sound filled in (ms {per_step})"), &steps, seconds, &filled)?;
        root.present()?;
    }
    Ok(canvas.reduced())
}

fn delays<'a>(area: &Area<'a>, log: &Log, seconds: f64) -> Result {
    // Before the first packet is played there is no delay.
    let played: Vec<_> = log.frames.iter().filter(|frame| frame.2.jitter_buffer_delay_ms > 0.0).collect();
    let most =
        played.iter().map(|frame| frame.1.max(frame.2.jitter_buffer_target_delay_ms.into())).fold(20.0, f64::max);
    let mut chart = panel(area, "Delay (ms)", seconds, 0.0..most * 1.05)?;
    let lines: [(&str, RGBColor, Vec<f64>); 3] = [
        ("end to end", BLUE, played.iter().map(|frame| frame.1).collect()),
        ("waiting in the buffer", ORANGE, played.iter().map(|frame| frame.2.jitter_buffer_delay_ms.into()).collect()),
        ("its target", GREY, played.iter().map(|frame| frame.2.jitter_buffer_target_delay_ms.into()).collect()),
    ];
    for (name, colour, values) in lines {
        let points: Vec<(f64, f64)> = played.iter().map(|frame| frame.0 / 1000.0).zip(values).collect();
        let style = colour.stroke_width(2 * SCALE);
        // Piece by piece: drawn whole, sharp bends would have long tips.
        let pieces = points.windows(2).map(|two| PathElement::new(two.to_vec(), style));
        chart.draw_series(pieces)?.label(name).legend(move |place| key(place, colour));
    }
    legend(&mut chart)
}

/// Bars of what happened in each step, one on top of the other.
fn bars<'a>(area: &Area<'a>, title: &str, steps: &[Step], seconds: f64, series: &[Series]) -> Result {
    let sum = |step: &Step, count: usize| series[..count].iter().map(|(_, _, value)| value(step)).sum::<f64>();
    let most = steps.iter().map(|step| sum(step, series.len())).fold(1.0, f64::max);
    let mut chart = panel(area, title, seconds, 0.0..most * 1.05)?;
    for (index, &(name, colour, _)) in series.iter().enumerate() {
        let blocks = steps.iter().filter(|step| sum(step, index + 1) > sum(step, index)).map(|step| {
            Rectangle::new([(step.from_s, sum(step, index)), (step.to_s, sum(step, index + 1))], colour.filled())
        });
        chart.draw_series(blocks)?.label(name).legend(move |place| key(place, colour));
    }
    legend(&mut chart)
}

fn panel<'a>(area: &Area<'a>, title: &str, seconds: f64, range: Range<f64>) -> Result<Chart<'a>> {
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

fn legend<'a>(chart: &mut Chart<'a>) -> Result {
    let font = ("sans-serif", 15 * SCALE).into_font();
    let mut labels = chart.configure_series_labels();
    labels.position(SeriesLabelPosition::UpperRight).background_style(WHITE.mix(0.85)).label_font(font);
    Ok(labels.legend_area_size(26 * SCALE).draw()?)
}

fn key((x, y): (i32, i32), colour: RGBColor) -> Rectangle<(i32, i32)> {
    let half = 5 * SCALE as i32;
    Rectangle::new([(x, y - half), (x + 4 * half, y + half)], colour.filled())
}
