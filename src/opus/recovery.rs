//! Recovery of lost sound: which of FEC, DRED and concealment fills the next piece of a gap.

use super::packet::{GRID_TICKS, Layout, MAX_TICKS};
use super::settings::NEURAL;
use crate::core::Packet;

/// Longest piece of a gap that is filled at once: 20 ms, the frame of libopus's own concealment.
const STEP_TICKS: u32 = 960;

/// Source of the sound that fills a piece of a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// In-band FEC of the packet right after the gap.
    Fec,
    /// DRED of a later packet, shifted back by so many steps of 2.5 ms.
    Dred(u32),
    /// Concealment by the decoder.
    Conceal,
}

/// Length of the next piece of a gap in ticks, and the recovery that fills it.
pub fn next_recovery(gap: &Packet) -> (u32, Recovery) {
    let left = gap.duration() / GRID_TICKS * GRID_TICKS;
    let step = left.min(STEP_TICKS);
    let steps_ahead = (gap.until_later() + i64::from(GRID_TICKS / 2)).div_euclid(GRID_TICKS.into());
    let later = (1..=i64::from(i32::MAX) / i64::from(GRID_TICKS)).contains(&steps_ahead);
    let Some(later) = Layout::of(gap.as_bytes()).filter(|_| later) else {
        return (step, Recovery::Conceal);
    };
    let ahead = steps_ahead as u32 * GRID_TICKS;
    // FEC is all or nothing: one Opus frame, right before its packet.
    let fec = if later.has_fec() { later.ticks_per_frame() } else { 0 };
    if fec > 0 && ahead == fec && left >= fec {
        return (fec, Recovery::Fec);
    }
    let step = if ahead > fec && left >= ahead { step.min(ahead - fec) } else { step };
    if let Some(dred) = later.dred().filter(|_| NEURAL) {
        // Sound too far back is made in one go with what comes next, in whole steps.
        let beyond = ahead.saturating_sub(dred.max_shift() * GRID_TICKS).next_multiple_of(STEP_TICKS);
        let step = step.max(beyond).min(ahead);
        if step <= left.min(MAX_TICKS) {
            return (step, Recovery::Dred((ahead - step) / GRID_TICKS));
        }
    }
    (step, Recovery::Conceal)
}
