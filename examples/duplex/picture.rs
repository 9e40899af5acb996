//! The run as a picture: levels, ERLE, delay and drift over time.

use crate::common::canvas::Canvas;
use crate::common::chart::{BLUE, Chart, GREEN, GREY, ORANGE, Result, draw as draw_charts};
use crate::log::{Log, Step};

pub fn draw(log: &Log) -> Result<Canvas> {
    let charts: [Chart<'_, Step>; 3] = [
        Chart {
            title: "Level (dBFS)",
            range: -100.0..0.0,
            lines: &[
                ("far end", GREY, |step| Some(step.far_dbfs)),
                ("microphone", ORANGE, |step| Some(step.mic_dbfs)),
                ("output", BLUE, |step| Some(step.out_dbfs)),
            ],
        },
        Chart {
            title: "ERLE (dB)",
            range: -5.0..65.0,
            lines: &[
                ("microphone over output", BLUE, |step| Some(step.mic_dbfs - step.out_dbfs)),
                ("echo return loss enhancement", GREEN, |step| {
                    step.reading.echo_return_loss_enhancement.map(f64::from)
                }),
            ],
        },
        Chart {
            title: "Delay and drift",
            range: -320.0..520.0,
            lines: &[
                ("delay (ms)", BLUE, |step| step.reading.delay_ms.map(f64::from)),
                ("drift (ppm)", ORANGE, |step| Some(step.reading.drift_ppm.into())),
            ],
        },
    ];
    draw_charts(&log.steps(), |step| step.seconds, 300, &charts)
}
