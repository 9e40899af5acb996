//! The figures of a long call over time.

use crate::common::canvas::Canvas;
use crate::common::chart::{BLUE, Chart, GREEN, ORANGE, RED, Result, draw as draw_charts};
use crate::log::{Log, Step};

pub fn draw(log: &Log) -> Result<Canvas> {
    let charts: [Chart<'_, Step>; 4] = [
        Chart {
            title: "Level heard (dBFS)",
            range: -80.0..0.0,
            lines: &[("level", BLUE, |step| Some(step.level_dbfs))],
        },
        Chart {
            title: "Delay of the jitter buffer (ms), sound concealed (‰)",
            range: 0.0..1000.0,
            lines: &[
                ("mean", BLUE, |step| Some(step.delay_ms)),
                ("longest", ORANGE, |step| Some(step.longest_delay_ms)),
                ("concealed", RED, |step| Some(1000.0 * step.concealed)),
            ],
        },
        Chart {
            title: "Memory (MiB)",
            range: 0.0..64.0,
            lines: &[("resident", GREEN, |step| Some(step.resident_kib as f64 / 1024.0))],
        },
        Chart {
            title: "Time of 10 ms at the near end (µs)",
            range: 0.0..2000.0,
            lines: &[("median", BLUE, |step| Some(step.median_us)), ("99 %", ORANGE, |step| Some(step.p99_us))],
        },
    ];
    draw_charts(&log.steps, |step| 3600.0 * step.hours, 260, &charts)
}
