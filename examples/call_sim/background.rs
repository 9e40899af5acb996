//! Background noise that changes its level in the middle of a call.

use clap::Args;
use voxframe::{Frame, level};
use voxframe_testkit::random::Random;

/// Time in which the level changes, in s.
const CHANGE_S: f64 = 1.0;

/// Cut-off of the noise, in Hz: above, it falls by 6 dB an octave, as that of most rooms does.
const CUTOFF_HZ: f32 = 500.0;

/// Background noise that is added to what is spoken.
#[derive(Args)]
pub struct BackgroundArgs {
    /// Level of background noise added to what is spoken, in dBFS (RMS)
    #[arg(long, value_parser = super::within(-120.0..=0.0), allow_negative_numbers = true)]
    background_from: Option<f64>,
    /// Level it changes to within a second
    #[arg(long, value_parser = super::within(-120.0..=0.0), allow_negative_numbers = true, requires = "background_from")]
    background_to: Option<f64>,
    /// When it changes, in s
    #[arg(long, default_value_t = 5.0, value_parser = super::within(0.0..=1e6), requires = "background_to")]
    background_at: f64,
}

/// Generator of the noise: white noise through a low-pass of first order.
pub struct Background {
    from_db: f64,
    to_db: f64,
    at_s: f64,
    random: Random,
    low: f32,
}

impl BackgroundArgs {
    pub fn noise(&self) -> Option<Background> {
        let from_db = self.background_from?;
        let to_db = self.background_to.unwrap_or(from_db);
        Some(Background { from_db, to_db, at_s: self.background_at, random: Random::new(1), low: 0.0 })
    }
}

impl Background {
    /// Adds the noise of a frame's time.
    pub fn add(&mut self, frame: &mut Frame) {
        let rate_hz = frame.format().sample_rate_hz() as f32;
        let seconds = frame.position() as f64 / f64::from(rate_hz);
        let changed = ((seconds - self.at_s) / CHANGE_S).clamp(0.0, 1.0);
        let share = 1.0 - (-std::f32::consts::TAU * CUTOFF_HZ / rate_hz).exp();
        // Noise of ±1 has a power of 1/3, and the low-pass leaves this share of it.
        let rms = (share / (2.0 - share) / 3.0).sqrt();
        let gain = level::db_to_gain((self.from_db + changed * (self.to_db - self.from_db)) as f32) / rms;
        for sample in frame.samples_mut() {
            self.low += share * (self.random.white() as f32 - self.low);
            *sample += gain * self.low;
        }
    }
}
