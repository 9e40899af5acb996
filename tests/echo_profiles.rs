//! Echo cancellation in the profiles: on where there is a far end, and nothing at all where there is none.
#![cfg(all(feature = "resample", feature = "denoise", feature = "hush", feature = "opus"))]

use voxframe::call::{Controls, Downlink, ProfileKind, UplinkProcessor};
use voxframe::echo::{FarEnd, far_end};
use voxframe::{Format, Frame, OpusDecode, Processor, Profile, Source, Stage};
use voxframe_testkit::random::noise;
use voxframe_testkit::signal::level;
use voxframe_testkit::wav::fixture;

const RATE: usize = 48_000;

fn format() -> Format {
    Format::mono(RATE as u32).unwrap()
}

/// A fixture of 48 kHz at an RMS of −26 dBFS, for some seconds.
fn speech(name: &str, seconds: usize) -> Vec<f32> {
    let sound = fixture(name).remove(0);
    let gain = 10f32.powf((-26.0 - level(&sound)) / 20.0);
    sound.iter().cycle().take(seconds * RATE).map(|sample| sample * gain).collect()
}

/// What a room makes of the far end: two reflections after 60 ms, and the microphone's noise.
fn echo(far: &[f32]) -> Vec<f32> {
    let at = |index: usize, delay: usize| index.checked_sub(delay).map_or(0.0, |index| far[index]);
    let hiss = noise(3, far.len(), 1e-4);
    hiss.iter().enumerate().map(|(i, n)| n + 0.5 * at(i, 2880) - 0.2 * at(i, 3400) + 0.1 * at(i, 4500)).collect()
}

/// Runs an uplink beside its far end; what the other side decodes, without the delay.
fn run(uplink: &mut UplinkProcessor, far_end: &mut FarEnd, far: &[f32], near: &[f32]) -> Vec<f32> {
    let mut decoder = OpusDecode::default().prepare(format()).unwrap();
    let (mut played, mut captured) = (Frame::new(format()), Frame::new(format()));
    let mut heard = Vec::new();
    for (index, (far, near)) in far.chunks_exact(480).zip(near.chunks_exact(480)).enumerate() {
        played.set_position(index as i64 * 480);
        captured.set_position(index as i64 * 480);
        played.samples_mut().copy_from_slice(far);
        captured.samples_mut().copy_from_slice(near);
        captured.clear_detections();
        far_end.push(&played).unwrap();
        let Some(packet) = uplink.process(&mut captured).unwrap() else { continue };
        while !packet.is_empty() {
            if let Some(frame) = decoder.process(packet).unwrap() {
                heard.extend_from_slice(frame.samples());
            }
        }
    }
    let delay = (uplink.latency_ms() * 48.0) as usize;
    heard.drain(..delay.min(heard.len()));
    heard
}

#[test]
fn the_far_end_does_not_hear_itself() {
    let far = speech("speech_clean.wav", 10);
    let mic = echo(&far);
    for kind in ProfileKind::ALL {
        let profile = Profile::from(kind);
        let heard = [true, false].map(|connected| {
            let (mut far_end, reference) = far_end(format());
            let controls = Controls::new(&profile);
            let controls = if connected { controls.with_far_end(&reference) } else { controls };
            let mut uplink = profile.uplink_with(format(), &controls).unwrap();
            let out = run(&mut uplink, &mut far_end, &far, &mic);
            let last = controls.echo_cancel.reading();
            assert_eq!(last.delay_ms.is_some(), connected, "{kind}: {last:?}");
            (level(&out[3 * RATE..]), controls.auto_gain.reading().speech_dbov)
        });
        println!("{kind}: {heard:?}");
        let [(with, speech_with), (without, speech_without)] = heard;
        assert!(with < without - 30.0, "{kind}: {with} with, {without} dBFS without");
        if profile.auto_gain.is_some() {
            assert!(speech_with < -100.0 && speech_without > -40.0, "{kind}: {speech_with} {speech_without}");
        }
    }
}

#[test]
fn a_silent_far_end_changes_nothing_and_none_has_no_stage() {
    let near = speech("speech_noisy.wav", 3);
    let silence = vec![0.0; near.len()];
    for kind in ProfileKind::ALL {
        let profile = Profile::from(kind);
        let (mut far_end, reference) = far_end(format());
        let controls = Controls::new(&profile).with_far_end(&reference);
        let first = |controls: &Controls| {
            let uplink = profile.uplink_with(format(), controls).unwrap();
            let has_canceller = controls.echo_cancel.is_attached();
            (uplink, has_canceller)
        };
        assert!(!first(&Controls::new(&profile)).1);
        let mut off = profile;
        off.echo_cancel = None;
        let _off = off.uplink_with(format(), &controls).unwrap();
        assert!(!controls.echo_cancel.is_attached());
        let (mut uplink, has_canceller) = first(&controls);
        assert!(has_canceller);

        // Bit for bit, 10 ms later, wherever the packets begin.
        let (mut plain, _) = first(&Controls::new(&profile));
        let with = packets(&mut uplink, &mut far_end, &silence, &[&[0.0; 480], &near[..]].concat());
        let later = packets(&mut plain, &mut far_end, &silence, &[&[0.0; 960], &near[..]].concat());
        assert!(with == later, "{kind}");
        assert!(controls.echo_cancel.reading().is_transparent);
    }
}

/// All packets of an uplink, one after the other.
fn packets(uplink: &mut UplinkProcessor, far_end: &mut FarEnd, far: &[f32], near: &[f32]) -> Vec<u8> {
    let (played, mut captured) = (Frame::new(format()), Frame::new(format()));
    let mut bytes = Vec::new();
    for (_, near) in far.chunks_exact(480).zip(near.chunks_exact(480)) {
        far_end.push(&played).unwrap();
        captured.samples_mut().copy_from_slice(near);
        captured.clear_detections();
        if let Some(packet) = uplink.process(&mut captured).unwrap() {
            bytes.extend_from_slice(packet.as_bytes());
        }
    }
    bytes
}

#[test]
fn a_far_end_stands_behind_a_downlink_and_serves_one_profile_after_the_other() {
    let (_network, downlink, _) = Downlink::default().open(format()).unwrap();
    let (far_end, reference) = far_end(downlink.output_format());
    let mut loudspeaker = downlink.then(far_end).unwrap();
    let controls = Controls::new(&Profile::balanced()).with_far_end(&reference);
    for kind in ProfileKind::ALL {
        let mut uplink = Profile::from(kind).uplink_with(format(), &controls).unwrap();
        assert!(controls.echo_cancel.is_attached());
        assert_eq!(Some(controls.echo_cancel.settings()), Profile::from(kind).echo_cancel);
        loudspeaker.pull();
        uplink.process(&mut Frame::new(format())).unwrap();
    }
}
