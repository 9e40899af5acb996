//! What every stage promises, checked over the table of all stages.

mod cases;
mod composition;
mod effects;
mod no_alloc;
#[cfg(target_os = "linux")]
mod no_system_calls;
mod stereo;

use cases::{Case, boxed, cases, formats};
use effects::{Probe, Swap, pass_through, silence};
use proptest::prelude::*;
use voxframe::pipeline::FrameProcessor;
use voxframe::{Error, Format, Frame, Processor, Profile};
use voxframe_testkit::random::noise;
use voxframe_testkit::signal::{level, run};

/// The profiles that suppress noise, which is what most of these tests are made of.
const SUPPRESSING: [&str; 2] = ["balanced", "high-quality"];

/// Runs a check for each stage in each format it takes.
fn for_all(check: impl Fn(&Case, Format, &mut FrameProcessor)) {
    for case in cases() {
        for format in formats(&case) {
            check(&case, format, &mut *(case.prepare)(format).unwrap());
        }
    }
}

/// Half a second of noise for each channel.
fn sound(format: Format) -> Vec<Vec<f32>> {
    let samples = format.sample_rate_hz() as usize / 2;
    (0..format.channels()).map(|c| noise(7 + c as u64, samples, 0.3)).collect()
}

#[test]
fn every_stage_has_its_effect() {
    for case in &cases() {
        (case.effect)(&Probe { case, swap: |stage| stage }).unwrap_or_else(|found| panic!("{}: {found}", case.name));
    }
}

#[test]
fn neither_a_pass_through_nor_silence_has_the_effect_of_a_stage() {
    let swaps: [(&str, Swap); 2] = [("a pass-through", pass_through), ("silence", silence)];
    for case in &cases() {
        for (name, swap) in swaps {
            if (case.name, name) == ("absent", "a pass-through") {
                continue; // it is one
            }
            let found = (case.effect)(&Probe { case, swap });
            println!("{}, {name} in its place: {found:?}", case.name);
            assert!(found.is_err(), "{}: {name} in its place is not noticed", case.name);
        }
    }
}

#[test]
fn an_impulse_comes_out_after_the_latency() {
    for_all(|case, format, processor| {
        if case.name == "closure" || case.name.contains("denoise") && !case.name.contains("bypassed") {
            return; // reverses frames; takes an impulse for noise (tests/speech.rs measures those with speech)
        }
        if matches!(case.name, "low-latency" | "balanced" | "high-quality") {
            return; // the gate opens on the impulse and bends it; tests/latency.rs measures the profiles
        }
        let (from, to) = (format.sample_rate_hz(), processor.output_format().sample_rate_hz());
        let at = format.samples_per_channel() * 3 + format.samples_per_channel() / 2;
        let mut input = vec![vec![0.0; format.samples_per_channel() * 12]; format.channels()];
        input.iter_mut().for_each(|channel| channel[at] = 0.9);
        let (output, positions) = run(processor, &input);
        for channel in &output {
            // The centre of gravity of the energy, so that half a sample of a resampler's delay shows; for the others
            // of the peak, so that the long quiet tail of a high-pass does not.
            let power = if case.name.starts_with("resample") { 2 } else { 8 };
            let weight = |s: &f32| f64::from(*s).powi(power);
            let sum: f64 = channel.iter().map(weight).sum();
            let moment: f64 = channel.iter().enumerate().map(|(i, s)| i as f64 * weight(s)).sum();
            let measured = moment / sum - at as f64 * f64::from(to) / f64::from(from);
            let error = measured - processor.latency() as f64;
            assert!(error.abs() <= 0.51, "{} at {format}: {measured} is not {}", case.name, processor.latency());
        }
        assert_eq!(positions[0], -(processor.latency() as i64), "{} at {format}", case.name);
        let step = processor.output_format().samples_per_channel() as i64;
        assert!(positions.windows(2).all(|w| w[1] - w[0] == step), "{} at {format}", case.name);
    });
}

#[test]
fn a_reset_processor_is_a_fresh_one() {
    for_all(|case, format, processor| {
        let input = sound(format);
        let (fresh, _) = run(processor, &input);
        processor.reset();
        let (again, _) = run(processor, &input);
        assert!(fresh == again, "{} at {format}", case.name);
    });
}

#[test]
fn the_frame_length_changes_nothing() {
    // But for a profile's gate: whether there is speech is said once a frame, and from that it learns the noise.
    let prepare = |case: &Case, format| match case.name.parse::<Profile>() {
        Ok(mut profile) => {
            profile.gate = None;
            boxed(profile, format).unwrap()
        }
        Err(_) => (case.prepare)(format).unwrap(),
    };
    for case in cases().iter().filter(|case| case.name != "closure") {
        for format in formats(case).into_iter().filter(|f| f.frame_ms() == 10) {
            let input = sound(format);
            let (short, _) = run(&mut *prepare(case, format), &input);
            let (long, _) = run(&mut *prepare(case, format.with_frame_ms(20).unwrap()), &input);
            for (a, b) in short.iter().flatten().zip(long.iter().flatten()) {
                assert!((a - b).abs() < 1e-5, "{} at {format}: {a} is not {b}", case.name);
            }
        }
    }
}

#[test]
fn two_channels_are_two_mono_runs_or_keep_their_balance() {
    for_all(|case, format, processor| {
        if format.channels() == 1 || case.name == "closure" {
            return;
        }
        let mono = format.with_channels(1).unwrap();
        if !case.linked {
            let input = sound(format);
            let (both, _) = run(processor, &input);
            for (channel, output) in input.iter().zip(&both) {
                let (alone, _) = run(&mut *(case.prepare)(mono).unwrap(), std::slice::from_ref(channel));
                let worst = alone[0].iter().zip(output).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(worst < 1e-6, "{} at {format}: {worst}", case.name);
            }
            return;
        }
        // The right channel a quarter of the left: whatever happens, it stays a quarter.
        let left = sound(format).remove(0);
        let right = left.iter().map(|s| s * 0.25).collect();
        let (both, _) = run(processor, &[left, right]);
        let loudest = both[0].iter().fold(0.0f32, |a, b| a.max(b.abs()));
        for (left, right) in both[0].iter().zip(&both[1]) {
            assert!((left * 0.25 - right).abs() < 1e-3 * loudest, "{} at {format}: {left}, {right}", case.name);
        }
    });
}

#[test]
fn what_is_no_sound_comes_out_finite_and_is_gone_at_once() {
    for_all(|case, format, processor| {
        let denormal = f32::MIN_POSITIVE / 2.0;
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -4e9, denormal] {
            let mut frame = Frame::new(format);
            frame.samples_mut().iter_mut().step_by(3).for_each(|s| *s = bad);
            for round in 0..8 {
                if let Some(frame) = processor.process(&mut frame).unwrap() {
                    assert!(frame.samples().iter().all(|s| s.is_finite()), "{} at {format}: {bad}", case.name);
                }
                if round > 0 {
                    frame = Frame::new(format);
                }
            }
        }
        // And it works again.
        let (output, _) = run(processor, &sound(format));
        assert!(case.name.contains("denoise") || SUPPRESSING.contains(&case.name) || level(&output[0]) > -40.0);
    });
}

#[test]
fn a_frame_of_another_format_is_refused_and_changes_nothing() {
    for_all(|case, format, processor| {
        let input = sound(format);
        let (wanted, _) = run(&mut *(case.prepare)(format).unwrap(), &input);
        let others = [
            format.with_channels(3 - format.channels()).unwrap(),
            format.with_frame_ms(30 - format.frame_ms()).unwrap(),
            format.with_sample_rate_hz(32_000).unwrap(),
        ];
        for other in others {
            let mut frame = Frame::new(other);
            frame.samples_mut().fill(0.5);
            let refused = processor.process(&mut frame).err();
            assert_eq!(refused, Some(Error::WrongFormat { expected: format, actual: other }), "{}", case.name);
            assert!(frame.samples().iter().all(|&s| s == 0.5));
        }
        assert!(run(processor, &input).0 == wanted, "{} at {format}", case.name);
    });
}

#[test]
fn silence_for_the_latency_recovers_the_tail() {
    for_all(|case, format, processor| {
        if case.name == "closure" || case.name.contains("denoise") || SUPPRESSING.contains(&case.name) {
            return; // reverses frames; noise suppression leaves no tail of noise (tests/speech.rs uses speech)
        }
        // Noise to the very end, then as much silence as the latency: the end of the noise is there, and nothing more.
        let length = format.samples_per_channel();
        let (rate, out_rate) = (format.sample_rate_hz() as usize, processor.output_format().sample_rate_hz() as usize);
        let total = length * 10;
        let flush = (processor.latency() * rate).div_ceil(out_rate) + length;
        let mut input: Vec<Vec<f32>> = (0..format.channels()).map(|c| noise(c as u64, total, 0.5)).collect();
        input.iter_mut().for_each(|channel| channel.resize(total + flush, 0.0));
        let (output, _) = run(processor, &input);
        let end = total * out_rate / rate + processor.latency();
        for channel in &output {
            let power = |s: &[f32]| s.iter().map(|s| f64::from(s * s)).sum::<f64>() / s.len().max(1) as f64;
            let middle = power(&channel[end / 2..end * 3 / 4]);
            let last_ms = power(&channel[end - out_rate / 1000..end]);
            let after = power(&channel[end + out_rate / 1000..]);
            assert!(last_ms > 0.3 * middle && after < 0.01 * middle, "{} at {format}", case.name);
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_frame_makes_any_stage_panic(
        rate in (80u32..=1920).prop_map(|r| r * 100), stereo: bool, long: bool,
        bits in prop::collection::vec(any::<u32>(), 1..64), position in any::<i32>(),
    ) {
        let format = Format::new(rate, 1 + usize::from(stereo)).unwrap();
        let format = format.with_frame_ms(if long { 20 } else { 10 }).unwrap();
        for case in cases() {
            let Ok(mut processor) = (case.prepare)(format) else { continue };
            let mut frame = Frame::new(format);
            for _ in 0..3 {
                frame.set_position(position.into());
                for (sample, bits) in frame.samples_mut().iter_mut().zip(bits.iter().cycle()) {
                    *sample = f32::from_bits(*bits);
                }
                if let Some(out) = processor.process(&mut frame).unwrap() {
                    prop_assert!(out.samples().iter().all(|s| s.is_finite()), "{}", case.name);
                    prop_assert_eq!(out.format(), processor.output_format());
                }
            }
        }
    }
}
