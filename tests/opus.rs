//! Opus, from frames to packets and back.
#![cfg(feature = "opus")]

use proptest::prelude::*;
use voxframe::error::CodecError;
use voxframe::opus::{Application, Bandwidth, OpusDecodeProcessor, OpusEncodeProcessor, RateControl, Signal};
use voxframe::{Error, Format, Frame, Live, OpusDecode, OpusEncode, Packet, Processor, Stage};
use voxframe_testkit::signal::{delay, level};
use voxframe_testkit::wav::fixture;

/// The packets that speech becomes.
fn encode(encoder: &mut OpusEncodeProcessor, channels: &[Vec<f32>]) -> Vec<Packet> {
    let format = encoder.input_format();
    let length = format.samples_per_channel();
    let mut packets = Vec::new();
    for start in (0..channels[0].len() - length).step_by(length) {
        let mut frame = Frame::new(format);
        frame.set_position(start as i64);
        for (to, from) in frame.channels_mut().zip(channels) {
            to.copy_from_slice(&from[start..start + length]);
        }
        packets.extend(encoder.process(&mut frame).unwrap().cloned());
    }
    packets
}

/// The first channel of the sound in some packets, and the position it begins at.
fn decode(decoder: &mut OpusDecodeProcessor, packets: &mut [Packet]) -> (Vec<f32>, i64) {
    let mut sound = Vec::new();
    let mut begin = None;
    for packet in packets {
        while !packet.is_empty() {
            if let Some(frame) = decoder.process(packet).unwrap() {
                let begin = *begin.get_or_insert(frame.position());
                assert_eq!(frame.position() - begin, sound.len() as i64);
                sound.extend_from_slice(frame.channels().next().unwrap());
            }
        }
    }
    (sound, begin.unwrap())
}

/// Two seconds of speech at the rate of `format`: the bundled recording, thinned out.
fn speech(format: Format) -> Vec<Vec<f32>> {
    let step = 48_000 / format.sample_rate_hz() as usize;
    let clean = &fixture("speech_clean.wav")[0][12_000..108_000];
    // A crude low-pass is enough for a codec test.
    let one: Vec<f32> = clean.chunks(step).map(|c| c.iter().sum::<f32>() / c.len() as f32).collect();
    vec![one; format.channels()]
}

#[test]
fn every_packet_length_at_every_rate_is_the_same_speech_in_its_place() {
    for rate in [8_000, 12_000, 16_000, 24_000, 48_000] {
        for (channels, frame_ms) in [(1, 10), (2, 10), (1, 20), (2, 20)] {
            let format = Format::new(rate, channels).unwrap().with_frame_ms(frame_ms).unwrap();
            let speech = speech(format);
            for packet_ms in [2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0, 120.0] {
                let settings = OpusEncode { packet_ms, bitrate_bps: 64_000, complexity: 5, ..OpusEncode::voip() };
                let Ok(mut encoder) = settings.prepare(format) else {
                    assert!(packet_ms == 10.0 && frame_ms == 20, "{packet_ms} ms from {format}");
                    continue;
                };
                let mut packets = encode(&mut encoder, &speech);
                let wanted = packet_ms.max(frame_ms as f32) * 48.0;
                assert!(packets.iter().all(|p| p.duration() as f32 == wanted), "{packet_ms} ms from {format}");
                assert!(packets.windows(2).all(|w| w[1].position() - w[0].position() == i64::from(w[0].duration())));

                let mut decoder = OpusDecode::default().prepare(format).unwrap();
                let (sound, begin) = decode(&mut decoder, &mut packets);
                assert_eq!(begin, -(encoder.latency() as i64));
                assert!(
                    sound.len() + (wanted as usize * rate as usize / 48_000)
                        > speech[0].len() - format.samples_per_channel()
                );
                let sound = &sound[(-begin) as usize..];
                // To 0.1 ms: the codec's own high-pass and resampler bend the phase by as much.
                let late = delay(&speech[0][..sound.len()], sound, 40);
                assert!(late.abs() as f32 <= rate as f32 / 10_000.0, "{packet_ms} ms from {format}: {late} off");
                let change = level(sound) - level(&speech[0][..sound.len()]);
                assert!(change.abs() < 1.5, "{packet_ms} ms from {format}: {change} dB");
            }
        }
    }
}

#[test]
fn the_settings_reach_the_codec() {
    let format = Format::mono(48_000).unwrap();
    let speech = speech(format);
    let kbps = |settings: OpusEncode| {
        let packets = encode(&mut settings.prepare(format).unwrap(), &speech);
        let bytes: usize = packets.iter().map(|p| p.as_bytes().len()).sum();
        let ms: u32 = packets.iter().map(|p| p.duration() / 48).sum();
        (bytes as f32 * 8.0 / ms as f32, packets)
    };
    let base = OpusEncode { complexity: 5, ..OpusEncode::voip() };
    let (low, _) = kbps(OpusEncode { bitrate_bps: 12_000, rate_control: RateControl::Cbr, ..base });
    let (high, packets) = kbps(OpusEncode { bitrate_bps: 96_000, rate_control: RateControl::Cbr, ..base });
    assert!((low - 12.0).abs() < 0.5 && (high - 96.0).abs() < 0.5, "{low}, {high} kb/s");
    assert!(packets.iter().all(|p| p.as_bytes().len() == packets[0].as_bytes().len()), "constant");
    let (vbr, packets) = kbps(OpusEncode { bitrate_bps: 32_000, ..base });
    assert!((20.0..40.0).contains(&vbr), "{vbr} kb/s");
    assert!(packets.iter().any(|p| p.as_bytes().len() != packets[9].as_bytes().len()), "variable");
    // The configuration number of the first byte tells mode and bandwidth (RFC 6716, section 3.1).
    let configuration = |settings: OpusEncode| kbps(settings).1[50].as_bytes()[0] >> 3;
    assert!(configuration(OpusEncode { bitrate_bps: 16_000, max_bandwidth: Bandwidth::Narrow, ..base }) <= 3);
    assert!(configuration(OpusEncode { application: Application::LowDelay, ..base }) >= 16, "CELT");
    let full = OpusEncode { application: Application::Audio, signal: Signal::Music, bitrate_bps: 128_000, ..base };
    assert_eq!(configuration(full) >> 2, 7, "CELT, full band");
}

#[test]
fn all_can_be_changed_while_it_runs() {
    let format = Format::mono(48_000).unwrap();
    let (settings, control) = OpusEncode::voip().live();
    let mut encoder = settings.prepare(format).unwrap();
    let mut decoder = OpusDecode::default().prepare(format).unwrap();
    let speech = speech(format).remove(0);
    let mut durations = Vec::new();
    let changes: [fn(&mut OpusEncode); 8] = [
        |o| o.bitrate_bps = 96_000,
        |o| o.packet_ms = 2.5,
        |o| o.application = Application::LowDelay,
        |o| o.packet_ms = 60.0,
        |o| (o.application, o.signal) = (Application::Audio, Signal::Music),
        |o| (o.fec, o.loss_percent, o.packet_ms) = (true, 20, 20.0),
        |o| (o.rate_control, o.complexity) = (RateControl::Cbr, 0),
        |o| (o.dtx, o.max_bandwidth) = (true, Bandwidth::Wide),
    ];
    let mut sound = Vec::new();
    for (index, block) in speech.chunks_exact(480).enumerate() {
        if index % 24 == 23 {
            control.update(changes[(index / 24) % changes.len()]).unwrap();
        }
        let mut frame = Frame::new(format);
        frame.samples_mut().copy_from_slice(block);
        if let Some(packet) = encoder.process(&mut frame).unwrap() {
            durations.push(packet.duration());
            while !packet.is_empty() {
                if let Some(frame) = decoder.process(packet).unwrap() {
                    sound.extend_from_slice(frame.samples());
                }
            }
        }
    }
    for duration in [480, 960, 2880] {
        assert!(durations.contains(&duration), "{durations:?}");
    }
    let change = level(&sound[12_000..]) - level(&speech[12_000..sound.len()]);
    assert!(change.abs() < 1.0, "{change} dB");
    assert_eq!(control.reading().packets, durations.len() as u64);
    assert!(control.update(|opus| opus.packet_ms = 15.0).is_err());
    assert!(control.update(|opus| opus.complexity = 11).is_err());
    assert!(control.update(|opus| opus.bitrate_bps = 5_999).is_err());
}

#[test]
fn silence_with_dtx_need_not_be_sent() {
    let format = Format::mono(48_000).unwrap();
    let (settings, control) = OpusEncode { dtx: true, ..OpusEncode::voip() }.live();
    let packets = encode(&mut settings.prepare(format).unwrap(), &[vec![0.0; 96_000]]);
    let silent = packets.iter().filter(|p| p.is_dtx()).count();
    assert!(silent > packets.len() / 2, "{silent} of {}", packets.len());
    assert_eq!(control.reading().dtx_packets, silent as u64);
    assert!(packets.iter().all(|p| p.is_dtx() != p.holds_speech()));
    let spoken = encode(&mut OpusEncode { dtx: true, ..OpusEncode::voip() }.prepare(format).unwrap(), &speech(format));
    assert!(spoken.iter().filter(|p| p.position() > 18_000 && p.position() < 90_000).all(Packet::holds_speech));
}

/// How far the sound is from what a receiver without losses gets, in dB below it, where every fifth packet is lost and
/// `hear_of_next` says whether the decoder gets its successor.
fn distance_under_loss(fec: bool, hear_of_next: bool) -> f32 {
    let format = Format::mono(16_000).unwrap();
    let speech = speech(format);
    let settings = OpusEncode { fec, loss_percent: 20, bitrate_bps: 32_000, ..OpusEncode::voip() };
    let packets = encode(&mut settings.prepare(format).unwrap(), &speech);
    let (whole, _) = decode(&mut OpusDecode::default().prepare(format).unwrap(), &mut packets.clone());
    let mut arriving = packets.clone();
    let mut gaps = Vec::new();
    for index in (4..packets.len() - 1).step_by(5) {
        gaps.push(320 * index..320 * (index + 1));
        let next = if hear_of_next { packets[index + 1].as_bytes() } else { &[] };
        arriving[index]
            .set_lost(packets[index].position(), packets[index].duration(), next, packets[index + 1].position())
            .unwrap();
    }
    let (heard, _) = decode(&mut OpusDecode::default().prepare(format).unwrap(), &mut arriving);
    assert_eq!(heard.len(), whole.len());
    let error: Vec<f32> = heard.iter().zip(&whole).map(|(a, b)| a - b).collect();
    // The gaps are filled with as much sound as belongs there, give or take.
    let in_gaps = |sound: &[f32]| level(&gaps.iter().flat_map(|gap| sound[gap.clone()].to_vec()).collect::<Vec<_>>());
    let change = in_gaps(&heard) - in_gaps(&whole);
    assert!((-6.0..3.0).contains(&change), "{change} dB in the gaps");
    level(&whole) - level(&error)
}

#[test]
fn a_lost_packet_is_concealed_and_with_fec_rebuilt() {
    let concealed = distance_under_loss(false, false);
    let unused = distance_under_loss(true, false);
    let rebuilt = distance_under_loss(true, true);
    println!("concealed {concealed:.1} dB, FEC not used {unused:.1} dB, rebuilt by FEC {rebuilt:.1} dB");
    assert!(concealed > 1.0, "{concealed} dB");
    assert!(rebuilt > unused + 3.0, "{rebuilt} dB, without {unused} dB");
}

#[test]
fn a_packet_that_is_none_is_refused_and_the_next_one_plays() {
    let format = Format::mono(48_000).unwrap();
    let mut packets = encode(&mut OpusEncode::voip().prepare(format).unwrap(), &speech(format));
    let mut decoder = OpusDecode::default().prepare(format).unwrap();
    // Code 3 with no frame count byte (RFC 6716, section 3.4, R6).
    let mut bad = Packet::new();
    bad.set_bytes(&[0b1111_1011], 0).unwrap();
    assert_eq!(decoder.process(&mut bad).err(), Some(Error::Codec(CodecError::InvalidPacket)));
    assert!(bad.is_empty());
    let (sound, _) = decode(&mut decoder, &mut packets);
    assert!(level(&sound) > -30.0);
}

#[test]
fn packets_that_are_not_emptied_fill_the_buffer() {
    let format = Format::mono(48_000).unwrap();
    let settings = OpusEncode { packet_ms: 60.0, ..OpusEncode::voip() };
    let packets = encode(&mut settings.prepare(format).unwrap(), &speech(format));
    let mut decoder = OpusDecode::default().prepare(format).unwrap();
    let mut refused = None;
    for packet in &packets[..4] {
        let mut packet = packet.clone();
        refused = refused.or(decoder.process(&mut packet).err());
    }
    assert_eq!(refused, Some(Error::Full));
}

#[test]
fn rates_that_opus_lacks_are_refused_with_advice() {
    let format = Format::mono(44_100).unwrap();
    for error in [OpusEncode::voip().prepare(format).err(), OpusDecode::default().prepare(format).err()] {
        assert!(error.unwrap().to_string().contains("resample"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_the_decoder_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200), lost: bool, duration in 0u32..20_000, position: i32,
        ahead in -5_000i64..50_000,
    ) {
        let mut decoder = OpusDecode::default().prepare(Format::stereo(48_000).unwrap()).unwrap();
        let mut packet = Packet::new();
        for _ in 0..3 {
            if lost {
                packet.set_lost(position.into(), duration, &bytes, i64::from(position) + ahead).unwrap();
            } else {
                packet.set_bytes(&bytes, position.into()).unwrap();
            }
            let mut frames = 0;
            while !packet.is_empty() {
                if let Ok(Some(frame)) = decoder.process(&mut packet) {
                    prop_assert!(frame.samples().iter().all(|s| s.is_finite()));
                    frames += 1;
                }
                prop_assert!(frames <= 13.max(1 + duration / 480), "no more than 120 ms or the gap, and what was left");
            }
        }
    }
}
