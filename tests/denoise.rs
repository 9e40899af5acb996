//! What each engine of `Denoise` does to real speech: tests that one which did nothing would not survive.
#![cfg(feature = "denoise")]

use voxframe::denoise::Engine;
use voxframe::{Denoise, Format, Frame, Live, Processor, Stage};
use voxframe_testkit::signal::{delay, level, run};
use voxframe_testkit::wav::{fixture, recordings};

/// The bundled speech begins after half a second.
const LEAD: usize = 24_000;
/// Noise alone, once the network has settled.
const QUIET: std::ops::Range<usize> = 9600..LEAD - 2400;

const ENGINES: &[Engine] = &[
    Engine::Light,
    Engine::Standard,
    #[cfg(feature = "hush")]
    Engine::Best,
];

fn by(engine: Engine) -> Denoise {
    Denoise { engine, ..Denoise::default() }
}

fn format(channels: usize) -> Format {
    Format::new(48_000, channels).unwrap()
}

/// Sound through the stage, its latency taken off and its tail recovered.
fn through(settings: Denoise, input: &[Vec<f32>]) -> Vec<Vec<f32>> {
    let mut processor = settings.prepare(format(input.len())).unwrap();
    let latency = processor.latency();
    let mut padded = input.to_vec();
    padded.iter_mut().for_each(|channel| channel.resize(channel.len() + 4800, 0.0));
    let (out, _) = run(&mut processor, &padded);
    out.into_iter().map(|channel| channel[latency..latency + input[0].len()].to_vec()).collect()
}

/// The level where the clean speech is loud.
fn loud(sound: &[f32], clean: &[f32]) -> f32 {
    let loud: Vec<f32> = sound.iter().zip(clean).filter(|(_, clean)| clean.abs() > 0.02).map(|(s, _)| *s).collect();
    level(&loud)
}

/// By how many dB the noise before the speech became quieter.
fn reduction(before: &[f32], after: &[f32]) -> f32 {
    level(&before[QUIET]) - level(&after[QUIET])
}

#[test]
fn they_take_noise_and_leave_speech() {
    let (clean, noisy) = (fixture("speech_clean.wav"), fixture("speech_noisy.wav"));
    let snr = |sound: &[f32]| {
        let error: Vec<f32> = sound.iter().zip(&clean[0]).map(|(s, c)| s - c).collect();
        level(&clean[0]) - level(&error)
    };
    for &engine in ENGINES {
        let out = through(by(engine), &noisy);
        assert_eq!(delay(&clean[0], &out[0], 960), 0);
        let reduction = reduction(&noisy[0], &out[0]);
        let change = loud(&out[0], &clean[0]) - loud(&clean[0], &clean[0]);
        println!("{engine:?}: noise -{reduction:.1} dB, speech {change:+.2} dB, SNR {:.1} dB", snr(&out[0]));
        assert!((10.0..=19.0).contains(&reduction), "{engine:?}: noise before speech: -{reduction} dB");
        assert!(change.abs() < 1.5, "{engine:?}: speech level changed by {change} dB");
        assert!(snr(&out[0]) > snr(&noisy[0]) + 2.0, "{engine:?}: {} dB, was {}", snr(&out[0]), snr(&noisy[0]));
    }
}

#[test]
fn the_depth_is_what_is_asked_for() {
    let (clean, noisy) = (fixture("speech_clean.wav"), fixture("speech_noisy.wav"));
    for &engine in ENGINES {
        for depth in [0.0, 6.0, 12.0, 18.0] {
            let out = through(Denoise { suppression_db: depth, ..by(engine) }, &noisy);
            let reduction = reduction(&noisy[0], &out[0]);
            println!("{engine:?}, {depth} dB: noise -{reduction:.1} dB");
            assert!((depth * 0.7..=depth + 1.0).contains(&reduction), "{engine:?}, {depth} dB: {reduction} dB");
            assert!((loud(&out[0], &clean[0]) - loud(&clean[0], &clean[0])).abs() < 1.5);
        }
    }
}

#[test]
fn a_larger_engine_takes_more_noise() {
    let noisy = fixture("speech_noisy.wav");
    let taken = |engine| {
        let out = through(Denoise { suppression_db: 60.0, ..by(engine) }, &noisy);
        reduction(&noisy[0], &out[0])
    };
    let light = taken(Engine::Light);
    for &engine in &ENGINES[1..] {
        let taken = taken(engine);
        println!("{engine:?} -{taken:.1} dB, Light -{light:.1} dB");
        assert!(taken > light + 3.0 && light > 10.0, "{engine:?} -{taken} dB, Light -{light} dB");
    }
}

#[test]
fn light_is_within_60_db_of_nnnoiseless_on_every_recording() {
    use nnnoiseless::DenoiseState;
    // At the largest depth, which still lets through this share of the input.
    const DRY: f32 = 1e-5;
    let sounds = ["speech_clean.wav", "speech_noisy.wav", "speech_room.wav", "noise_fan.wav"].map(|name| {
        let samples = fixture(name).remove(0);
        (name.to_owned(), samples)
    });
    // Whatever their rate is: that of 48 kHz makes other voices of them.
    let recorded = ["speech", "noise", "pairs"].into_iter().flat_map(recordings);
    for (name, samples) in sounds.into_iter().chain(recorded.map(|recording| (recording.name, recording.samples))) {
        let mut ours = Denoise { engine: Engine::Light, ..Denoise::db(100.0) }.prepare(format(1)).unwrap();
        let mut theirs = DenoiseState::new();
        let mut frame = Frame::new(format(1));
        let [mut last, mut wanted, mut wanted_last] = [[0.0; DenoiseState::FRAME_SIZE]; 3];
        let (mut signal, mut error) = (0.0f64, 0.0f64);
        let mut probability_last = 0.0;
        for (index, block) in samples.as_chunks::<{ DenoiseState::FRAME_SIZE }>().0.iter().enumerate() {
            frame.samples_mut().copy_from_slice(block);
            let out = ours.process(&mut frame).unwrap().unwrap();
            if index > 1 {
                for (found, wanted) in out.samples().iter().zip(&wanted_last) {
                    signal += f64::from(*wanted).powi(2);
                    error += f64::from(found - wanted).powi(2);
                }
                let difference: f32 = out.speech_probability().unwrap() - probability_last;
                assert!(difference.abs() < 0.01, "{name}, frame {index}: the probability is {difference} off");
            }
            // Theirs is a frame earlier.
            probability_last = theirs.process_frame(&mut wanted, &block.map(|sample| sample * 32_768.0));
            wanted_last = std::array::from_fn(|i| (1.0 - DRY) * wanted[i] / 32_768.0 + DRY * last[i]);
            last = *block;
        }
        let distance_db = 10.0 * (signal / error).log10();
        println!("{name}: {distance_db:.1} dB");
        assert!(distance_db > 60.0, "{name}: {distance_db:.1} dB");
    }
}

#[test]
fn an_engine_changes_while_it_runs_and_the_new_one_is_what_it_would_be() {
    let noisy = fixture("speech_noisy.wav").remove(0);
    let quiet = [&noisy[QUIET], &noisy[QUIET], &noisy[QUIET]].concat().repeat(4);
    for &from in ENGINES {
        for &to in ENGINES {
            let (stage, handle) = Denoise { suppression_db: 60.0, ..by(from) }.live();
            let mut denoiser = stage.prepare(format(1)).unwrap();
            let mut out = Vec::new();
            for (index, block) in quiet.chunks_exact(480).enumerate() {
                if index == 100 {
                    handle.update(|denoise| denoise.engine = to).unwrap();
                }
                let mut frame = Frame::new(format(1));
                frame.samples_mut().copy_from_slice(block);
                out.extend_from_slice(denoiser.process(&mut frame).unwrap().unwrap().samples());
            }
            let fresh = through(Denoise { suppression_db: 60.0, ..by(to) }, std::slice::from_ref(&quiet));
            let end = out.len() - 24_000..out.len() - 960;
            let (found, wanted) = (level(&out[end.start + 960..end.end + 960]), level(&fresh[0][end]));
            println!("{from:?} to {to:?}: {found:.1} dB, {wanted:.1} dB");
            assert!((found - wanted).abs() < 2.0, "{from:?} to {to:?}: {found} dB, not {wanted}");
        }
    }
}

/// What lies above a frequency: a windowed sinc, 60 dB down 0.8 kHz below it.
fn above(hz: f32, sound: &[f32]) -> Vec<f32> {
    use std::f32::consts::{PI, TAU};
    const HALF: usize = 100;
    let turn = TAU * hz / 48_000.0;
    let tap = |i: usize| {
        let t = i as f32 - HALF as f32;
        let low = if t == 0.0 { turn / PI } else { (turn * t).sin() / (PI * t) };
        let phase = PI * i as f32 / HALF as f32;
        (if t == 0.0 { 1.0 } else { 0.0 }) - low * (0.42 - 0.5 * phase.cos() + 0.08 * (2.0 * phase).cos())
    };
    let taps: Vec<f32> = (0..=2 * HALF).map(tap).collect();
    sound.windows(taps.len()).map(|sound| sound.iter().zip(&taps).map(|(s, t)| s * t).sum()).collect()
}

#[test]
fn what_is_above_8_khz_survives_in_speech_and_goes_in_noise() {
    let mut speech: Vec<(String, Vec<f32>)> = recordings("speech")
        .into_iter()
        .filter(|recording| recording.rate_hz == 48_000)
        .map(|recording| (recording.name, recording.samples))
        .collect();
    speech.push(("speech_clean".into(), fixture("speech_clean.wav").remove(0)));
    let noisy = fixture("speech_noisy.wav");
    for &engine in ENGINES {
        let settings = Denoise { suppression_db: 40.0, ..by(engine) };
        for (name, clean) in &speech {
            let out = through(settings, std::slice::from_ref(clean));
            let change = level(&above(8000.0, &out[0])) - level(&above(8000.0, clean));
            println!("{engine:?}, {name}: {change:+.2} dB above 8 kHz");
            assert!(change.abs() < 3.0, "{engine:?}, {name}: {change} dB above 8 kHz");
        }
        let out = through(settings, &noisy);
        let reduction = reduction(&above(8000.0, &noisy[0]), &above(8000.0, &out[0]));
        println!("{engine:?}, noise: -{reduction:.1} dB above 8 kHz");
        assert!(reduction > 10.0, "{engine:?}: noise above 8 kHz: -{reduction} dB");
    }
}

/// The loud second and a half of a recording, at an RMS of −24 dBFS.
fn turn(sound: &[f32]) -> Vec<f32> {
    const LENGTH: usize = 72_000;
    let starts = (0..=sound.len().saturating_sub(LENGTH)).step_by(4800);
    let start = starts.max_by(|&a, &b| level(&sound[a..a + LENGTH]).total_cmp(&level(&sound[b..b + LENGTH]))).unwrap();
    let turn = &sound[start..start + LENGTH];
    let gain = 10f32.powf((-24.0 - level(turn)) / 20.0);
    turn.iter().map(|sample| sample * gain).collect()
}

#[test]
fn a_second_talker_12_db_softer_keeps_his_level_at_every_turn() {
    let mut voices = vec![("speech_clean".to_string(), turn(&fixture("speech_clean.wav")[0]))];
    voices.push(("speech_room".to_string(), turn(&fixture("speech_room.wav")[0])));
    let recordings = recordings("speech").into_iter().filter(|recording| recording.rate_hz == 48_000);
    voices.extend(recordings.map(|recording| (recording.name, turn(&recording.samples))));
    for (index, (_, loud)) in voices.iter().enumerate() {
        let (name, soft) = &voices[(index + 1) % voices.len()];
        let soft: Vec<f32> = soft.iter().map(|sample| sample * 0.25).collect();
        let sound = [loud, &soft, loud, &soft].map(Vec::as_slice).concat();
        for &engine in ENGINES {
            let out = &through(Denoise { suppression_db: 100.0, ..by(engine) }, std::slice::from_ref(&sound))[0];
            for start in [1, 3].map(|turn| turn * soft.len()) {
                let turn = start..start + soft.len();
                let loss = level(&sound[turn.clone()]) - level(&out[turn]);
                println!("{engine:?}, {name}: -{loss:.2} dB");
                assert!(loss < 3.0, "{engine:?}, {name}: -{loss} dB");
            }
        }
    }
}

#[test]
fn bypassed_live_the_sound_is_what_it_was_and_comes_when_it_came() {
    let noisy = fixture("speech_noisy.wav").remove(0);
    for &engine in ENGINES {
        let (stage, handle) = by(engine).live();
        let mut denoiser = stage.prepare(format(1)).unwrap();
        let mut out = Vec::new();
        for (index, block) in noisy.chunks_exact(480).enumerate() {
            handle.update(|denoise| denoise.bypassed = (100..200).contains(&index)).unwrap();
            let mut frame = Frame::new(format(1));
            frame.samples_mut().copy_from_slice(block);
            out.extend_from_slice(denoiser.process(&mut frame).unwrap().unwrap().samples());
        }
        // Frames 100 to 199 with a ramp of 5 ms before each change; the delay of two frames stays.
        assert_eq!(out[101 * 480..200 * 480], noisy[99 * 480..198 * 480], "{engine:?}");
        // The noise network went on listening: it suppresses at once.
        let quiet = |frames: std::ops::Range<usize>| frames.start * 480..frames.end * 480;
        let end = noisy.len() / 480;
        let after = level(&out[quiet(end - 20..end)]) - level(&noisy[quiet(end - 22..end - 2)]);
        let before = level(&out[quiet(20..45)]) - level(&noisy[quiet(18..43)]);
        assert!(before < -10.0 && after < -8.0, "{engine:?}: {before} dB, {after} dB");
    }
}

#[test]
fn bypassed_each_channel_is_as_it_was_in_frames_of_either_length() {
    let sounds = ["speech_noisy.wav", "speech_room.wav"].map(|name| fixture(name).remove(0));
    for (channels, ms) in [(1, 10), (1, 20), (2, 10), (2, 20)] {
        let format = Format::new(48_000, channels).and_then(|format| format.with_frame_ms(ms)).unwrap();
        let mut denoiser = Denoise { bypassed: true, ..Denoise::default() }.prepare(format).unwrap();
        let mut frame = Frame::new(format);
        let length = format.samples_per_channel();
        for start in (0..24_000).step_by(length) {
            for (channel, sound) in frame.channels_mut().zip(&sounds) {
                channel.copy_from_slice(&sound[start..start + length]);
            }
            let out = denoiser.process(&mut frame).unwrap().unwrap();
            for (channel, sound) in out.channels().zip(&sounds) {
                let wanted = (start..start + length).map(|at| at.checked_sub(960).map_or(0.0, |at| sound[at]));
                assert!(channel.iter().copied().eq(wanted), "{channels} channels, {ms} ms, from {start}");
            }
        }
    }
}

#[test]
fn the_network_and_the_dry_sound_are_aligned_to_the_sample() {
    // Clean speech passes the network nearly unchanged; were the dry sound not aligned, the mix would be a comb.
    let clean = fixture("speech_clean.wav");
    for &engine in ENGINES {
        let only_wet = through(Denoise { suppression_db: 100.0, ..by(engine) }, &clean);
        assert_eq!(delay(&clean[0], &only_wet[0], 480), 0);
        assert!(only_wet[0] != clean[0], "{engine:?} did nothing");
        let half = through(Denoise { suppression_db: 6.0, ..by(engine) }, &clean);
        let change = level(&half[0]) - level(&clean[0]);
        assert!(change.abs() < 0.5, "{engine:?}: {change} dB");
    }
}

#[test]
fn the_first_two_frames_are_silence_and_there_is_no_fade_in_behind_them() {
    let clean = fixture("speech_clean.wav");
    let speech = vec![clean[0][LEAD + 20_000..].to_vec()];
    for &engine in ENGINES {
        let settings = Denoise { suppression_db: 100.0, ..by(engine) };
        let (out, positions) = run(&mut settings.prepare(format(1)).unwrap(), &speech);
        assert_eq!(positions[0], -960);
        assert!(out[0][..960].iter().all(|&s| s == 0.0));
        let first = level(&out[0][960..1440]) - level(&speech[0][..480]);
        assert!(first > -6.0, "{engine:?}: {first} dB");
    }
}

#[test]
fn the_handle_tells_speech_from_silence() {
    let clean = fixture("speech_clean.wav");
    for &engine in ENGINES {
        let (stage, handle) = by(engine).live();
        let mut denoiser = stage.prepare(format(1)).unwrap();
        let mut during = (0, 0);
        for (index, block) in clean[0].chunks_exact(480).enumerate() {
            let mut frame = Frame::new(format(1));
            frame.samples_mut().copy_from_slice(block);
            let probability = denoiser.process(&mut frame).unwrap().unwrap().speech_probability().unwrap();
            assert_eq!(handle.reading().speech_probability, probability);
            if index < 45 {
                assert!(probability < 0.1, "{engine:?}, silence: {probability}");
            } else if level(block) > -25.0 {
                during.0 += 1;
                during.1 += u32::from(probability > 0.8);
            }
        }
        assert!(during.0 > 50 && during.1 > during.0 * 9 / 10, "{engine:?}: {during:?}");
    }
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
    for &engine in ENGINES {
        let out = through(by(engine), &input);
        assert_eq!(delay(&clean[0][..length], &out[0], 480), 0);
        let mut worst = 0.0f32;
        for start in (LEAD..length - 4800).step_by(4800) {
            let range = start..start + 4800;
            if level(&clean[0][range.clone()]) > -25.0 {
                let balance = |c: &[Vec<f32>]| level(&c[0][range.clone()]) - level(&c[1][range.clone()]);
                worst = worst.max((balance(&out) - balance(&input)).abs());
            }
        }
        println!("{engine:?}: the voice moved by {worst:.2} dB");
        assert!(worst < 0.7, "{engine:?}: the voice moved by {worst} dB");
        for (before, after) in input.iter().zip(&out) {
            let reduction = reduction(before, after);
            assert!(reduction > 8.0, "{engine:?}: {reduction} dB");
        }
    }
}

#[test]
fn equal_channels_get_what_one_would_and_an_inverted_one_does_no_harm() {
    let noisy = fixture("speech_noisy.wav");
    let inverted: Vec<f32> = noisy[0].iter().map(|s| -s).collect();
    for &engine in ENGINES {
        let mono = through(by(engine), &noisy);
        let both = through(by(engine), &[noisy[0].clone(), noisy[0].clone()]);
        assert!(both[0] == mono[0] && both[1] == mono[0], "{engine:?}");

        let out = through(by(engine), &[noisy[0].clone(), inverted.clone()]);
        let quiet = 15_000..LEAD - 2400;
        let reduction = level(&noisy[0][quiet.clone()]) - level(&out[0][quiet]);
        assert!(reduction > 8.0, "{engine:?}: {reduction} dB");
        assert!(out[0].iter().zip(&out[1]).all(|(l, r)| (l + r).abs() < 1e-4));
    }
}
