//! That the gate does not cut off the beginnings of words: real speech at the usual level, with noise 20 dB below it.
//!
//! Where utterances begin is marked on the clean speech, by ITU-T P.56 and not by anything of the gate's. Speech is where
//! P.56's envelope (two exponential averages of the magnitude, 30 ms each) is less than 15.9 dB below the active level.
//! An utterance is speech after at least 300 ms without. As the envelope lags, the utterance begins where the sound came
//! above that level to stay (RMS over 10 ms) until the envelope followed.

use voxframe::level::SpeechLevel;
use voxframe::pipeline::FrameProcessor;
use voxframe::{Format, Frame, Live, NoiseGate, Processor, Stage};
use voxframe_testkit::random::noise;
use voxframe_testkit::wav::{Recording, recordings};

/// The active level of the speech, in dBov: what the ITU-T's test plans use.
const SPEECH_DBOV: f32 = -26.0;
const SNR_DB: f32 = 20.0;
/// Noise alone before and after each recording, in ms.
const LEAD_MS: usize = 1500;
/// P.56: how far below the active level a sound still is speech.
const MARGIN_DB: f32 = 15.9;
const PAUSE_MS: usize = 300;
/// What is looked at of each utterance.
const ONSET_MS: usize = 20;
/// Where the noise suppression has lost this much of an onset (it takes breathing in for noise), the gate has nothing
/// to keep.
const TAKEN_DB: f32 = 10.0;

const PER_MS: usize = 48;

fn gain(db: f32) -> f32 {
    10f32.powf(db / 20.0)
}

fn power(samples: &[f32]) -> f32 {
    samples.iter().map(|s| s * s).sum::<f32>() / samples.len().max(1) as f32
}

/// Speech at the usual level, between silence.
fn at_usual_level(recording: &Recording) -> Vec<f32> {
    let mut meter = SpeechLevel::new(recording.rate_hz);
    meter.push(&recording.samples);
    let factor = gain(SPEECH_DBOV - meter.dbov().unwrap());
    let silence = vec![0.0; LEAD_MS * PER_MS];
    let speech: Vec<f32> = recording.samples.iter().map(|s| s * factor).collect();
    [&silence[..], &speech, &silence].concat()
}

/// Where utterances begin, in samples.
fn onsets(clean: &[f32]) -> Vec<usize> {
    let bound = gain(SPEECH_DBOV - MARGIN_DB);
    let memory = (-1.0f32 / 30.0).exp();
    let powers: Vec<f32> = clean.chunks_exact(PER_MS).map(power).collect();
    let loud = |ms: usize| powers[ms..ms + 10].iter().sum::<f32>() / 10.0 >= bound * bound;
    let (mut found, mut envelope, mut pause) = (Vec::new(), [0.0f32; 2], PAUSE_MS);
    for (ms, block) in clean.chunks_exact(PER_MS).enumerate() {
        let magnitude = block.iter().map(|s| s.abs()).sum::<f32>() / PER_MS as f32;
        envelope[0] = memory * envelope[0] + (1.0 - memory) * magnitude;
        envelope[1] = memory * envelope[1] + (1.0 - memory) * envelope[0];
        if envelope[1] < bound {
            pause += 1;
            continue;
        }
        if pause >= PAUSE_MS {
            let first = (1..ms).rev().find(|&ms| !loud(ms)).unwrap() + 1;
            found.push((first..).find(|&ms| powers[ms] >= bound * bound).unwrap() * PER_MS);
        }
        pause = 0;
    }
    found
}

/// Noise that falls by 3 dB an octave, by Paul Kellet's filter.
fn pink(samples: usize) -> Vec<f32> {
    let mut state = [0.0f32; 3];
    let stages = [(0.997_65, 0.099_046), (0.963, 0.296_516_4), (0.57, 1.052_691_3)];
    let shape = |white: f32| {
        state.iter_mut().zip(stages).for_each(|(state, (pole, share))| *state = pole * *state + share * white);
        state.iter().sum::<f32>() + 0.1848 * white
    };
    noise(5, samples, 0.5).into_iter().map(shape).collect()
}

/// Steady noises at a level: what gates are for.
fn noises(dbfs: f32) -> Vec<Recording> {
    let mut all = recordings("noise");
    all.retain(|noise| ["street_city_48k", "wind_48k"].contains(&noise.name.as_str()));
    all.push(Recording::fixture("noise_fan.wav"));
    all.push(Recording { name: "pink".into(), rate_hz: 48_000, samples: pink(480_000) });
    for noise in &mut all {
        let factor = gain(dbfs) / power(&noise.samples).sqrt();
        noise.samples.iter_mut().for_each(|sample| *sample *= factor);
    }
    all
}

/// What goes into the gate and what comes out of it, both without delay, and how often it opened.
struct Gated {
    before: Vec<f32>,
    after: Vec<f32>,
    openings: usize,
}

/// `first` is what stands before the gate.
fn gated(mut first: Option<&mut FrameProcessor>, gate: NoiseGate, input: &[f32]) -> Gated {
    let format = Format::mono(48_000).unwrap();
    let (gate, reading) = gate.live();
    let mut gate = gate.prepare(format).unwrap();
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let (mut openings, mut open) = (0, false);
    let skipped = first.as_ref().map_or(0, |first| first.latency());
    for block in input.chunks_exact(480) {
        let mut frame = Frame::new(format);
        frame.samples_mut().copy_from_slice(block);
        if let Some(first) = &mut first {
            first.process(&mut frame).unwrap().unwrap();
        }
        before.extend_from_slice(frame.samples());
        after.extend_from_slice(gate.process(&mut frame).unwrap().unwrap().samples());
        openings += usize::from(reading.reading().open && !open);
        open = reading.reading().open;
    }
    before.drain(..skipped);
    after.drain(..skipped + gate.latency());
    before.truncate(after.len());
    Gated { before, after, openings }
}

/// By how many dB the clean speech is quieter for what the gate did.
fn loss_db(clean: &[f32], before: &[f32], after: &[f32]) -> f32 {
    // The gate changes by a thousandth a sample at most: where there is no sound to measure it, it is what it was.
    let mut gain = 1.0;
    let kept = clean.iter().zip(before).zip(after).map(|((clean, before), after)| {
        if before.abs() > 1e-7 {
            gain = after / before;
        }
        clean * gain
    });
    let kept: Vec<f32> = kept.collect();
    10.0 * (power(clean) / power(&kept)).log10()
}

fn check(name: &str, mut first: Option<&mut FrameProcessor>) {
    let mut speech = recordings("speech");
    speech.retain(|recording| recording.rate_hz == 48_000);
    // Twice each, over other stretches of the noise: six onsets where there are no recordings.
    for name in ["speech_clean.wav", "speech_room.wav"] {
        let mut fixture = Recording::fixture(name);
        let pause = vec![0.0; LEAD_MS * PER_MS];
        fixture.samples = [&fixture.samples[..], &pause, &fixture.samples].concat();
        speech.push(fixture);
    }
    for (lookahead_ms, most_db) in [(10.0, 1.0), (0.0, 3.0)] {
        for noise in noises(SPEECH_DBOV - SNR_DB) {
            let (mut losses, mut taken) = (Vec::new(), 0);
            for recording in &speech {
                let clean = at_usual_level(recording);
                let onsets = onsets(&clean);
                assert!(!onsets.is_empty(), "{}", recording.name);
                let noisy: Vec<f32> =
                    clean.iter().zip(noise.samples.iter().cycle()).map(|(speech, noise)| speech + noise).collect();
                if let Some(first) = &mut first {
                    first.reset();
                }
                let gate = NoiseGate { lookahead_ms, ..NoiseGate::default() };
                let gated = gated(first.as_deref_mut(), gate, &noisy);
                assert!(gated.openings > 0);
                for onset in onsets {
                    let range = onset..onset + ONSET_MS * PER_MS;
                    let (before, after) = (&gated.before[range.clone()], &gated.after[range.clone()]);
                    if power(before) < power(&clean[range.clone()]) * gain(-TAKEN_DB).powi(2) {
                        taken += 1;
                        continue;
                    }
                    let loss = loss_db(&clean[range], before, after);
                    let at = onset as f32 / 48_000.0 - LEAD_MS as f32 / 1000.0;
                    assert!(loss < most_db, "{name}, {}, {} at {at:.3} s: {loss:.2} dB", noise.name, recording.name);
                    losses.push(loss);
                }
            }
            let mean = losses.iter().sum::<f32>() / losses.len() as f32;
            let worst = losses.iter().fold(0.0, |worst: f32, &loss| worst.max(loss));
            println!(
                "{name}, lookahead {lookahead_ms} ms, {}: {} onsets lose {mean:.2} dB on average, {worst:.2} dB at worst \
                 ({taken} not counted)",
                noise.name,
                losses.len(),
            );
            // Breaths within the noise, which are the business of noise suppression; but most onsets are the gate's.
            assert!(losses.len() >= 4 && taken <= losses.len(), "{taken} of {} not counted", taken + losses.len());
        }
    }
}

#[test]
fn onsets_pass_alone() {
    check("the gate alone", None);
}

#[cfg(feature = "denoise")]
#[test]
fn onsets_pass_behind_noise_suppression() {
    let format = Format::mono(48_000).unwrap();
    check("behind Denoise", Some(&mut voxframe::Denoise::default().prepare(format).unwrap()));
}

#[cfg(feature = "hush")]
#[test]
fn onsets_pass_behind_the_best_engine() {
    let format = Format::mono(48_000).unwrap();
    let best = voxframe::Denoise { engine: voxframe::denoise::Engine::Best, ..voxframe::Denoise::db(40.0) };
    check("behind Denoise with three networks", Some(&mut best.prepare(format).unwrap()));
}

#[cfg(feature = "denoise")]
#[test]
fn steady_noise_does_not_open_it() {
    let format = Format::mono(48_000).unwrap();
    for dbfs in [-66.0, -46.0, -26.0] {
        for noise in noises(dbfs) {
            let mut denoise = voxframe::Denoise::default().prepare(format).unwrap();
            let sound: Vec<f32> = noise.samples.iter().copied().cycle().take(480_000).collect();
            let gated = gated(Some(&mut denoise), NoiseGate::default(), &sound);
            println!("{} at {dbfs} dBFS: it opened {} times in 10 s", noise.name, gated.openings);
            if ["street_city_48k", "wind_48k"].contains(&noise.name.as_str()) {
                continue; // they are not steady
            }
            // Once, before it has learnt what the noise is like.
            assert!(gated.openings <= 1, "{} at {dbfs} dBFS: it opened {} times", noise.name, gated.openings);
            if dbfs > -40.0 {
                continue; // it opens before the noise is known, and the peaks of the noise then hold it open
            }
            let [before, after] = [&gated.before, &gated.after].map(|sound| power(&sound[240_000..]));
            assert!(after < before * gain(-49.0).powi(2), "{} at {dbfs} dBFS is let through", noise.name);
        }
    }
}

/// What the gate makes of sound, with the level in and out of each frame in dBFS.
fn levels(gate: NoiseGate, sound: &[f32], far_end: bool) -> Vec<[f32; 2]> {
    let format = Format::mono(48_000).unwrap();
    let mut gate = gate.prepare(format).unwrap();
    let level = |frame: &Frame| 10.0 * power(frame.samples()).max(1e-12).log10();
    let chunks = sound.chunks_exact(480);
    chunks
        .map(|chunk| {
            let mut frame = Frame::new(format);
            frame.samples_mut().copy_from_slice(chunk);
            frame.set_far_end_speech(far_end);
            let before = level(&frame);
            [before, level(gate.process(&mut frame).unwrap().unwrap())]
        })
        .collect()
}

/// No detector, no noise: a soft talker is heard. With noise 20 dB below him he is too, and the noise is softer.
#[test]
fn without_a_detector_soft_voices_pass() {
    let factor = gain(-48.0 - SPEECH_DBOV);
    for (name, noise_dbfs) in [("speech_clean.wav", -120.0), ("speech_clean.wav", -68.0), ("speech_room.wav", -120.0)] {
        let clean: Vec<f32> = at_usual_level(&Recording::fixture(name)).iter().map(|s| s * factor).collect();
        let mut sound = [&clean[..], &clean, &clean].concat();
        let hiss = noise(3, sound.len(), 1.0);
        let hiss_factor = gain(noise_dbfs) / power(&hiss).sqrt();
        sound.iter_mut().zip(&hiss).for_each(|(sound, hiss)| *sound += hiss * hiss_factor);
        let levels = levels(NoiseGate::default(), &sound, false);
        let voiced: Vec<_> = levels.iter().filter(|[before, _]| *before > -48.0 - MARGIN_DB + 6.0).collect();
        let muted = voiced.iter().filter(|[before, after]| before - after > 10.0).count();
        println!("{name}, noise {noise_dbfs}: {muted} of {} frames more than 10 dB down", voiced.len());
        assert!(voiced.len() > 300 && muted * 50 <= voiced.len(), "{name}: {muted} of {}", voiced.len());
        let pause = &levels[levels.len() - 100..];
        assert!(noise_dbfs < -100.0 || pause.iter().all(|[before, after]| before - after > 40.0), "{name}");
    }
}

/// The room is as it was when a muted microphone comes back, with a detector and without.
#[test]
fn silence_is_no_lesson() {
    let hiss: Vec<f32> = noise(9, 10 * 48_000, 1.0);
    let factor = gain(-52.0) / power(&hiss).sqrt();
    let room: Vec<f32> = hiss.iter().map(|s| s * factor).collect();
    let sound = [&room[..], &vec![0.0; 10 * 48_000], &room].concat();
    let alone = levels(NoiseGate::default(), &sound, false);
    assert!(alone[2005..].iter().all(|[before, after]| before - after > 40.0), "alone");

    let format = Format::mono(48_000).unwrap();
    let (stage, handle) = NoiseGate::default().live();
    let mut gate = stage.prepare(format).unwrap();
    for (index, chunk) in sound.chunks_exact(480).enumerate() {
        let mut frame = Frame::new(format);
        frame.samples_mut().copy_from_slice(chunk);
        frame.set_speech_probability(Some(0.0));
        gate.process(&mut frame).unwrap();
        let reading = handle.reading();
        assert!(index < 50 || (reading.noise_dbfs() + 52.0).abs() < 1.0, "{index}: {reading:?}");
        assert!(index < 100 || !reading.open, "{index}: {reading:?}");
    }
}

/// The far end opens no gate.
#[test]
fn the_far_end_does_not_open_it() {
    let speech = at_usual_level(&Recording::fixture("speech_clean.wav"));
    let lowered = |far_end: bool| {
        let levels = levels(NoiseGate::default(), &speech, far_end);
        levels.iter().filter(|[before, after]| *before > -40.0 && before - after > 40.0).count()
    };
    assert!(lowered(true) > 100 && lowered(false) == 0, "{} {}", lowered(true), lowered(false));
}

/// A gate that takes over a handle, as where the device changes, knows the room; one that begins alone does not.
#[test]
fn what_is_known_of_the_noise_is_handed_on() {
    let room: Vec<f32> = noise(9, 3 * 48_000, 1.0);
    let factor = gain(-52.0) / power(&room).sqrt();
    let format = Format::mono(48_000).unwrap();
    let (stage, handle) = NoiseGate::default().live();
    let mut gate = stage.prepare(format).unwrap();
    let mut frame = Frame::new(format);
    let fill = |frame: &mut Frame, index: usize| {
        let part = &room[index % 300 * 480..][..480];
        frame.samples_mut().iter_mut().zip(part).for_each(|(to, from)| *to = from * factor);
        frame.set_speech_probability(Some(0.0));
    };
    for index in 0..300 {
        fill(&mut frame, index);
        gate.process(&mut frame).unwrap();
    }
    let reading = handle.reading();
    assert!((reading.level_dbfs() + 52.0).abs() < 2.0 && (reading.noise_dbfs() + 52.0).abs() < 1.0, "{reading:?}");
    let first = |mut gate: <NoiseGate as Stage>::Processor| {
        let mut frame = Frame::new(format);
        fill(&mut frame, 0);
        frame.set_speech_probability(Some(1.0));
        gate.process(&mut frame).unwrap();
    };
    first(handle.attach().prepare(format).unwrap());
    assert!((handle.reading().noise_dbfs() + 52.0).abs() < 1.0, "{:?}", handle.reading());
    let (stage, alone) = NoiseGate::default().live();
    first(stage.prepare(format).unwrap());
    assert!(alone.reading().noise_dbfs() < -100.0, "{:?}", alone.reading());
}

#[test]
fn thresholds_that_cross_are_refused() {
    let (stage, handle) = NoiseGate::default().live();
    let _gate = stage.prepare(Format::mono(48_000).unwrap()).unwrap();
    let before = handle.settings();
    assert!(handle.update(|gate| gate.close_db = gate.open_db + 1.0).is_err());
    assert_eq!(handle.settings(), before);
}
