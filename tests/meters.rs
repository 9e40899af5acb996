//! The meters under a counting allocator: neither processing nor reading allocates. And what every stage promises of
//! wrong frames, bad samples and resets. And that a stage may use what the one before has measured.
#![cfg(all(feature = "loudness", feature = "spectrum"))]

use voxframe::loudness::LoudnessMeter;
use voxframe::meter::LevelReading;
use voxframe::pipeline::{Pipeline, process_fn};
use voxframe::spectrum::Spectrum;
use voxframe::{Error, Format, Frame, Gain, HighPass, LevelMeter, Limiter, Live, NoiseGate, Processor, Stage};
use voxframe_testkit::alloc::{CountingAllocator, allocations};
use voxframe_testkit::random::Random;
use voxframe_testkit::wav::fixture;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn formats() -> impl Iterator<Item = Format> {
    let rates = [8_000, 16_000, 44_100, 48_000, 96_000, 192_000];
    let formats = rates.into_iter().flat_map(|rate_hz| [1, 2].map(|channels| Format::new(rate_hz, channels).unwrap()));
    formats.chain([Format::stereo(48_000).unwrap().with_frame_ms(20).unwrap()])
}

fn fill(frame: &mut Frame, random: &mut Random) {
    frame.samples_mut().iter_mut().for_each(|sample| *sample = random.white() as f32);
}

#[test]
fn the_meters_never_allocate() {
    for format in formats() {
        let (loudness, readings) = LoudnessMeter::default().live();
        let (spectrum, mut analyser) = Spectrum::default().live();
        let mut meters = loudness.then(spectrum).prepare(format).unwrap();
        let mut frame = Frame::new(format);
        let (mut levels, mut bytes) = ([0.0; 2048], [0; 2048]);
        let mut random = Random::new(1);
        let found = allocations(|| {
            // Past the 3 s of the short-term window, and over a reset.
            for index in 0..700 {
                fill(&mut frame, &mut random);
                meters.process(&mut frame).unwrap();
                if index % 7 == 0 {
                    analyser.float_frequency_data(&mut levels);
                    analyser.byte_frequency_data(&mut bytes);
                    analyser.float_time_domain_data(&mut levels);
                    analyser.byte_time_domain_data(&mut bytes);
                    std::hint::black_box(readings.reading().integrated_lufs());
                }
                if index == 500 {
                    meters.reset();
                }
                if index == 600 {
                    readings.restart();
                }
            }
        });
        assert_eq!(found, 0, "{format}");
        assert!((-10.0..10.0).contains(&readings.reading().integrated_lufs()));
        assert!(bytes.iter().any(|&b| b > 128));
    }
}

#[test]
fn frames_pass_unchanged_and_bad_ones_are_refused_or_silenced() {
    for format in formats() {
        let (loudness, readings) = LoudnessMeter::default().live();
        let (spectrum, mut analyser) = Spectrum { fft_size: 64, ..Spectrum::default() }.live();
        let mut meters = loudness.then(spectrum).prepare(format).unwrap();
        assert_eq!((meters.latency(), meters.output_format()), (0, format));
        let other = format.with_frame_ms(30 - format.frame_ms()).unwrap();
        let refused = meters.process(&mut Frame::new(other)).err();
        assert_eq!(refused, Some(Error::WrongFormat { expected: format, actual: other }));

        let mut random = Random::new(2);
        for index in 0..50 {
            let mut frame = Frame::new(format);
            frame.set_position(1000 * index);
            frame.set_speech_probability(Some(0.25));
            fill(&mut frame, &mut random);
            let wanted = frame.clone();
            assert_eq!(meters.process(&mut frame).unwrap().unwrap(), &wanted);

            let bad = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 1e-40, 4e9];
            for (sample, bad) in frame.samples_mut().iter_mut().zip(bad) {
                *sample = bad;
            }
            let out = meters.process(&mut frame).unwrap().unwrap();
            assert!(out.samples().iter().all(|s| s.is_finite()));
        }
        assert!(readings.reading().integrated_lufs().is_finite());
        assert!(readings.reading().overall_true_peak_dbtp(0).is_finite());
        let mut levels = [0.0; 32];
        analyser.float_frequency_data(&mut levels);
        assert!(levels.iter().all(|db| db.is_finite()));
    }
}

#[test]
fn after_a_reset_the_meters_read_as_if_new() {
    let format = Format::stereo(44_100).unwrap();
    let run = |frames_before: usize| {
        let (loudness, readings) = LoudnessMeter::default().live();
        let (spectrum, mut analyser) = Spectrum { fft_size: 8192, ..Spectrum::default() }.live();
        let mut meters = loudness.then(spectrum).prepare(format).unwrap();
        let mut frame = Frame::new(format);
        let mut process = |meters: &mut dyn Processor<Input = Frame, Output = Frame>, frames, seed| {
            let mut random = Random::new(seed);
            for _ in 0..frames {
                fill(&mut frame, &mut random);
                meters.process(&mut frame).unwrap();
            }
        };
        process(&mut meters, frames_before, 3);
        meters.reset();
        process(&mut meters, 12, 4);
        let mut levels = vec![0.0; 4096];
        analyser.float_frequency_data(&mut levels);
        (readings.reading(), levels)
    };
    assert_eq!(run(123), run(0));
}

/// Speech through stages that leave what they have measured to those behind them, or are kept from it: all samples, and what
/// two meters read.
fn through_stages(format: Format, kept_apart: bool) -> (Vec<u32>, [LevelReading; 2]) {
    let [(first, behind_gate), (second, at_end)] = [LevelMeter::default().live(), LevelMeter::default().live()];
    let mut pipeline = Pipeline::new(format);
    // What asks for the samples could have changed them.
    let apart = || kept_apart.then(|| process_fn(|frame| _ = frame.samples_mut()));
    pipeline.push("gain", Gain::db(6.0).then(apart())).unwrap();
    pipeline.push("gate", NoiseGate::default().then(apart())).unwrap();
    pipeline.push("first", first.then(apart())).unwrap();
    pipeline.push("high-pass", HighPass { rumble_db: -16.0, ..HighPass::default() }.then(apart())).unwrap();
    let write = |frame: &mut Frame| frame.samples_mut()[7] = if frame.position() % 4800 == 0 { f32::NAN } else { 0.0 };
    pipeline.push("write", process_fn(write)).unwrap();
    pipeline.push("limiter", Limiter::db(-6.0).then(apart())).unwrap();
    pipeline.push("second", second.then(apart())).unwrap();

    let speech = fixture("speech_noisy.wav").remove(0);
    let (mut frame, mut bits) = (Frame::new(format), Vec::new());
    for (index, block) in speech.chunks_exact(format.samples_per_channel()).take(300).enumerate() {
        frame.set_position((index * block.len()) as i64);
        for (channel, samples) in frame.channels_mut().enumerate() {
            samples.iter_mut().zip(block).for_each(|(sample, speech)| *sample = speech * (1.0 + channel as f32));
        }
        let out = pipeline.process(&mut frame).unwrap().unwrap();
        bits.extend(out.samples().iter().map(|sample| sample.to_bits()));
    }
    (bits, [behind_gate.reading(), at_end.reading()])
}

#[test]
fn what_a_stage_leaves_to_those_behind_it_changes_no_sample_and_no_level() {
    for format in [Format::mono(48_000).unwrap(), Format::stereo(44_100).unwrap()] {
        let (bits, levels) = through_stages(format, false);
        let (bits_apart, levels_apart) = through_stages(format, true);
        assert!(bits == bits_apart && bits.iter().all(|bits| f32::from_bits(*bits).is_finite()), "{format}");
        for (levels, apart) in levels.iter().zip(&levels_apart) {
            assert_eq!((levels.clipped(), levels.samples()), (apart.clipped(), apart.samples()));
            for channel in 0..2 {
                assert_eq!(levels.overall_peak_dbfs(channel), apart.overall_peak_dbfs(channel));
                assert_eq!(levels.held_peak_dbfs(channel), apart.held_peak_dbfs(channel));
                assert!((levels.overall_rms_dbfs(channel) - apart.overall_rms_dbfs(channel)).abs() < 1e-4);
                assert!((levels.rms_dbfs(channel) - apart.rms_dbfs(channel)).abs() < 1e-4);
            }
            assert!(levels.overall_rms_dbfs(0) > -50.0);
        }
    }
}
