//! Buffers of any length, layout and sample type.

use proptest::prelude::*;
use voxframe::device::{DeviceSample, I24, U24};
use voxframe::{Capture, Error, Format, Frame, Playout, Source};

/// A sound that never repeats, at most ±1, and its samples told by their number.
fn sound(index: usize) -> f32 {
    (index as f32 * 0.37).sin() * 0.7 + (index as f32 * 0.011).sin() * 0.3
}

/// A source of that sound, which counts its frames.
struct Tone {
    frame: Frame,
    next: usize,
    pulled: usize,
}

impl Tone {
    fn new(format: Format) -> Self {
        Self { frame: Frame::new(format), next: 0, pulled: 0 }
    }
}

impl Source for Tone {
    fn pull(&mut self) -> &mut Frame {
        let start = self.next;
        for (side, channel) in self.frame.channels_mut().enumerate() {
            for (index, sample) in channel.iter_mut().enumerate() {
                *sample = sound(start + index) * if side == 0 { 1.0 } else { -0.5 };
            }
        }
        self.next += self.frame.format().samples_per_channel();
        self.pulled += 1;
        &mut self.frame
    }

    fn output_format(&self) -> Format {
        self.frame.format()
    }

    fn reset(&mut self) {
        self.next = 0;
    }
}

/// Device rates that a build can have frames of 48 kHz for.
fn rates() -> Vec<u32> {
    if cfg!(feature = "resample") { vec![48_000, 44_100, 11_025] } else { vec![48_000] }
}

/// Frames of a capture of `samples` in slices of these lengths, over and over.
fn captured<S: DeviceSample>(rate_hz: u32, channels: usize, samples: &[S], lengths: &[usize]) -> Vec<Frame> {
    let mut capture = Capture::new(rate_hz, channels, Format::stereo(48_000).unwrap()).unwrap();
    let mut frames = Vec::new();
    let mut rest = samples;
    for length in lengths.iter().cycle() {
        let (now, later) = rest.split_at((length * channels).min(rest.len()));
        capture.push_interleaved(now, |frame| frames.push(frame.clone())).unwrap();
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    frames
}

/// Buffers of these lengths, one after the other, until there are `length` samples per channel.
fn played<S: DeviceSample>(rate_hz: u32, channels: usize, length: usize, lengths: &[usize]) -> Vec<S> {
    let mut source = Tone::new(Format::stereo(48_000).unwrap());
    let mut playout = Playout::new(source.output_format(), rate_hz, channels).unwrap();
    let mut out = vec![S::from_f32(0.0); length * channels];
    let mut rest = &mut out[..];
    for length in lengths.iter().cycle() {
        let (now, later) = rest.split_at_mut((length * channels).min(rest.len()));
        playout.fill(now, &mut source).unwrap();
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    assert_eq!(playout.missing(), 0);
    out
}

/// Slices change nothing, the layout neither, and the sound is that of the samples.
fn check<S: DeviceSample + PartialEq + std::fmt::Debug>(lengths: &[usize], channels: usize, tolerance: f32) {
    let length = 2500;
    let samples: Vec<S> = (0..length * channels).map(|index| S::from_f32(sound(index))).collect();
    let planes: Vec<Vec<S>> =
        (0..channels).map(|channel| samples.iter().skip(channel).step_by(channels).copied().collect()).collect();
    for rate_hz in rates() {
        let whole = captured(rate_hz, channels, &samples, &[length]);
        assert_eq!(captured(rate_hz, channels, &samples, lengths), whole, "{rate_hz}");
        let mut capture = Capture::new(rate_hz, channels, Format::stereo(48_000).unwrap()).unwrap();
        let mut planar = Vec::new();
        capture.push_planar(&planes, |frame| planar.push(frame.clone())).unwrap();
        assert_eq!(planar, whole, "{rate_hz}");

        let whole = played::<S>(rate_hz, channels, length, &[length]);
        assert_eq!(played::<S>(rate_hz, channels, length, lengths), whole, "{rate_hz}");
        let mut source = Tone::new(Format::stereo(48_000).unwrap());
        let mut playout = Playout::new(source.output_format(), rate_hz, channels).unwrap();
        let mut planes = vec![vec![S::from_f32(0.0); length]; channels];
        playout.fill_planar(&mut planes, &mut source).unwrap();
        for (channel, plane) in planes.iter().enumerate() {
            assert!(plane.iter().eq(whole.iter().skip(channel).step_by(channels)), "{rate_hz}, {channel}");
        }
    }

    let frames = captured(48_000, channels, &samples, lengths);
    let left: Vec<f32> = frames.iter().flat_map(|frame| frame.channels().next().unwrap().to_vec()).collect();
    assert_eq!(left.len(), 2400);
    for (index, sample) in left.iter().enumerate() {
        let lefts = (0..channels).step_by(2);
        let mean = lefts.clone().map(|channel| sound(index * channels + channel)).sum::<f32>() / lefts.len() as f32;
        assert!((sample - mean).abs() <= tolerance, "{index}: {sample} for {mean}");
    }
    for (index, group) in played::<S>(48_000, channels, length, lengths).chunks_exact(channels).enumerate() {
        let wanted = if channels == 1 { [0.25, 0.0] } else { [1.0, -0.5] };
        for (channel, sample) in group.iter().enumerate() {
            let wanted = sound(index) * wanted.get(channel).copied().unwrap_or(0.0);
            assert!((sample.to_f32() - wanted).abs() <= tolerance, "{index}, {channel}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn slices_of_any_length_and_type_change_nothing(
        lengths in prop::collection::vec(1usize..1500, 1..8),
        channels in 1usize..=8,
    ) {
        check::<i8>(&lengths, channels, 1.01 / 128.0);
        check::<u8>(&lengths, channels, 1.01 / 128.0);
        check::<i16>(&lengths, channels, 1.01 / 32_768.0);
        check::<u16>(&lengths, channels, 1.01 / 32_768.0);
        check::<I24>(&lengths, channels, 3e-7);
        check::<U24>(&lengths, channels, 3e-7);
        check::<i32>(&lengths, channels, 3e-7);
        check::<u32>(&lengths, channels, 3e-7);
        check::<i64>(&lengths, channels, 3e-7);
        check::<u64>(&lengths, channels, 3e-7);
        check::<f32>(&lengths, channels, 3e-7);
        check::<f64>(&lengths, channels, 3e-7);
    }
}

#[test]
fn arrays_vectors_and_slices_can_be_used_afterwards() {
    let mut capture = Capture::new(48_000, 2, Format::mono(48_000).unwrap()).unwrap();
    let mut frames = 0;
    let (array, vector) = ([0i16; 960], vec![0.0f64; 960]);
    capture.push_interleaved(&array, |_| frames += 1).unwrap();
    capture.push_interleaved(&vector, |_| frames += 1).unwrap();
    capture.push_interleaved(&vector[..480], |_| frames += 1).unwrap();
    capture.push_planar(&[&array[..240], &array[480..720]], |_| frames += 1).unwrap();
    assert_eq!((frames, array[0], vector.len()), (3, 0, 960));

    let mut source = Tone::new(Format::mono(48_000).unwrap());
    let mut playout = Playout::new(source.output_format(), 48_000, 2).unwrap();
    let (mut array, mut vector) = ([0i16; 960], vec![0u8; 960]);
    playout.fill(&mut array, &mut source).unwrap();
    playout.fill(&mut vector, &mut source).unwrap();
    playout.fill(&mut vector[..480], &mut source).unwrap();
    let (left, right) = array.split_at_mut(480);
    playout.fill_planar(&mut [left, right], &mut source).unwrap();
    assert_eq!(source.pulled, 4, "480, 480, 240 and 480 samples: the last frame is half played");
}

#[test]
fn callbacks_of_any_length_are_filled() {
    for (rate_hz, length) in [(48_000, 65_536), (48_000, 16_384), (16_000, 4096), (192_000, 65_536), (8_000, 65_536)] {
        if rate_hz != 48_000 && !cfg!(feature = "resample") {
            continue;
        }
        let long = played::<f32>(rate_hz, 1, length, &[length]);
        assert_eq!(long, played::<f32>(rate_hz, 1, length, &[100]), "{rate_hz}");
        assert!(long[length - 100..].iter().any(|sample| sample.abs() > 0.1), "{rate_hz}: to the end");
    }
    let exact = played::<f32>(48_000, 2, 65_536, &[65_536]);
    assert!(exact.chunks_exact(2).enumerate().all(|(index, pair)| pair == [sound(index), sound(index) * -0.5]));
}

#[test]
fn no_more_frames_are_pulled_than_needed() {
    let mut source = Tone::new(Format::mono(48_000).unwrap());
    let mut playout = Playout::new(source.output_format(), 48_000, 1).unwrap();
    for (length, pulled, waiting) in [(1, 1, 479), (479, 1, 0), (480, 2, 0), (0, 2, 0), (961, 5, 479)] {
        playout.fill(&mut vec![0i16; length], &mut source).unwrap();
        assert_eq!((source.pulled, playout.available()), (pulled, waiting));
        assert!((playout.latency_ms() - waiting as f64 / 48.0).abs() < 1e-9);
    }
}

#[test]
fn a_source_of_another_format_is_refused_and_silence_follows() {
    let mut playout = Playout::new(Format::mono(48_000).unwrap(), 48_000, 2).unwrap();
    let mut good = Tone::new(playout.input_format());
    let mut bad = Tone::new(Format::stereo(48_000).unwrap());
    playout.fill(&mut [0i16; 2 * 47], &mut good).unwrap();
    let mut out = [9i16; 2 * 2000];
    let refused = playout.fill(&mut out, &mut bad);
    assert_eq!(refused, Err(Error::WrongFormat { expected: playout.input_format(), actual: bad.output_format() }));
    assert!(out[..2 * 433].iter().any(|&sample| sample.abs() > 10_000));
    assert!(out[2 * 1000..].iter().all(|&sample| sample == 0));
    assert_eq!(playout.fill(&mut [0i16; 3], &mut good), Err(Error::WrongLength { expected: 2, actual: 3 }));
    assert!(playout.fill_planar(&mut [[0i16; 3]; 3], &mut good).is_err());
    playout.fill(&mut out, &mut good).unwrap();
    assert!(out[2 * 1000..].iter().any(|&sample| sample.abs() > 10_000));
}

#[cfg(feature = "resample")]
#[test]
fn latencies_are_told_in_ms() {
    let capture = Capture::new(44_100, 1, Format::mono(48_000).unwrap()).unwrap();
    assert!((capture.latency_ms() - capture.latency() as f64 / 48.0).abs() < 1e-9 && capture.latency() > 100);
    let mut playout = Playout::new(Format::mono(48_000).unwrap(), 44_100, 1).unwrap();
    let resampler = playout.latency() as f64 / 44.1;
    assert!((playout.latency_ms() - resampler).abs() < 1e-9 && resampler > 2.0);
    playout.fill(&mut [0i16; 100], &mut Tone::new(playout.input_format())).unwrap();
    assert!((playout.latency_ms() - resampler - playout.available() as f64 / 44.1).abs() < 1e-9);
    assert!(playout.available() > 300);
    assert_eq!(Capture::for_device(44_100, 2).unwrap().output_format(), Format::mono(44_100).unwrap());
    assert_eq!(Capture::for_device(22_050, 1).unwrap().output_format(), Format::mono(48_000).unwrap());
}
