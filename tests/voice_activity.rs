//! VoiceActivityReading activity on real speech and real noise: prints its rates with `--nocapture`.

use voxframe::level::{SpeechLevel, rms_dbfs};
use voxframe::vad::VoiceActivityReading;
use voxframe::{Format, Frame, Live, Processor, Stage, VoiceActivity};
use voxframe_testkit::wav::{Recording, recordings};

/// What is told after each frame of 10 ms, behind another stage.
fn readings<S>(before: Option<S>, recording: &Recording, seconds: usize) -> Vec<VoiceActivityReading>
where
    S: Stage<Processor: Processor<Input = Frame, Output = Frame>>,
{
    let (activity, handle) = VoiceActivity::default().live();
    let mut processor = before.then(activity).prepare(Format::mono(recording.rate_hz).unwrap()).unwrap();
    let mut frame = Frame::new(processor.input_format());
    let samples: Vec<f32> =
        recording.samples.iter().copied().cycle().take(seconds * recording.rate_hz as usize).collect();
    let chunks = samples.chunks_exact(frame.format().samples_per_channel());
    chunks
        .map(|chunk| {
            frame.samples_mut().copy_from_slice(chunk);
            frame.set_speech_probability(None);
            processor.process(&mut frame).unwrap();
            handle.reading()
        })
        .collect()
}

/// Alone and, where it is built in, behind noise suppression; with how many frames of delay.
fn everywhere(recording: &Recording, seconds: usize, check: impl Fn(&str, usize, Vec<VoiceActivityReading>)) {
    check("alone", 0, readings(None::<VoiceActivity>, recording, seconds));
    #[cfg(all(feature = "denoise", feature = "resample"))]
    {
        use voxframe::{Denoise, Resample};
        let before = Resample::to(48_000).then(Denoise::default());
        check("denoised", 1, readings(Some(before), recording, seconds));
    }
}

/// Which frames hold the louder part of speech: those no more than 12 dB below its active level.
fn loud_frames(clean: &Recording, seconds: usize) -> Vec<bool> {
    let mut meter = SpeechLevel::new(clean.rate_hz);
    meter.push(&clean.samples);
    let level = meter.dbov().unwrap();
    let samples: Vec<f32> = clean.samples.iter().copied().cycle().take(seconds * clean.rate_hz as usize).collect();
    samples.chunks_exact(clean.rate_hz as usize / 100).map(|chunk| rms_dbfs(chunk) > level - 12.0).collect()
}

#[test]
fn speech_is_found() {
    // What is listened to, and where in it the speech is.
    let mut all: Vec<(Recording, Recording)> = ["speech_clean.wav", "speech_room.wav", "speech_stereo_44100.wav"]
        .map(|n| (Recording::fixture(n), Recording::fixture(n)))
        .into();
    all.push((Recording::fixture("speech_noisy.wav"), Recording::fixture("speech_clean.wav")));
    all.extend(recordings("speech").into_iter().zip(recordings("speech")));
    for (recording, clean) in all {
        let seconds = 2 * recording.samples.len() / recording.rate_hz as usize;
        let loud = loud_frames(&clean, seconds);
        everywhere(&recording, seconds, |where_, delay, told| {
            let found = loud.iter().zip(&told[delay..]).filter(|(loud, voice)| **loud && voice.speaking).count();
            let share = found as f32 / loud.iter().filter(|&&loud| loud).count() as f32;
            let last = told.last().unwrap();
            println!("{:24} {where_:9} {:3.0} % found, {} utterances", recording.name, share * 100.0, last.utterances);
            assert!(share > 0.85, "{} {where_}: {share}", recording.name);
        });
    }
}

// By level alone much of it is.
#[cfg(feature = "vad")]
#[test]
fn noise_is_not_speech() {
    // How much of it may be taken for speech. Street and music have voices in them, and of the coffee shop, all of
    // which is voices, nothing is asked.
    let most = |name: &str| match name {
        // RNNoise 0.2 keeps, and hears, more of the people who pass by than 0.1 did.
        _ if name.contains("street") => 0.4,
        _ if name.contains("music") => 0.35,
        _ if name.contains("dishes") => 0.05,
        _ if name.contains("babble") => 1.0,
        _ => 0.01,
    };
    let mut all = vec![Recording::fixture("noise_fan.wav")];
    all.extend(recordings("noise"));
    for recording in all {
        everywhere(&recording, 12, |where_, _, told| {
            let share = told.iter().filter(|voice| voice.speaking).count() as f32 / told.len() as f32;
            println!("{:28} {where_:9} {:3.0} % taken for speech", recording.name, share * 100.0);
            assert!(share <= most(&recording.name), "{} {where_}: {share}", recording.name);
        });
    }
}

#[test]
fn an_utterance_begins_within_its_preroll() {
    // The word begins after 0.5 s of silence; in the noisy one a fan is there before.
    for name in ["speech_clean.wav", "speech_noisy.wav"] {
        everywhere(&Recording::fixture(name), 4, |where_, delay, told| {
            let decided_ms = told.iter().position(|voice| voice.speaking).unwrap() * 10 + 10;
            let begins_ms = 500 + delay * 10;
            let late_ms = decided_ms as i64 - begins_ms as i64;
            let preroll_ms = i64::from(told[decided_ms / 10 - 1].onset_ms);
            println!("{name} {where_}: decided after {late_ms} ms, {preroll_ms} ms back");
            assert!((0..=150).contains(&late_ms), "{name} {where_}: {late_ms} ms");
            assert!(preroll_ms >= late_ms, "{name} {where_}: {preroll_ms} of {late_ms} ms");
            // Nothing stands out of silence before the word does.
            assert!(name.contains("noisy") || preroll_ms <= late_ms + 200, "{name} {where_}: {preroll_ms} ms");
        });
    }
}

/// Speech without a voice: each block of it becomes noise with the same spectral envelope (linear prediction).
#[cfg(feature = "vad")]
fn whisper(recording: &Recording, dbfs: f32) -> Vec<f32> {
    const ORDER: usize = 44;
    const HOP: usize = 480;
    let samples = &recording.samples;
    let hann: Vec<f32> =
        (0..3 * HOP).map(|i| 0.5 - 0.5 * (i as f32 * std::f32::consts::TAU / (3 * HOP) as f32).cos()).collect();
    let noise = voxframe_testkit::random::noise(11, samples.len(), 1.0);
    let mut out = vec![0.0f32; samples.len()];
    for start in (1..samples.len() - 3 * HOP).step_by(HOP) {
        // Whispers have less bass.
        let block: Vec<f32> =
            (0..3 * HOP).map(|i| (samples[start + i] - 0.8 * samples[start + i - 1]) * hann[i]).collect();
        let correlation = |lag: usize| block.iter().zip(&block[lag..]).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        let r: Vec<f64> = (0..=ORDER).map(correlation).collect();
        let (mut a, mut error) = (vec![0.0f64; ORDER + 1], r[0] * 1.000_01 + 1e-9);
        a[0] = 1.0;
        for i in 1..=ORDER {
            let k = -(0..i).map(|j| a[j] * r[i - j]).sum::<f64>() / error;
            let before = a.clone();
            (1..=i).for_each(|j| a[j] = before[j] + k * before[i - j]);
            error *= 1.0 - k * k;
        }
        let mut shaped = vec![0.0f64; 3 * HOP];
        for i in 0..3 * HOP {
            let past: f64 = (1..=ORDER.min(i)).map(|j| a[j] * shaped[i - j]).sum();
            shaped[i] = f64::from(noise[start + i] * hann[i]) - past;
        }
        let power = shaped.iter().map(|s| s * s).sum::<f64>() + 1e-12;
        let scale = (r[0] / power).sqrt();
        out[start..].iter_mut().zip(&shaped).for_each(|(out, shaped)| *out += (shaped * scale) as f32);
    }
    let mut meter = SpeechLevel::new(48_000);
    meter.push(&out);
    let gain = voxframe::level::db_to_gain(dbfs - meter.dbov().unwrap());
    let room = voxframe_testkit::random::noise(12, out.len(), 0.000_2);
    out.iter().zip(room).map(|(s, room)| s * gain + room).collect()
}

/// A whisper is speech, behind noise suppression too, whose network takes it for noise.
#[cfg(feature = "vad")]
#[test]
fn a_whisper_is_speech() {
    for dbov in [-45.0, -30.0] {
        let clean = Recording::fixture("speech_clean.wav");
        let loud = loud_frames(&clean, 9);
        let whisper =
            Recording { name: format!("whisper at {dbov} dBov"), rate_hz: 48_000, samples: whisper(&clean, dbov) };
        everywhere(&whisper, 9, |where_, delay, told| {
            // The first second of it is learnt from.
            let found =
                loud.iter().zip(&told[delay..]).skip(150).filter(|(loud, voice)| **loud && voice.speaking).count();
            let share = found as f32 / loud[150..].iter().filter(|&&loud| loud).count() as f32;
            println!("{} {where_}: {:3.0} % found", whisper.name, share * 100.0);
            assert!(share > 0.8, "{} {where_}: {share}", whisper.name);
        });
    }
}

/// What the far end says is nobody's speech here.
#[test]
fn the_far_end_does_not_speak() {
    let (activity, handle) = VoiceActivity::default().live();
    let mut activity = activity.prepare(Format::mono(48_000).unwrap()).unwrap();
    for chunk in Recording::fixture("speech_clean.wav").samples.chunks_exact(480) {
        let mut frame = Frame::new(activity.input_format());
        frame.samples_mut().copy_from_slice(chunk);
        frame.set_far_end_speech(true);
        activity.process(&mut frame).unwrap();
        assert!(!handle.reading().speaking);
    }
}
