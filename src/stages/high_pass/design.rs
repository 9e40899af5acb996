//! Filter design: orders 2 to 4 as two second-order sections.

use super::settings::HighPass;
use crate::core::Format;
use crate::dsp::biquad::{CascadeParams, SectionParams};

/// Parameters of the filter that the settings ask for. All orders, and a filter that is `out`, have the same structure,
/// so that any can be interpolated to any other.
pub(super) fn design(settings: &HighPass, out: bool, format: Format) -> CascadeParams {
    let cutoff = f64::from(settings.cutoff_hz) / f64::from(format.sample_rate_hz());
    let g = (std::f64::consts::PI * cutoff).tan();
    // Subtracting the band-pass (times 1/Q) and the low-pass output from the input leaves the high-pass output.
    let high = |g: f64, q: f64| SectionParams { g, k: 1.0 / q, band: -1.0 / q, low: -1.0 };
    let mut design = match settings.order {
        // With this Q the gain peaks at +0.08 dB; the factor then puts −3.01 dB at the cutoff.
        2 => [high(1.069_267_740_6 * g, 0.76), SectionParams { g, k: 1.0, band: 0.0, low: 0.0 }],
        // s / (s + 1) = s (s + 1) / (s + 1)²: first order from a section of second.
        3 => [high(g, 1.0), SectionParams { g, k: 2.0, band: -1.0, low: -1.0 }],
        // Q = 1 / (2 cos(π/8)) and 1 / (2 cos(3π/8)).
        _ => [high(g, 0.541_196_100_146_197), high(g, 1.306_562_964_876_376_4)],
    };
    if out {
        design.iter_mut().for_each(|section| (section.band, section.low) = (0.0, 0.0));
    }
    design
}
