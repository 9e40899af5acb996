//! From microphone to packet: what each profile promises, measured with an impulse through encoder and decoder.
#![cfg(all(feature = "resample", feature = "denoise", feature = "opus"))]

use voxframe::call::{Controls, ProfileKind};
use voxframe::echo::far_end;
use voxframe::{Format, Frame, OpusDecode, Packet, Processor, Profile, Stage};

/// The delay of an impulse from the microphone to the decoded sound, in ms, and the ms in a packet. Noise suppression
/// is bypassed, because it takes an impulse for noise, and the gate has no effect, because it would open behind the
/// impulse; their delays stay.
fn measure(kind: ProfileKind, microphone: Format) -> (f64, f64) {
    let profile = Profile::from(kind);
    measure_with(profile, microphone, &Controls::new(&profile))
}

fn measure_with(profile: Profile, microphone: Format, controls: &Controls) -> (f64, f64) {
    let kind = profile.kind;
    let mut uplink = profile.uplink_with(microphone, controls).unwrap();
    controls.denoise.update(|denoise| denoise.bypassed = true).unwrap();
    controls.gate.update(|gate| gate.floor_db = 0.0).unwrap();
    controls.opus.update(|opus| opus.bitrate_bps = 256_000).unwrap();
    let format = Format::new(48_000, microphone.channels()).unwrap();
    let mut decoder = OpusDecode::default().prepare(format).unwrap();

    let length = microphone.samples_per_channel();
    let at = 60 * length + 17;
    let mut packet_ticks = 0;
    let mut decoded: Vec<f32> = Vec::new();
    let mut first_position = None;
    for index in 0..100 {
        let mut frame = Frame::new(microphone);
        frame.set_position((index * length) as i64);
        if at / length == index {
            frame.channels_mut().for_each(|channel| channel[at % length] = 0.7);
        }
        if let Some(packet) = uplink.process(&mut frame).unwrap() {
            packet_ticks = packet.duration();
            first_position.get_or_insert(packet.position());
            while !packet.is_empty() {
                if let Some(frame) = decoder.process(packet).unwrap() {
                    decoded.extend_from_slice(frame.channels().next().unwrap());
                }
            }
        }
    }
    let peak = (0..decoded.len()).max_by(|&a, &b| decoded[a].abs().total_cmp(&decoded[b].abs())).unwrap();
    let delay_ms = peak as f64 / 48.0 - at as f64 * 1000.0 / f64::from(microphone.sample_rate_hz());
    // What the packets say of their position is what the impulse shows.
    let said_ms = -first_position.unwrap() as f64 * 1000.0 / f64::from(Packet::CLOCK_HZ);
    assert!((delay_ms - said_ms).abs() < 0.2, "{kind}: {delay_ms} ms, but positions say {said_ms} ms");
    (delay_ms, f64::from(packet_ticks) / 48.0)
}

#[test]
fn from_a_48_khz_microphone_to_a_packet() {
    for (kind, most_ms) in ProfileKind::ALL.into_iter().zip([20.0, 50.0, 65.0]) {
        for microphone in [Format::mono(48_000).unwrap(), Format::stereo(48_000).unwrap()] {
            let (delay_ms, packet_ms) = measure(kind, microphone);
            println!("{kind}, {microphone}: {packet_ms} ms packet + {delay_ms:.2} ms");
            assert!(packet_ms + delay_ms <= most_ms, "{kind}: {packet_ms} + {delay_ms} ms");
        }
    }
}

#[test]
fn with_echo_cancellation() {
    for (kind, most_ms) in ProfileKind::ALL.into_iter().zip([30.0, 60.0, 75.0]) {
        for microphone in [Format::mono(48_000).unwrap(), Format::stereo(48_000).unwrap()] {
            let (_far_end, reference) = far_end(Format::stereo(44_100).unwrap());
            let profile = Profile::from(kind);
            let (delay_ms, packet_ms) =
                measure_with(profile, microphone, &Controls::new(&profile).with_far_end(&reference));
            println!("{kind}, {microphone}: {packet_ms} ms packet + {delay_ms:.2} ms");
            assert!(packet_ms + delay_ms <= most_ms, "{kind}: {packet_ms} + {delay_ms} ms");
            let (without_ms, _) = measure(kind, microphone);
            assert!((delay_ms - without_ms - 10.0).abs() < 0.1, "{kind}: {without_ms} ms without");
        }
    }
}

#[test]
fn microphones_of_other_rates_are_accounted_for() {
    for kind in ProfileKind::ALL {
        for rate in [16_000, 44_100, 96_000] {
            let (delay_ms, packet_ms) = measure(kind, Format::mono(rate).unwrap());
            println!("{kind}, {rate} Hz: {packet_ms} ms packet + {delay_ms:.2} ms");
        }
    }
}
