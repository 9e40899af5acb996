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

/// Music on hold: plucked chords that surge by 20 dB every 4 s, at 48 kHz.
#[cfg(feature = "vad")]
fn music_on_hold(dbfs: f32) -> Vec<f32> {
    const BEAT: usize = 19_200;
    let mut sound = vec![0.0; 16 * 48_000];
    for beat in 0..40 {
        let chord = [[0.0, 4.0, 7.0], [9.0, 12.0, 16.0], [5.0, 9.0, 12.0], [7.0, 11.0, 14.0]][beat / 3 % 4];
        for (note, k) in chord.into_iter().flat_map(|note| (1..7).map(move |k| (note, k as f32))) {
            let step = std::f32::consts::TAU * 220.0 * f32::exp2(note / 12.0) * k / 48_000.0;
            for (i, sample) in sound[beat * BEAT..].iter_mut().take(3 * BEAT).enumerate() {
                *sample += (step * i as f32).sin() / k.powf(1.5) * (-(i as f32) / BEAT as f32).exp();
            }
        }
    }
    for (i, sample) in sound.iter_mut().enumerate() {
        let surge = (i as f32 / 48_000.0 + 1.0) % 4.0;
        *sample *= db_to_gain(20.0 * (surge - 1.0).min(4.0 - surge).clamp(0.0, 1.0) - 20.0);
    }
    let gain = db_to_gain(dbfs - rms_dbfs(&sound));
    sound.iter().map(|sample| sample * gain).collect()
}

/// The networks take a melody for a voice: its steady tones tell. Before it, after it, and in one pipeline with a
/// detector ahead, the voice has its gain.
#[cfg(feature = "vad")]
#[test]
fn music_on_hold_is_not_lifted() {
    use voxframe::VoiceActivity;
    let talker = speech(&Recording::fixture("speech_clean.wav"), -35.0, 6);
    for dbfs in [-28.0, -38.0, -48.0] {
        let music = music_on_hold(dbfs);
        #[allow(unused_mut, reason = "without features there is nothing to add")]
        let mut runs = vec![
            run(None::<AutoGain>, AutoGain::default(), 48_000, &music),
            run(Some(VoiceActivity::default()), AutoGain::default(), 48_000, &music),
        ];
        #[cfg(feature = "denoise")]
        runs.push(run(Some(voxframe::Denoise::default()), AutoGain::default(), 48_000, &music));
        for Run { readings, .. } in runs {
            let lifted = readings.iter().map(|reading| reading.gain_db).fold(0.0, f32::max);
            println!("music of {dbfs} dBFS: lifted by {lifted:.1} dB");
            assert!(lifted < 1.0, "{dbfs} dBFS: {lifted} dB");
        }
        // A talker, music, and the talker again.
        let sound = [&talker[..], &music, &talker].concat();
        let Run { readings, .. } = run(None::<AutoGain>, AutoGain::default(), 48_000, &sound);
        let at = |samples: usize| readings[samples / 480 - 1].gain_db;
        let [before, during, after] = [talker.len(), talker.len() + music.len(), sound.len()].map(at);
        println!(
            "{before:.1} dB for the talker, {during:.1} after music of {dbfs} dBFS, {after:.1} for the talker again"
        );
        assert!((before - 15.0).abs() < 2.0 && during < before + 1.0 && (after - 15.0).abs() < 2.0);
    }
}

/// The wanted gain is there 3 s after the first word, although the noise before it was as loud as the noise allows no
/// gain at all: the lightest noise suppression takes white noise away only while somebody speaks.
#[cfg(feature = "denoise")]
#[test]
fn white_noise_holds_the_gain_for_no_longer_than_3_s() {
    use voxframe::Denoise;
    use voxframe::denoise::Engine;
    use voxframe_testkit::random::noise;
    let speech = speech(&Recording::fixture("speech_clean.wav"), -33.0, 15);
    let denoise = Denoise { engine: Engine::Light, ..Denoise::default() };
    for dbfs in [-45.0, -50.0] {
        let mut samples = noise(7, 5 * 48_000 + speech.len(), 1.0);
        let factor = db_to_gain(dbfs - rms_dbfs(&samples));
        samples.iter_mut().for_each(|sample| *sample *= factor);
        samples[5 * 48_000..].iter_mut().zip(&speech).for_each(|(sample, speech)| *sample += speech);
        let Run { readings, .. } = run(Some(denoise), AutoGain::default(), 48_000, &samples);
        let [before, after_3_s, at_last] = [500, 820, 1900].map(|frame| readings[frame]);
        println!("white noise at {dbfs} dBFS: {after_3_s:?}, at last {at_last:?}");
        assert!(before.noise_dbfs > dbfs - 2.0 && before.gain_db < 0.1, "nothing is suppressed yet: {before:?}");
        // The suppressor goes on to learn for a while.
        assert!((after_3_s.noise_dbfs - at_last.noise_dbfs).abs() < 3.0, "{after_3_s:?}, then {at_last:?}");
        let allowed = -50.0 - after_3_s.noise_dbfs;
        // Within 2 dB, as without noise.
        assert!(allowed > 9.0 && (after_3_s.gain_db - allowed.min(13.0)).abs() < 2.0, "{allowed} dB: {after_3_s:?}");
    }
}

/// Muting is no lesson: neither the levels nor the gain are others afterwards.
#[test]
fn digital_silence_changes_nothing() {
    let recording = Recording::fixture("speech_noisy.wav");
    let sound = speech(&recording, -30.0, 8);
    let mute = vec![0.0; 20 * 48_000];
    let muted = [&sound[..], &mute, &sound].concat();
    let Run { readings, .. } =
        run(None::<AutoGain>, AutoGain { max_noise_dbfs: 0.0, ..AutoGain::default() }, 48_000, &muted);
    let before = readings[sound.len() / 480 - 1];
    for at in [sound.len() + mute.len() / 2, sound.len() + mute.len() + 480] {
        let after = readings[at / 480];
        assert!((after.noise_dbfs - before.noise_dbfs).abs() < 0.5, "{before:?} became {after:?}");
        assert!((after.speech_dbov - before.speech_dbov).abs() < 0.5, "{before:?} became {after:?}");
        assert!((after.gain_db - before.gain_db).abs() < 0.5, "{before:?} became {after:?}");
    }
}

/// What the far end says is not lifted, nor learnt from: the near end finds the gain where it left it.
#[test]
fn the_far_end_is_not_lifted() {
    let recording = Recording::fixture("speech_clean.wav");
    let format = Format::mono(48_000).unwrap();
    let (near, far) = (speech(&recording, -26.0, 8), speech(&recording, -45.0, 8));
    for marked in [true, false] {
        let (gain, handle) = AutoGain::default().live();
        let mut gain = gain.prepare(format).unwrap();
        let mut frame = Frame::new(format);
        let mut run = |sound: &[f32], far_end: bool| {
            for chunk in sound.chunks_exact(480) {
                frame.samples_mut().copy_from_slice(chunk);
                frame.set_far_end_speech(far_end);
                gain.process(&mut frame).unwrap();
                assert!(!(far_end && handle.reading().speaking));
            }
            handle.reading()
        };
        let before = run(&near, false);
        let after = run(&far, marked);
        if marked {
            assert_eq!((after.gain_db, after.speech_dbov), (before.gain_db, before.speech_dbov));
            assert_eq!(after.noise_dbfs, before.noise_dbfs);
        } else {
            assert!(after.gain_db > before.gain_db + 10.0, "unmarked it is a soft talker: {after:?}");
        }
    }
}
