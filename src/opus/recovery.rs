//! How a gap between packets is filled.

use super::libopus::NEURAL;
use super::packet::{GRID_TICKS, LONGEST_TICKS, Layout};
use crate::core::{Format, Packet};
use crate::dsp::kernels;

/// A gap is filled in steps of so much, 20 ms: the frame of libopus's own concealment.
const STEP_TICKS: u32 = 960;

/// What was heard last is measured over so much.
const LAST_MS: f32 = 20.0;

/// How fast that is done, and undone.
const GLIDE_MS: f32 = 1.0;

/// How the next piece of a gap is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// From the forward error correction of the next packet.
    Fec,
    /// From redundancy moved back by so many steps of 2.5 ms.
    Dred(u32),
    /// With what the decoder can guess.
    Conceal,
}

/// How to go on with a gap: for how many ticks, and how.
pub fn plan(gap: &Packet) -> (u32, Recovery) {
    let left = gap.duration() / GRID_TICKS * GRID_TICKS;
    let step = left.min(STEP_TICKS);
    let steps_ahead = (gap.until_later() + i64::from(GRID_TICKS / 2)).div_euclid(GRID_TICKS.into());
    let later = (1..=i64::from(i32::MAX) / i64::from(GRID_TICKS)).contains(&steps_ahead);
    let Some(later) = Layout::of(gap.as_bytes()).filter(|_| later) else {
        return (step, Recovery::Conceal);
    };
    let ahead = steps_ahead as u32 * GRID_TICKS;
    // Forward error correction is all or nothing: as much as a frame, right before its packet.
    let fec = if later.has_fec() { later.ticks_per_frame() } else { 0 };
    if fec > 0 && ahead == fec && left >= fec {
        return (fec, Recovery::Fec);
    }
    let step = if ahead > fec && left >= ahead { step.min(ahead - fec) } else { step };
    if let Some(dred) = later.dred().filter(|_| NEURAL) {
        // What is too far back is made in one go with what comes next, in whole steps.
        let beyond = ahead.saturating_sub(dred.most() * GRID_TICKS).next_multiple_of(STEP_TICKS);
        let step = step.max(beyond).min(ahead);
        if step <= left.min(LONGEST_TICKS) {
            return (step, Recovery::Dred((ahead - step) / GRID_TICKS));
        }
    }
    (step, Recovery::Conceal)
}

/// Keeps what is made up from getting louder than what was before it.
///
/// libopus may guess a rise at first, and in CELT it fades for 100 ms and then, with noise of the last spectrum, begins
/// anew: 12 dB louder.
#[derive(Clone, Copy, Debug)]
pub struct Ceiling {
    /// Mean square of the sound before.
    power: f32,
    gain: f32,
}

impl Ceiling {
    pub const NOTHING_HEARD: Self = Self { power: 0.0, gain: 1.0 };

    /// Takes note of interleaved sound that is not made up, and lets go of it.
    pub fn lift(&mut self, sound: &mut [f32], format: Format) {
        self.glide(sound, 1.0, format);
        let last = sound.len().saturating_sub(format.samples_in_ms(LAST_MS) * format.channels());
        self.power = mean_square(&sound[last..]);
    }

    /// Holds interleaved sound that is made up.
    pub fn hold(&mut self, sound: &mut [f32], format: Format) {
        let power = mean_square(sound);
        let gain = if power > self.power { (self.power / power).sqrt() } else { 1.0 };
        self.glide(sound, gain, format);
        self.power = self.power.min(power);
    }

    fn glide(&mut self, sound: &mut [f32], gain: f32, format: Format) {
        if self.gain == 1.0 && gain == 1.0 {
            return;
        }
        let (count, steps) = (format.channels(), format.samples_in_ms(GLIDE_MS));
        let slope = (gain - self.gain) / steps as f32;
        let (moving, steady) = sound.split_at_mut(sound.len().min(steps * count));
        for (index, samples) in moving.chunks_exact_mut(count).enumerate() {
            let gain = self.gain + slope * (index + 1) as f32;
            samples.iter_mut().for_each(|sample| *sample *= gain);
        }
        kernels::scale(steady, gain);
        self.gain = gain;
    }
}

fn mean_square(sound: &[f32]) -> f32 {
    kernels::energy(sound) / sound.len().max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_made_up_only_gets_quieter_and_nothing_steps() {
        let format = Format::stereo(8_000).unwrap();
        let mut ceiling = Ceiling::NOTHING_HEARD;
        let mut sound = vec![0.1; 320];
        ceiling.lift(&mut sound, format);
        assert!(sound.iter().all(|&s| s == 0.1), "untouched");
        let mut heard = sound;
        for level in [0.2, 0.05, 0.4] {
            let mut made = vec![level; 320];
            ceiling.hold(&mut made, format);
            heard.extend(made);
        }
        let mut back = vec![0.3; 320];
        ceiling.lift(&mut back, format);
        heard.extend(back);
        let ends: Vec<f32> = heard.chunks(320).map(|block| block[319]).collect();
        let wanted = [0.1, 0.1, 0.05, 0.05, 0.3];
        assert!(ends.iter().zip(wanted).all(|(is, should)| (is - should).abs() < 1e-6), "{ends:?}");
    }
}
