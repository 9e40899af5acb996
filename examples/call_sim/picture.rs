//! The call as a picture: delay, missing packets, and what was filled in, over time.

use plotters::prelude::*;

use crate::common::canvas::{Canvas, SCALE};
use crate::common::chart::{Area, BLUE, GREEN, GREY, ORANGE, RED, Result, key, legend, panel, picture};
use crate::log::{Log, STEP_MS, Step};

/// What is drawn of a step: a name, a colour, and how much.
type Series = (&'static str, RGBColor, fn(&Step) -> f64);

const HEIGHT: u32 = 900;

pub fn draw(log: &Log) -> Result<Canvas> {
    picture(HEIGHT, |root| {
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
        bars(&bottom, &format!("Sound filled in (ms {per_step})"), &steps, seconds, &filled)
    })
}

fn delays(area: &Area<'_>, log: &Log, seconds: f64) -> Result {
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
fn bars(area: &Area<'_>, title: &str, steps: &[Step], seconds: f64, series: &[Series]) -> Result {
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
