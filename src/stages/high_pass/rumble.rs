//! Whether there is rumble.

use super::HighPass;
use crate::core::Frame;
use crate::dsp::kernels;
use crate::dsp::weighted_power::WeightedPower;

/// Over how much time the level of the rumble is taken, and that of the whole sound, in ms.
const RUMBLE_MS: f32 = 400.0;
const SOUND_MS: f32 = 3000.0;

/// Rumble softer than this is none: −60 dBFS, as a power.
const LEAST: f32 = 1e-6;

/// How much less of it there must be for the filter to go out again: 6 dB.
const HYSTERESIS: f32 = 0.25;

/// Compares what lies below half the cutoff with the whole sound.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rumble {
    /// A low-pass of second order for the mean of each millisecond, for each channel.
    low: [[f32; 2]; crate::Format::MAX_CHANNELS],
    power: f32,
    sound: WeightedPower,
    present: bool,
}

impl Rumble {
    /// Whether there is rumble, after this frame.
    pub fn listen(&mut self, settings: &HighPass, frame: &Frame) -> bool {
        let ms = frame.format().frame_ms() as usize;
        let length = frame.format().samples_per_channel();
        let share = 1.0 - (-std::f32::consts::TAU * 0.5 * settings.cutoff_hz / 1000.0).exp();
        let (mut power, mut sound) = (0.0f32, 0.0f32);
        for (channel, low) in frame.channels().zip(&mut self.low) {
            let mut rumble = 0.0;
            for block in 0..ms {
                // At 44.1 kHz a millisecond is 44 or 45 samples.
                let block = &channel[block * length / ms..(block + 1) * length / ms];
                low[0] += share * (block.iter().sum::<f32>() / block.len() as f32 - low[0]);
                low[1] += share * (low[0] - low[1]);
                rumble += low[1] * low[1] / ms as f32;
            }
            power = power.max(rumble);
            sound = sound.max(kernels::energy(channel) / length as f32);
        }
        self.power += ms as f32 / RUMBLE_MS * (power - self.power);
        self.sound.add(sound, ms as f32 / SOUND_MS);

        let bound = 10f32.powf(settings.rumble_db / 10.0) * self.sound.power();
        let bound = if self.present { bound * HYSTERESIS } else { bound.max(LEAST) };
        self.present = self.power > bound;
        self.present
    }
}

#[cfg(test)]
mod tests {
    use super::super::HighPassProcessor;
    use super::*;
    use crate::control::Live;
    use crate::core::{Format, Processor, Stage};
    use crate::testing::fixture;

    const AGAINST: HighPass = HighPass { cutoff_hz: 80.0, order: 4, rumble_db: -10.0, bypassed: false };

    fn filter(settings: HighPass) -> HighPassProcessor {
        settings.prepare(Format::mono(48_000).unwrap()).unwrap()
    }

    fn run(filter: &mut HighPassProcessor, input: &[f32]) -> Vec<f32> {
        let mut frame = Frame::new(filter.input_format());
        let blocks = input.chunks_exact(480);
        let output = blocks.flat_map(|block| {
            frame.samples_mut().copy_from_slice(block);
            filter.process(&mut frame).unwrap().unwrap().samples().to_vec()
        });
        output.collect()
    }

    /// Two seconds of a 1 kHz tone of −20 dBFS, a stand-in for the voice, and of 20 Hz so many dB softer.
    fn tone_and_rumble(rumble_db: f32) -> Vec<f32> {
        let sine = |hz: f32, i: usize| {
            std::f32::consts::SQRT_2 * (std::f32::consts::TAU * (hz * i as f32 / 48_000.0).fract()).sin()
        };
        let rumble = 0.1 * 10f32.powf(rumble_db / 20.0);
        (0..96_000).map(|i| 0.1 * sine(1000.0, i) + rumble * sine(20.0, i)).collect()
    }

    #[test]
    fn a_voice_without_rumble_passes_bit_for_bit() {
        for rumble_db in [-16.0, -10.0] {
            let voice = fixture("speech_clean");
            let output = run(&mut filter(HighPass { rumble_db, ..AGAINST }), &voice);
            assert!(output == voice[..output.len()], "{rumble_db}");
            assert!(run(&mut filter(HighPass::default()), &voice) != output, "always in, it changes the voice");
        }
    }

    #[test]
    fn an_offset_brings_it_in_and_its_end_out_again() {
        let mut filter = filter(AGAINST);
        let voice = &fixture("speech_clean")[..220_800];
        let offset: Vec<f32> = voice.iter().map(|s| s + 0.1).collect();
        let mean = |samples: &[f32]| samples.iter().sum::<f32>() / samples.len() as f32;
        let output = run(&mut filter, &offset);
        assert!(filter.is_in);
        // The offset is gone; it would be 0.1.
        assert!(mean(&output[48_000..]).abs() < 1e-3, "{}", mean(&output[48_000..]));
        let output = run(&mut filter, voice);
        assert!(!filter.is_in);
        assert!(output[..9600] != voice[..9600], "it stays while it may still be rumbling");
        assert!(output[144_000..] == voice[144_000..], "out again, it changes nothing");
    }

    #[test]
    fn it_stays_in_until_there_is_6_db_less() {
        let mut filter = filter(AGAINST);
        // What tells rumble takes 1.9 dB off 20 Hz itself.
        for (rumble_db, is_in) in [(-12.0, false), (-4.0, true), (-12.0, true), (-22.0, false), (-12.0, false)] {
            run(&mut filter, &tone_and_rumble(rumble_db));
            run(&mut filter, &tone_and_rumble(rumble_db));
            assert_eq!(filter.is_in, is_in, "{rumble_db} dB");
        }
    }

    #[test]
    fn what_is_too_soft_to_hear_is_no_rumble() {
        for (offset, is_in) in [(0.000_7, false), (0.002, true)] {
            let mut filter = filter(AGAINST);
            run(&mut filter, &vec![offset; 144_000]);
            assert_eq!(filter.is_in, is_in, "{offset}");
        }
    }

    #[test]
    fn after_a_reset_it_is_out_and_as_new() {
        let mut filter = filter(AGAINST);
        run(&mut filter, &tone_and_rumble(0.0));
        assert!(filter.is_in);
        filter.reset();
        assert!(!filter.is_in);
        let rumble = tone_and_rumble(0.0);
        assert!(run(&mut filter, &rumble) == run(&mut self::filter(AGAINST), &rumble));
    }

    #[test]
    fn told_to_be_always_in_it_is_whatever_there_is() {
        let mut filter = filter(HighPass::default());
        assert!(filter.is_in);
        run(&mut filter, &vec![0.0; 144_000]);
        assert!(filter.is_in);

        let (stage, control) = HighPass::default().live();
        let mut filter = stage.prepare(Format::mono(48_000).unwrap()).unwrap();
        let tone = tone_and_rumble(-60.0);
        run(&mut filter, &tone);
        control.update(|filter| filter.rumble_db = -20.0).unwrap();
        let output = run(&mut filter, &tone);
        assert!(!filter.is_in && output[1920..] == tone[1920..]);
        control.update(|filter| filter.rumble_db = HighPass::ALWAYS_DB).unwrap();
        run(&mut filter, &tone);
        assert!(filter.is_in);
    }
}
