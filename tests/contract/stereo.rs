//! Two channels: the image does not move, and a voice that is the same in both comes out as if it were in one.

use voxframe::Format;
use voxframe_testkit::signal::{level, run};
use voxframe_testkit::wav::fixture;

use crate::cases::cases;

/// Speech in noise, soft at first and then so loud that limiters work: gains, gates and thresholds all move.
fn speech() -> Vec<f32> {
    let speech = &fixture("speech_noisy.wav")[0][..168_000];
    let loud = speech.iter().map(|sample| sample * 4.0);
    speech.iter().map(|sample| sample * 0.25).chain(loud).collect()
}

fn format(channels: usize) -> Format {
    Format::new(48_000, channels).unwrap()
}

#[test]
fn the_image_does_not_move() {
    let left = speech();
    for side_db in [-12.0f32, 3.0] {
        let right: Vec<f32> = left.iter().map(|sample| sample * 10f32.powf(side_db / 20.0)).collect();
        for case in cases().iter().filter(|case| case.name != "closure") {
            let (out, _) = run(&mut *(case.prepare)(format(2)).unwrap(), &[left.clone(), right.clone()]);
            let blocks = out[0].chunks(480).zip(out[1].chunks(480));
            let heard = blocks.filter(|(left, right)| level(left).min(level(right)) > -80.0);
            let moved: Vec<f32> = heard.map(|(left, right)| (level(right) - level(left) - side_db).abs()).collect();
            assert!(moved.len() > 100, "{}: only {} blocks are heard", case.name, moved.len());
            let worst = moved.iter().fold(0.0, |worst: f32, &moved| worst.max(moved));
            println!("{}, {side_db} dB: {worst:.4} dB", case.name);
            assert!(worst < 0.02, "{}: {side_db} dB moved by {worst} dB", case.name);
        }
    }
}

#[test]
fn a_voice_in_both_channels_is_the_voice_in_one() {
    let voice = speech();
    for case in cases() {
        let (mono, _) = run(&mut *(case.prepare)(format(1)).unwrap(), std::slice::from_ref(&voice));
        let (both, _) = run(&mut *(case.prepare)(format(2)).unwrap(), &[voice.clone(), voice.clone()]);
        assert!(both[0] == mono[0] && both[1] == mono[0], "{}", case.name);
    }
}

/// A device with one channel, frames with two, and a device with one.
#[cfg(all(feature = "resample", feature = "denoise"))]
#[test]
fn from_mono_to_stereo_and_back_is_mono() {
    use voxframe::call::ProfileKind;
    use voxframe::{Capture, Error, Playout, Processor, Profile, Stage};
    let voice = speech();
    let through = |profile: Profile, channels: usize| {
        let mut pipeline = profile.prepare(format(channels)).unwrap();
        let mut capture = Capture::new(48_000, 1, pipeline.input_format()).unwrap();
        let output = pipeline.output_format();
        let mut playout = Playout::new(output, output.sample_rate_hz(), 1).unwrap();
        let mut out = Vec::new();
        capture
            .push_interleaved(&voice[..], |frame| {
                if let Some(frame) = pipeline.process(frame)? {
                    playout.push(frame)?;
                    let mut device = vec![0.0f32; playout.available()];
                    playout.pull_interleaved(&mut device[..])?;
                    out.extend(device);
                }
                Ok::<(), Error>(())
            })
            .unwrap();
        out
    };
    for kind in ProfileKind::ALL {
        let (mono, stereo) = (through(kind.into(), 1), through(kind.into(), 2));
        assert!(mono.len() > 100_000 && level(&mono) > -40.0, "{kind}");
        assert!(mono == stereo, "{kind}");
    }
}
