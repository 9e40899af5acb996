//! What tests measure of a signal, and how they put one through a processor.

use voxframe::Frame;
use voxframe::pipeline::FrameProcessor;

/// RMS level in dBFS, −120 at least.
pub fn level(samples: &[f32]) -> f32 {
    let energy: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    (10.0 * (energy / samples.len().max(1) as f64).log10()).max(-120.0) as f32
}

/// Delay in samples at which `out` correlates best with `reference`, from −`most` to `most`.
pub fn delay(reference: &[f32], out: &[f32], most: i64) -> i64 {
    let correlation = |lag: i64| -> f64 {
        let from = lag.max(0) as usize;
        let skip = (-lag).max(0) as usize;
        let reference = &reference[skip.min(reference.len())..];
        let out = &out[from.min(out.len())..];
        reference.iter().zip(out).map(|(a, b)| f64::from(a * b)).sum()
    };
    (-most..=most).max_by(|&a, &b| correlation(a).total_cmp(&correlation(b))).unwrap()
}

/// Largest step from one sample to the next.
pub fn steepest(samples: &[f32]) -> f32 {
    samples.windows(2).map(|two| (two[1] - two[0]).abs()).fold(0.0, f32::max)
}

/// Planar sound through a processor, frame by frame, the last one filled up with silence: what comes out, and the
/// position of each frame of it.
pub fn run(processor: &mut FrameProcessor, channels: &[Vec<f32>]) -> (Vec<Vec<f32>>, Vec<i64>) {
    let format = processor.input_format();
    let length = format.samples_per_channel();
    let mut out = vec![Vec::new(); format.channels()];
    let mut positions = Vec::new();
    for start in (0..channels[0].len()).step_by(length) {
        let mut frame = Frame::new(format);
        frame.set_position(start as i64);
        for (to, from) in frame.channels_mut().zip(channels) {
            let from = &from[start..from.len().min(start + length)];
            to[..from.len()].copy_from_slice(from);
        }
        if let Some(frame) = processor.process(&mut frame).unwrap() {
            positions.push(frame.position());
            for (to, from) in out.iter_mut().zip(frame.channels()) {
                to.extend_from_slice(from);
            }
        }
    }
    (out, positions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::noise;

    #[test]
    fn levels_and_delays_are_found() {
        assert_eq!((level(&[1.0, -1.0]), level(&[0.0; 8]), level(&[])), (0.0, -120.0, -120.0));
        let sound = noise(1, 2000, 1.0);
        assert!((level(&sound) + 4.77).abs() < 0.2);
        assert_eq!((delay(&sound, &sound[7..], 20), delay(&sound[13..], &sound, 20)), (-7, 13));
        assert_eq!(steepest(&[0.0, 0.5, -0.25]), 0.75);
    }
}
