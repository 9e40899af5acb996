//! The call as a picture: network, quality and decisions over time.

use crate::common::canvas::Canvas;
use crate::common::chart::{BLUE, Chart, GREEN, GREY, ORANGE, Result, draw as draw_charts};
use crate::log::{Log, Step};

pub fn draw(log: &Log) -> Result<Canvas> {
    let charts: [Chart<'_, Step>; 4] = [
        Chart {
            title: "Loss (%)",
            range: 0.0..20.0,
            lines: &[
                ("network", GREY, |step| Some(100.0 * step.network_loss)),
                ("as monitored", ORANGE, |step| step.loss.map(|loss| 100.0 * loss)),
                ("encoder's hint", GREEN, |step| Some(step.loss_percent)),
            ],
        },
        Chart {
            title: "Times (ms)",
            range: 0.0..600.0,
            lines: &[
                ("round trip", GREY, |step| Some(step.round_trip_ms)),
                ("jitter", ORANGE, |step| Some(step.jitter_ms)),
                ("mouth to ear", BLUE, |step| Some(step.latency_ms)),
            ],
        },
        Chart {
            title: "Quality (3: excellent, 0: poor), mean opinion score, profile (2: high-quality, 0: low-latency)",
            range: 0.0..5.0,
            lines: &[
                ("quality", ORANGE, |step| Some(f64::from(step.quality as u8))),
                ("mean opinion score", GREEN, |step| step.mean_opinion_score),
                ("profile", BLUE, |step| Some(f64::from(step.profile as u8))),
            ],
        },
        Chart {
            title: "Bit rate (kb/s), packet length (ms)",
            range: 0.0..140.0,
            lines: &[
                ("bit rate", BLUE, |step| Some(step.kbps)),
                ("packet", ORANGE, |step| Some(step.packet_ms)),
                ("FEC on: 10", GREEN, |step| step.fec.then_some(10.0)),
            ],
        },
    ];
    draw_charts(&log.steps, |step| step.seconds, 260, &charts)
}
