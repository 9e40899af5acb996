//! What each stage does to real speech: tests that a stage which did nothing would not survive.

mod common;

#[cfg(feature = "denoise")]
use common::delay;
use common::{fixture, level, run};
use voxframe::{Format, NoiseGate, Processor, Stage};

/// The bundled speech begins after half a second.
const LEAD: usize = 24_000;

fn boxed(
    processor: impl Processor<Input = voxframe::Frame, Output = voxframe::Frame> + Send + 'static,
) -> Box<voxframe::FrameProcessor> {
    Box::new(processor)
}

/// Sound through a processor, its latency taken off and its tail recovered.
fn aligned(processor: &mut voxframe::FrameProcessor, input: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let (from, to) =
        (processor.input_format().sample_rate_hz() as usize, processor.output_format().sample_rate_hz() as usize);
    let mut padded = input.to_vec();
    padded.iter_mut().for_each(|channel| channel.resize(channel.len() + from / 5, 0.0));
    let latency = processor.latency();
    let (out, _) = run(processor, &padded);
    let length = input[0].len() * to / from;
    out.into_iter().map(|channel| channel[latency..latency + length].to_vec()).collect()
}

#[test]
fn the_gate_silences_what_is_between_and_leaves_the_words() {
    let format = Format::mono(48_000).unwrap();
    let noisy: Vec<Vec<f32>> =
        fixture("speech_noisy.wav").iter().map(|c| c.iter().map(|s| s * 0.25).collect()).collect();
    let mut gate = boxed(NoiseGate { lookahead_ms: 10.0, ..NoiseGate::default() }.prepare(format).unwrap());
    let out = aligned(&mut *gate, &noisy);
    let before = level(&noisy[0][4800..LEAD - 4800]);
    let after = level(&out[0][4800..LEAD - 4800]);
    assert!((after - before + 50.0).abs() < 0.5, "closed: {before} dBFS became {after}");
    // Loud moments pass untouched.
    let mut words = 0;
    for (before, after) in noisy[0].chunks(960).zip(out[0].chunks(960)).skip(LEAD / 960) {
        if level(before) > -35.0 {
            words += 1;
            assert!((level(after) - level(before)).abs() < 0.1, "{} became {}", level(before), level(after));
        }
    }
    assert!(words > 50, "{words}");
}

#[cfg(feature = "resample")]
#[test]
fn resampling_there_and_back_is_the_same_speech() {
    use voxframe::{Quality, Resample};
    let speech = fixture("speech_clean.wav");
    for quality in [Quality::LowLatency, Quality::High] {
        let (there, back) =
            (Resample { sample_rate_hz: 96_000, quality }, Resample { sample_rate_hz: 48_000, quality });
        let mut both = boxed(there.then(back).prepare(Format::mono(48_000).unwrap()).unwrap());
        let out = aligned(&mut *both, &speech);
        let error: Vec<f32> = out[0].iter().zip(&speech[0]).map(|(a, b)| a - b).collect();
        let snr = level(&speech[0]) - level(&error);
        println!("48 -> 96 -> 48 kHz, {quality:?}: {snr:.1} dB");
        assert!(snr > 70.0, "{quality:?}: {snr} dB");
    }
}

#[cfg(feature = "denoise")]
mod denoise {
    use super::*;
    use voxframe::{Denoise, Live};

    #[test]
    fn it_takes_noise_and_leaves_speech() {
        let (clean, noisy) = (fixture("speech_clean.wav"), fixture("speech_noisy.wav"));
        let format = Format::mono(48_000).unwrap();
        let out = aligned(&mut *boxed(Denoise::default().prepare(format).unwrap()), &noisy);
        assert_eq!(delay(&clean[0], &out[0], 960), 0);
        let quiet = 9600..LEAD - 2400;
        let reduction = level(&noisy[0][quiet.clone()]) - level(&out[0][quiet]);
        assert!((10.0..=19.0).contains(&reduction), "noise before speech: -{reduction} dB");
        let loud = |s: &[f32]| {
            let loud: Vec<f32> = s.iter().zip(&clean[0]).filter(|(_, c)| c.abs() > 0.02).map(|(s, _)| *s).collect();
            level(&loud)
        };
        let change = loud(&out[0]) - loud(&clean[0]);
        assert!(change.abs() < 1.5, "speech level changed by {change} dB");
        let snr = |s: &[f32]| {
            let error: Vec<f32> = s.iter().zip(&clean[0]).map(|(s, c)| s - c).collect();
            level(&clean[0]) - level(&error)
        };
        assert!(snr(&out[0]) > snr(&noisy[0]) + 2.0, "{} dB, was {}", snr(&out[0]), snr(&noisy[0]));
    }

    #[test]
    fn the_network_and_the_dry_sound_are_aligned_to_the_sample() {
        // Clean speech passes the network nearly unchanged; were the dry sound not aligned, the mix would be a comb.
        let clean = fixture("speech_clean.wav");
        let format = Format::mono(48_000).unwrap();
        let only_wet = aligned(&mut *boxed(Denoise::db(100.0).prepare(format).unwrap()), &clean);
        assert_eq!(delay(&clean[0], &only_wet[0], 480), 0);
        let half = aligned(&mut *boxed(Denoise::db(6.0).prepare(format).unwrap()), &clean);
        let change = level(&half[0]) - level(&clean[0]);
        assert!(change.abs() < 0.5, "{change} dB");
    }

    #[test]
    fn the_first_frame_is_silence_and_there_is_no_fade_in_behind_it() {
        let clean = fixture("speech_clean.wav");
        let speech = vec![clean[0][LEAD + 20_000..].to_vec()];
        let format = Format::mono(48_000).unwrap();
        let (out, positions) = run(&mut *boxed(Denoise::db(100.0).prepare(format).unwrap()), &speech);
        assert_eq!(positions[0], -480);
        assert!(out[0][..480].iter().all(|&s| s == 0.0));
        let first = level(&out[0][480..960]) - level(&speech[0][..480]);
        assert!(first > -6.0, "{first} dB");
    }

    #[test]
    fn the_handle_tells_speech_from_silence() {
        let clean = fixture("speech_clean.wav");
        let (stage, handle) = Denoise::default().live();
        let mut denoiser = stage.prepare(Format::mono(48_000).unwrap()).unwrap();
        let mut during = (0, 0);
        for (index, block) in clean[0].chunks_exact(480).enumerate() {
            let mut frame = voxframe::Frame::new(denoiser.input_format());
            frame.samples_mut().copy_from_slice(block);
            let probability = denoiser.process(&mut frame).unwrap().unwrap().speech_probability().unwrap();
            assert_eq!(handle.reading().speech_probability, probability);
            if index < 45 {
                assert!(probability < 0.1, "silence: {probability}");
            } else if level(block) > -25.0 {
                during.0 += 1;
                during.1 += u32::from(probability > 0.8);
            }
        }
        assert!(during.0 > 50 && during.1 > during.0 * 9 / 10, "{during:?}");
    }

    #[test]
    fn a_stereo_image_stays_where_it_is() {
        // A voice 6 dB to the left in noise that is different on both sides.
        let (clean, noise) = (fixture("speech_clean.wav"), fixture("speech_noisy.wav"));
        let noise: Vec<f32> = noise[0].iter().zip(&clean[0]).map(|(n, c)| n - c).collect();
        let length = clean[0].len() - 9600;
        let side = |gain: f32, offset: usize| -> Vec<f32> {
            (0..length).map(|i| clean[0][i] * gain + noise[(i + offset) % noise.len()] * 0.5).collect()
        };
        let input = [side(1.0, 0), side(0.5, 100_003)];
        let format = Format::stereo(48_000).unwrap();
        let out = aligned(&mut *boxed(Denoise::default().prepare(format).unwrap()), &input);
        assert_eq!(delay(&clean[0][..length], &out[0], 480), 0);
        let mut worst = 0.0f32;
        for start in (LEAD..length - 4800).step_by(4800) {
            let range = start..start + 4800;
            let loud = level(&clean[0][range.clone()]) > -25.0;
            if loud {
                let balance = |c: &[Vec<f32>]| level(&c[0][range.clone()]) - level(&c[1][range.clone()]);
                worst = worst.max((balance(&out) - balance(&input)).abs());
            }
        }
        assert!(worst < 0.7, "the voice moved by {worst} dB");
        let quiet = 9600..LEAD - 2400;
        for (before, after) in input.iter().zip(&out) {
            let reduction = level(&before[quiet.clone()]) - level(&after[quiet.clone()]);
            assert!(reduction > 8.0, "{reduction} dB");
        }
    }

    #[test]
    fn equal_channels_get_what_one_would_and_an_inverted_one_does_no_harm() {
        let noisy = fixture("speech_noisy.wav");
        let mono = aligned(&mut *boxed(Denoise::default().prepare(Format::mono(48_000).unwrap()).unwrap()), &noisy);
        let format = Format::stereo(48_000).unwrap();
        let both =
            aligned(&mut *boxed(Denoise::default().prepare(format).unwrap()), &[noisy[0].clone(), noisy[0].clone()]);
        assert!(both[0] == mono[0] && both[1] == mono[0]);

        let inverted: Vec<f32> = noisy[0].iter().map(|s| -s).collect();
        let out = aligned(&mut *boxed(Denoise::default().prepare(format).unwrap()), &[noisy[0].clone(), inverted]);
        let quiet = 15_000..LEAD - 2400;
        let reduction = level(&noisy[0][quiet.clone()]) - level(&out[0][quiet]);
        assert!(reduction > 8.0, "{reduction} dB");
        assert!(out[0].iter().zip(&out[1]).all(|(l, r)| (l + r).abs() < 1e-4));
    }
}
