//! What each stage does to real speech: tests that a stage which did nothing would not survive.

use voxframe::{Format, NoiseGate, Processor, Stage};
use voxframe_testkit::signal::{level, run};
use voxframe_testkit::wav::fixture;

/// The bundled speech begins after half a second.
const LEAD: usize = 24_000;

fn boxed(
    processor: impl Processor<Input = voxframe::Frame, Output = voxframe::Frame> + Send + 'static,
) -> Box<voxframe::pipeline::FrameProcessor> {
    Box::new(processor)
}

/// Sound through a processor, its latency taken off and its tail recovered.
fn aligned(processor: &mut voxframe::pipeline::FrameProcessor, input: &[Vec<f32>]) -> Vec<Vec<f32>> {
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
    use voxframe::Resample;
    use voxframe::resample::Quality;
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
