//! What Opus does against losses: whether it is there, whether that is seen, and what the receiver makes of it.
#![cfg(feature = "opus")]

use voxframe::opus::{Application, OpusDecodeReading, OpusEncodeReading, Signal};
use voxframe::{Error, Format, Frame, Live, OpusDecode, OpusEncode, Packet, Processor, Stage};
use voxframe_testkit::signal::level;
use voxframe_testkit::wav::fixture;

/// Two seconds of speech at 48 kHz.
fn speech() -> Vec<f32> {
    fixture("speech_clean.wav")[0][12_000..108_000].to_vec()
}

fn encode(settings: OpusEncode) -> (Vec<Packet>, OpusEncodeReading) {
    let format = Format::mono(48_000).unwrap();
    let (stage, control) = settings.live();
    let mut encoder = stage.prepare(format).unwrap();
    let mut packets = Vec::new();
    let mut frame = Frame::new(format);
    for (index, block) in speech().chunks_exact(480).enumerate() {
        frame.set_position(480 * index as i64);
        frame.samples_mut().copy_from_slice(block);
        packets.extend(encoder.process(&mut frame).unwrap().cloned());
    }
    (packets, control.reading())
}

fn decode(settings: OpusDecode, packets: &[Packet]) -> (Vec<f32>, OpusDecodeReading) {
    let (stage, control) = settings.live();
    let mut decoder = stage.prepare(Format::mono(48_000).unwrap()).unwrap();
    let mut sound = Vec::new();
    let mut begin = None;
    for packet in packets {
        let mut packet = packet.clone();
        while !packet.is_empty() {
            if let Some(frame) = decoder.process(&mut packet).unwrap() {
                let begin = *begin.get_or_insert(frame.position());
                assert_eq!(frame.position() - begin, sound.len() as i64, "no sound is missing or doubled");
                sound.extend_from_slice(frame.samples());
            }
        }
    }
    (sound, control.reading())
}

/// The packets with gaps of `length` packets every `period`, each filled with the help of what follows it.
fn with_gaps(packets: &[Packet], length: usize, period: usize) -> (Vec<Packet>, Vec<std::ops::Range<usize>>) {
    let (mut arriving, mut gaps) = (Vec::new(), Vec::new());
    let mut index = 0;
    while index < packets.len() {
        let end = index + length;
        if index % period == period / 2 && end < packets.len() {
            let mut gap = Packet::new();
            let later = &packets[end];
            let duration = packets[index].duration() * length as u32;
            gap.set_lost(packets[index].position(), duration, later.as_bytes(), later.position()).unwrap();
            gaps.push(960 * index..960 * end);
            arriving.push(gap);
            index = end;
        } else {
            arriving.push(packets[index].clone());
            index += 1;
        }
    }
    (arriving, gaps)
}

const LOSSY: OpusEncode = OpusEncode { loss_percent: 20, ..DEFAULT };
const DEFAULT: OpusEncode = OpusEncode {
    application: Application::Voip,
    packet_ms: 20.0,
    bitrate_bps: 32_000,
    rate_control: voxframe::opus::RateControl::Vbr,
    complexity: 5,
    signal: Signal::Auto,
    max_bandwidth: voxframe::opus::Bandwidth::Full,
    fec: false,
    dred_ms: 0,
    loss_percent: 0,
    dtx: false,
};

#[test]
fn the_reading_says_whether_fec_works() {
    let works = |settings: OpusEncode| {
        let (packets, reading) = encode(OpusEncode { fec: true, ..settings });
        assert_eq!(reading.packets, packets.len() as u64);
        assert_eq!(reading.fec_packets > reading.packets / 4, reading.fec_effective, "{reading:?}");
        assert!(!reading.dred_effective && reading.dred_packets == 0);
        reading.fec_effective
    };
    assert!(works(LOSSY));
    for packet_ms in [10.0, 40.0, 60.0, 120.0] {
        assert!(works(OpusEncode { packet_ms, ..LOSSY }), "{packet_ms} ms");
    }
    assert!(works(OpusEncode {
        bitrate_bps: 28_000,
        loss_percent: 5,
        max_bandwidth: voxframe::opus::Bandwidth::Wide,
        ..LOSSY
    }));
    // Too low a rate, and music.
    assert!(!works(OpusEncode { bitrate_bps: 10_000, ..LOSSY }));
    assert!(!works(OpusEncode { bitrate_bps: 20_000, loss_percent: 2, ..LOSSY }));
    let music = OpusEncode { signal: Signal::Music, application: Application::Audio, bitrate_bps: 96_000, ..LOSSY };
    assert!(!works(OpusEncode { loss_percent: 1, ..music }));
    assert!(!encode(LOSSY).1.fec_effective);
}

/// The first line of any adaptation is `opus.loss_percent = reported`, and a good network reports 0.
#[test]
fn redundancy_rests_while_it_cannot_work_and_comes_back() {
    let speech = speech();
    let format = Format::mono(48_000).unwrap();
    let mut all = vec![OpusEncode { fec: true, ..LOSSY }];
    if cfg!(feature = "deep-plc") {
        all.push(OpusEncode { dred_ms: 100, ..LOSSY });
    }
    for settings in all {
        let (encode, control) = settings.live();
        let mut encoder = encode.prepare(format).unwrap();
        let mut frame = Frame::new(format);
        let effective = || control.reading().fec_effective || control.reading().dred_effective;
        let mut run = || {
            for block in speech.chunks_exact(480) {
                frame.samples_mut().copy_from_slice(block);
                encoder.process(&mut frame).unwrap();
            }
            effective()
        };
        assert!(run(), "{settings:?}");
        control.update(|opus| opus.loss_percent = 0).unwrap();
        assert!(!run(), "{settings:?}");
        let before = control.reading();
        assert!(!run());
        let after = control.reading();
        assert_eq!((before.fec_packets, before.dred_packets), (after.fec_packets, after.dred_packets));
        control.update(|opus| opus.loss_percent = 20).unwrap();
        assert!(run(), "{settings:?}");
    }
    for without in [
        OpusEncode { loss_percent: 0, ..LOSSY },
        OpusEncode { application: Application::LowDelay, ..LOSSY },
        OpusEncode { packet_ms: 5.0, ..LOSSY },
    ] {
        let (_, reading) = encode(OpusEncode { fec: true, ..without });
        assert!(reading.fec_packets == 0 && !reading.fec_effective, "{without:?}: {reading:?}");
    }
}

#[test]
fn what_was_not_built_is_refused() {
    let (dred, decode) = (OpusEncode { dred_ms: 100, ..LOSSY }, OpusDecode { complexity: 5, ..OpusDecode::default() });
    if cfg!(feature = "deep-plc") {
        assert!(matches!(OpusEncode { dred_ms: 1050, ..LOSSY }.validate(), Err(Error::OutOfRange { .. })));
    } else {
        let missing = |setting| Err(Error::Unavailable { setting, feature: "deep-plc" });
        assert_eq!(dred.validate(), missing("OpusEncode::dred_ms"));
        assert_eq!(decode.validate(), missing("OpusDecode::complexity"));
    }
}

/// After one lost packet the decoder is where the encoder was. After more, the copy is predicted from what was made up: its
/// waveform is then off, and libopus fades it in, but the voice is found again sooner.
#[test]
fn fec_rebuilds_a_packet_and_helps_at_the_end_of_longer_gaps() {
    let (packets, _) = encode(OpusEncode { fec: true, max_bandwidth: voxframe::opus::Bandwidth::Wide, ..LOSSY });
    let (whole, _) = decode(OpusDecode::default(), &packets);
    for (length, in_the_gap, behind_it) in [(1, 10.0, 10.0), (2, 2.0, 4.0), (3, 0.5, 2.5)] {
        let (arriving, gaps) = with_gaps(&packets, length, 10);
        let (heard, reading) = decode(OpusDecode::default(), &arriving);
        assert_eq!(heard.len(), whole.len());
        // Where there is no voice there is no correction.
        let lost = 20 * (length * gaps.len()) as u64;
        assert_eq!(reading.fec_ms + reading.concealed_ms, lost);
        assert!(reading.fec_ms > 20 * gaps.len() as u64 / 2, "{length} packets: {reading:?}");
        let unaided: Vec<Packet> = arriving.iter().map(without_help).collect();
        let (guessed, none) = decode(OpusDecode::default(), &unaided);
        assert_eq!((none.fec_ms, none.concealed_ms), (0, lost));
        // Where there was a correction at all.
        let corrected =
            |gap: &&std::ops::Range<usize>| heard[gap.end - 960..gap.end] != guessed[gap.end - 960..gap.end];
        let distance = |sound: &[f32], place: fn(&std::ops::Range<usize>) -> std::ops::Range<usize>| {
            let places = gaps.iter().filter(corrected).flat_map(place);
            let (error, wanted): (Vec<f32>, Vec<f32>) = places.map(|i| (sound[i] - whole[i], whole[i])).unzip();
            level(&wanted) - level(&error)
        };
        for (what, place, least) in [
            ("in the last 20 ms", (|gap| gap.end - 960..gap.end) as fn(&std::ops::Range<usize>) -> _, in_the_gap),
            ("in the 20 ms after", |gap| gap.end..gap.end + 960, behind_it),
        ] {
            let (with, without) = (distance(&heard, place), distance(&guessed, place));
            println!("{length} packets, {what}: {with:.1} dB, without {without:.1} dB");
            assert!(with > without + least, "{length} packets, {what}: {with} dB, without {without} dB");
        }
    }
}

/// The packet, or the gap with nothing known of what follows it.
fn without_help(packet: &Packet) -> Packet {
    let mut packet = packet.clone();
    if packet.is_lost() {
        packet.set_lost(packet.position(), packet.duration(), &[], 0).unwrap();
    }
    packet
}

/// libopus begins anew after 100 ms in CELT, 12 dB louder; and now and then guesses that a voice rises.
#[test]
fn concealment_never_rises_and_is_background_in_the_end() {
    for (application, bitrate_bps) in [(Application::LowDelay, 64_000), (Application::Voip, 32_000)] {
        let (packets, _) = encode(OpusEncode { application, bitrate_bps, ..DEFAULT });
        for end in (30..packets.len()).step_by(3) {
            let mut arriving = packets[end - 20..end].to_vec();
            let mut gap = Packet::new();
            gap.set_lost(packets[end - 1].position() + 960, 12 * 960, &[], 0).unwrap();
            arriving.push(gap);
            let (heard, _) = decode(OpusDecode::default(), &arriving);
            let levels: Vec<f32> = heard.chunks_exact(960).skip(19).map(|block| level(block).max(-70.0)).collect();
            assert_eq!(levels.len(), 13);
            for two in levels[..7].windows(2) {
                assert!(two[1] < two[0].max(-50.0) + 0.5, "{application:?}, after {end} packets: {levels:.1?}");
            }
            // Without a pause before it, what is quietest counts; but no voice.
            assert!(levels[12] < -38.0, "{levels:.1?}");
        }
    }
}

#[test]
fn a_gain_change_does_not_click_and_a_gap_without_end_stays_bounded() {
    let (packets, _) = encode(DEFAULT);
    let (stage, control) = OpusDecode::default().live();
    let mut decoder = stage.prepare(Format::mono(48_000).unwrap()).unwrap();
    let mut gap = Packet::new();
    decoder.process(&mut packets[20].clone()).unwrap();
    gap.set_lost(0, u32::MAX, &[], 0).unwrap();
    for _ in 0..100 {
        let frame = decoder.process(&mut gap).unwrap();
        assert!(frame.is_none_or(|frame| frame.samples().iter().all(|s| s.is_finite())));
    }
    assert!(gap.is_lost() && gap.position() > 40_000);
    gap.set_lost(0, 0, &[1, 2, 3], 960).unwrap();
    decoder.process(&mut gap).unwrap();
    assert!(gap.is_empty(), "a gap of nothing is over at once");
    control.update(|decode| decode.gain_db = 6.0).unwrap();
    assert!(control.update(|decode| decode.gain_db = 129.0).is_err());
}

#[cfg(feature = "deep-plc")]
mod deep {
    use proptest::prelude::*;

    use super::*;

    /// How alike the loudness of two sounds rises and falls in the gaps: the correlation of their levels every 10 ms.
    fn likeness(heard: &[f32], whole: &[f32], gaps: &[std::ops::Range<usize>]) -> f32 {
        let levels = |sound: &[f32]| -> Vec<f32> {
            gaps.iter()
                .flat_map(|gap| sound[gap.clone()].chunks(480).map(|c| level(c).max(-60.0)).collect::<Vec<_>>())
                .collect()
        };
        let (a, b) = (levels(heard), levels(whole));
        let mean = |x: &[f32]| x.iter().sum::<f32>() / x.len() as f32;
        let (ma, mb) = (mean(&a), mean(&b));
        let product =
            |x: &[f32], mx: f32, y: &[f32], my: f32| -> f32 { x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)).sum() };
        product(&a, ma, &b, mb) / (product(&a, ma, &a, ma) * product(&b, mb, &b, mb)).sqrt()
    }

    const DRED: OpusEncode = OpusEncode { dred_ms: 1000, ..LOSSY };

    #[test]
    fn the_reading_says_whether_dred_works() {
        let works = |settings: OpusEncode| {
            let (_, reading) = encode(settings);
            assert_eq!(reading.dred_packets > reading.packets / 2, reading.dred_effective, "{reading:?}");
            reading.dred_effective
        };
        assert!(works(DRED));
        assert!(works(OpusEncode { dred_ms: 200, packet_ms: 60.0, ..DRED }));
        assert!(works(OpusEncode { fec: true, bitrate_bps: 48_000, ..DRED }));
        assert!(works(OpusEncode { application: Application::LowDelay, ..DRED }));
        assert!(!works(OpusEncode { bitrate_bps: 12_000, ..DRED }));
        assert!(!works(LOSSY));
    }

    #[test]
    fn dred_fills_gaps_of_many_packets_with_what_was_said() {
        for complexity in [0, 5, 7] {
            let settings = OpusDecode { complexity, ..OpusDecode::default() };
            for length in [1, 5, 9] {
                let with = encode(DRED).0;
                let without = encode(LOSSY).0;
                let (arriving, gaps) = with_gaps(&with, length, 16);
                let (bare, _) = with_gaps(&without, length, 16);
                let (heard, reading) = decode(settings, &arriving);
                let lost = 20 * (length * gaps.len()) as u64;
                assert_eq!(reading.dred_ms + reading.concealed_ms, lost, "{length} packets");
                // Now and then libopus sends a packet without.
                assert!(reading.dred_ms >= lost * 4 / 5, "{length} packets: {reading:?}");
                let (concealed, _) = decode(settings, &bare);
                let rebuilt = likeness(&heard, &decode(settings, &with).0, &gaps);
                let made_up = likeness(&concealed, &decode(settings, &without).0, &gaps);
                println!("complexity {complexity}, {length} packets: {rebuilt:.2}, without DRED {made_up:.2}");
                assert!(
                    rebuilt > 0.8 && rebuilt > made_up,
                    "complexity {complexity}, {length} packets: {rebuilt}, {made_up}"
                );
            }
        }
    }

    #[test]
    fn a_gap_beyond_reach_is_concealed_until_it_is_within() {
        let (packets, _) = encode(DRED);
        let (arriving, gaps) = with_gaps(&packets, 30, 60);
        let (_, reading) = decode(OpusDecode::default(), &arriving);
        assert_eq!(gaps.len(), 1);
        // Concealment has faded to noise after 180 ms.
        assert_eq!((reading.dred_ms, reading.concealed_ms, reading.comfort_ms), (220, 180, 200));
    }

    #[test]
    fn fec_right_before_a_packet_is_better_than_dred() {
        let (packets, reading) = encode(OpusEncode { fec: true, bitrate_bps: 48_000, ..DRED });
        assert!(reading.fec_effective && reading.dred_effective);
        let (arriving, _) = with_gaps(&packets, 4, 12);
        let (_, reading) = decode(OpusDecode::default(), &arriving);
        assert!(reading.fec_ms > 0 && reading.dred_ms > 2 * reading.fec_ms, "{reading:?}");
    }

    #[test]
    fn complexity_reaches_the_decoder_also_while_it_runs() {
        let (packets, _) = encode(OpusEncode { bitrate_bps: 16_000, ..DEFAULT });
        let sound = |complexity| decode(OpusDecode { complexity, ..OpusDecode::default() }, &packets).0;
        let (plain, lace, nolace) = (sound(0), sound(6), sound(7));
        assert!(plain != lace && lace != nolace, "enhanced");
        let (arriving, _) = with_gaps(&packets, 4, 12);
        let concealed = |complexity| decode(OpusDecode { complexity, ..OpusDecode::default() }, &arriving).0;
        assert!(concealed(4) != concealed(5), "concealed by a network");
        let (stage, control) = OpusDecode::default().live();
        let mut decoder = stage.prepare(Format::mono(48_000).unwrap()).unwrap();
        let mut first = |packet: &Packet| {
            let mut packet = packet.clone();
            let frame = decoder.process(&mut packet).unwrap().unwrap().samples().to_vec();
            decoder.process(&mut packet).unwrap().unwrap();
            frame
        };
        packets[..20].iter().for_each(|packet| drop(first(packet)));
        control.update(|decode| decode.complexity = 7).unwrap();
        assert!(packets[20..80].iter().any(|packet| {
            let heard = first(packet);
            let at = ((packet.position() + 312) as usize).min(plain.len() - 480);
            heard != plain[at..at + 480]
        }));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn broken_redundancy_does_no_harm(
            index in 20usize..90, flips in prop::collection::vec((0usize..400, 0u8..8), 0..6), cut in 0usize..200,
            ahead in 0i64..30, length in 0u32..20,
        ) {
            let (packets, _) = PACKETS.get_or_init(|| encode(DRED));
            let mut bytes = packets[index].as_bytes().to_vec();
            for (at, bit) in flips {
                let at = at % bytes.len();
                bytes[at] ^= 1 << bit;
            }
            if cut < bytes.len() / 4 {
                bytes.truncate(bytes.len() - cut);
            }
            let mut gap = Packet::new();
            let position = packets[1].position();
            gap.set_lost(position, length * 960, &bytes, position + ahead * 480).unwrap();
            let (sound, _) = decode(OpusDecode { complexity: 7, ..OpusDecode::default() }, &[packets[0].clone(), gap]);
            prop_assert!(sound.iter().all(|s| s.is_finite() && s.abs() < 8.0));
        }
    }

    static PACKETS: std::sync::OnceLock<(Vec<Packet>, OpusEncodeReading)> = std::sync::OnceLock::new();
}
