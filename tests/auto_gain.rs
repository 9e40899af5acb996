//! Automatic gain on real speech and real noise: prints a table of levels with `--nocapture`.

use voxframe::auto_gain::AutoGainReading;
use voxframe::level::{SpeechLevel, db_to_gain, rms_dbfs};
use voxframe::{AutoGain, Format, Frame, Live, Processor, Stage};
use voxframe_testkit::wav::{Recording, recordings};

const TARGET_DBOV: f32 = -20.0;

/// What came out, at the rate of the stage, and what it told after each frame of 10 ms.
struct Run {
    rate_hz: usize,
    out: Vec<f32>,
    readings: Vec<AutoGainReading>,
}

fn active_dbov(rate_hz: usize, samples: &[f32]) -> f32 {
    let mut meter = SpeechLevel::new(rate_hz as u32);
    meter.push(samples);
    meter.dbov().unwrap()
}

/// Puts sound through what `before` makes of it and through automatic gain.
fn run<S>(before: Option<S>, settings: AutoGain, rate_hz: u32, samples: &[f32]) -> Run
where
    S: Stage<Processor: Processor<Input = Frame, Output = Frame>>,
{
    let (gain, handle) = settings.live();
    let mut processor = before.then(gain).prepare(Format::mono(rate_hz).unwrap()).unwrap();
    let mut frame = Frame::new(processor.input_format());
    let rate_hz = processor.output_format().sample_rate_hz() as usize;
    let mut run = Run { rate_hz, out: Vec::new(), readings: Vec::new() };
    for chunk in samples.chunks_exact(frame.format().samples_per_channel()) {
        frame.samples_mut().copy_from_slice(chunk);
        frame.set_speech_probability(None);
        run.out.extend_from_slice(processor.process(&mut frame).unwrap().unwrap().samples());
        run.readings.push(handle.reading());
    }
    run
}

/// A recording at an active level, over and over for as long as asked for, from its first word on.
fn speech(recording: &Recording, dbov: f32, seconds: usize) -> Vec<f32> {
    let rate_hz = recording.rate_hz as usize;
    let level = active_dbov(rate_hz, &recording.samples);
    let is_loud = |chunk: &[f32]| rms_dbfs(chunk) > level - 16.0;
    let first = recording.samples.chunks(rate_hz / 25).position(is_loud).unwrap() * (rate_hz / 25);
    let lead = first.min(rate_hz / 5);
    let gain = db_to_gain(dbov - level);
    let again = recording.samples.iter().cycle().skip(first - lead);
    again.take(seconds * rate_hz + recording.samples.len() + lead).map(|s| s * gain).collect()
}

fn all_speech() -> Vec<Recording> {
    let mut all: Vec<Recording> =
        ["speech_clean.wav", "speech_room.wav", "speech_stereo_44100.wav"].map(Recording::fixture).into();
    all.extend(recordings("speech"));
    all
}

/// Whatever the level, 3 s after the first word it is within 2 dB of the target, and moves less than 1 dB a second.
fn reaches_the_target<S>(before: fn() -> Option<S>, settings: AutoGain)
where
    S: Stage<Processor: Processor<Input = Frame, Output = Frame>>,
{
    for recording in all_speech() {
        print!("{:24}", recording.name);
        for dbov in [-45.0, -35.0, -25.0, -15.0, -6.0] {
            let Run { rate_hz, out, readings } =
                run(before(), settings, recording.rate_hz, &speech(&recording, dbov, 4));
            // A whole round of the recording, from 3.2 s on: 0.2 s are before the first word, or delay.
            let level = active_dbov(rate_hz, &out[rate_hz * 16 / 5..]);
            let moved = |second: &[AutoGainReading]| (second[100].gain_db - second[0].gain_db).abs();
            let moved = readings[320..].windows(101).map(moved).fold(0.0, f32::max);
            print!("  {dbov:3.0}: {level:6.2} ({moved:.2})");
            // A noisy recording gets what the noise allows.
            let noise = readings.iter().map(|reading| reading.noise_dbfs).fold(-120.0, f32::max);
            let allowed_db = (settings.max_noise_dbfs - noise).max(0.0);
            if allowed_db < TARGET_DBOV - dbov + 1.0 {
                let last = readings.last().unwrap();
                let allowed_db = (settings.max_noise_dbfs - last.noise_dbfs).max(0.0);
                print!(" noise");
                assert!(last.gain_db < allowed_db + 0.5 && level < TARGET_DBOV + 2.0, "{}: {last:?}", recording.name);
                continue;
            }
            assert!((level - TARGET_DBOV).abs() < 2.0, "{} at {dbov} dBov became {level}", recording.name);
            assert!(moved < 1.0, "{} at {dbov} dBov: {moved} dB in a second", recording.name);
        }
        println!();
    }
}

#[test]
fn speech_of_any_level_is_at_the_target_after_3_s() {
    // With a noise limit that does not bind, so that every recording gets the gain it takes.
    reaches_the_target(|| None::<AutoGain>, AutoGain { max_noise_dbfs: 0.0, ..AutoGain::default() });
}

#[cfg(all(feature = "denoise", feature = "resample"))]
#[test]
fn behind_noise_suppression_too() {
    use voxframe::{Denoise, Resample};
    reaches_the_target(|| Some(Resample::to(48_000).then(Denoise::default())), AutoGain::default());
}

#[test]
fn steady_noise_never_moves_the_gain() {
    let mut all = vec![Recording::fixture("noise_fan.wav")];
    // By level alone wind and rubbing are speech; so is what RNNoise makes of a fan as loud as speech.
    let (steady, levels): (&[&str], &[f32]) = if cfg!(feature = "vad") {
        (&["exercise_bike", "wind", "iphone_rub"], &[-60.0, -34.0, -15.0])
    } else {
        (&["exercise_bike"], &[-60.0, -34.0])
    };
    all.extend(recordings("noise").into_iter().filter(|noise| steady.iter().any(|name| noise.name.contains(name))));
    for noise in all {
        for &dbfs in levels {
            let gain = db_to_gain(dbfs - rms_dbfs(&noise.samples));
            let samples: Vec<f32> =
                noise.samples.iter().cycle().take(8 * noise.rate_hz as usize).map(|s| s * gain).collect();
            #[allow(unused_mut, reason = "without features there is nothing to add")]
            let mut runs = vec![run(None::<AutoGain>, AutoGain::default(), noise.rate_hz, &samples)];
            #[cfg(all(feature = "denoise", feature = "resample"))]
            {
                use voxframe::{Denoise, Resample};
                for before in [Denoise::default(), Denoise { bypassed: true, ..Denoise::default() }] {
                    let before = Resample::to(48_000).then(before);
                    runs.push(run(Some(before), AutoGain::default(), noise.rate_hz, &samples));
                }
            }
            for run in runs {
                let moved = run.readings.iter().map(|reading| reading.gain_db.abs()).fold(0.0, f32::max);
                assert!(moved < 0.01, "{} at {dbfs} dBFS: {moved} dB", noise.name);
            }
        }
    }
}
