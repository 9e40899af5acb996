//! The run as a picture: levels, ERLE, delay and drift over time.

use std::error::Error;
use std::ops::Range;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::register_font;

use crate::common::canvas::{Canvas, SCALE};
use crate::log::{Log, Step};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;
type Area<'a> = DrawingArea<BitMapBackend<'a>, Shift>;

/// What is drawn: a name, a colour, and its value in a step, if it has one.
type Line = (&'static str, RGBColor, fn(&Step) -> Option<f64>);

const SIZE: (u32, u32) = (1400, 900);
const BLUE: RGBColor = RGBColor(0, 107, 178);
const ORANGE: RGBColor = RGBColor(230, 140, 20);
const GREEN: RGBColor = RGBColor(40, 150, 90);
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
        let steps = log.steps();
        let (top, rest) = root.split_vertically(330 * SCALE);
        let (middle, bottom) = rest.split_vertically(330 * SCALE);
        let levels: [Line; 3] = [
            ("far end", GREY, |step| Some(step.far_dbfs)),
            ("microphone", ORANGE, |step| Some(step.mic_dbfs)),
            ("output", BLUE, |step| Some(step.out_dbfs)),
        ];
        panel(&top, "Level (dBFS)", &steps, -100.0..0.0, &levels)?;
        let erle: [Line; 2] = [
            ("microphone over output", BLUE, |step| Some(step.mic_dbfs - step.out_dbfs)),
            ("echo return loss enhancement", GREEN, |step| step.reading.echo_return_loss_enhancement.map(f64::from)),
        ];
        panel(&middle, "ERLE (dB)", &steps, -5.0..65.0, &erle)?;
        let times: [Line; 2] = [
            ("delay (ms)", BLUE, |step| step.reading.delay_ms.map(f64::from)),
            ("drift (ppm)", ORANGE, |step| Some(step.reading.drift_ppm.into())),
        ];
        panel(&bottom, "Delay and drift", &steps, -320.0..520.0, &times)?;
        root.present()?;
    }
    Ok(canvas.reduced())
}

fn panel(area: &Area<'_>, title: &str, steps: &[Step], range: Range<f64>, lines: &[Line]) -> Result {
    let font = |size: u32, style| ("sans-serif", size * SCALE, style).into_font();
    let seconds = steps.last().map_or(1.0, |step| step.seconds).max(0.1);
    let mut chart = ChartBuilder::on(area)
        .margin(10 * SCALE)
        .margin_right(24 * SCALE)
        .caption(title, font(20, FontStyle::Bold))
        .x_label_area_size(28 * SCALE)
        .y_label_area_size(52 * SCALE)
        .build_cartesian_2d(0.0..seconds, range.clone())?;
    let mut mesh = chart.configure_mesh();
    mesh.x_labels(12).y_labels(6).label_style(font(15, FontStyle::Normal)).bold_line_style(GRID);
    mesh.light_line_style(TRANSPARENT)
        .x_label_formatter(&|t| format!("{t} s"))
        .y_label_formatter(&|y| format!("{y}"))
        .draw()?;
    for &(name, colour, value) in lines {
        let style = colour.stroke_width(2 * SCALE);
        let point = |step: &Step| value(step).map(|value| (step.seconds, value.clamp(range.start, range.end)));
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
