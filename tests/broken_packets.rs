//! Whatever comes over a network, nothing panics, and what is heard stays finite: random bytes, and real packets cut off or
//! with flipped bits, into decoders and jitter buffers that live on.
//!
//! 10⁴ cases of each in CI. 10⁶: `VOXFRAME_CASES=1000000 cargo test --release --all-features --test broken_packets --test rtp`
#![cfg(feature = "opus")]

use std::cell::RefCell;
use std::sync::LazyLock;

use proptest::prelude::*;
use voxframe::jitter::{JitterBufferInput, JitterBufferOutput};
use voxframe::opus::{Application, OpusDecodeProcessor};
use voxframe::{Format, Frame, Handle, JitterBuffer, OpusDecode, OpusEncode, Packet, Processor, Source, Stage};
use voxframe_testkit::wav::fixture;

fn cases() -> ProptestConfig {
    let cases = std::env::var("VOXFRAME_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(10_000);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// As much as the features allow.
const COMPLEXITY: u8 = if cfg!(feature = "deep-plc") { 7 } else { 0 };
const DRED_MS: u32 = if cfg!(feature = "deep-plc") { 300 } else { 0 };

/// Packets of all kinds: SILK, hybrid and CELT, with and without redundancy, of one and of many frames, mono and stereo.
static PACKETS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let speech = &fixture("speech_clean.wav")[0][24_000..72_000];
    let lossy = OpusEncode { loss_percent: 20, complexity: 0, ..OpusEncode::voip() };
    let kinds = [
        OpusEncode { bitrate_bps: 14_000, ..lossy },
        OpusEncode { fec: true, ..lossy },
        OpusEncode { dred_ms: DRED_MS, ..lossy },
        OpusEncode { dred_ms: DRED_MS, fec: true, bitrate_bps: 48_000, packet_ms: 60.0, ..lossy },
        OpusEncode { application: Application::LowDelay, packet_ms: 2.5, ..lossy },
        OpusEncode { application: Application::Audio, bitrate_bps: 96_000, packet_ms: 120.0, ..lossy },
    ];
    let mut packets = Vec::new();
    for (index, kind) in kinds.into_iter().enumerate() {
        let format = Format::new(48_000, 1 + index % 2).unwrap();
        let mut encoder = kind.prepare(format).unwrap();
        let mut frame = Frame::new(format);
        for block in speech.chunks_exact(480) {
            frame.channels_mut().for_each(|channel| channel.copy_from_slice(block));
            packets.extend(encoder.process(&mut frame).unwrap().map(|packet| packet.as_bytes().to_vec()));
        }
    }
    packets
});

/// Bytes that may have been a packet once.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let random = prop::collection::vec(any::<u8>(), 0..300);
    let flips = prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 0..8);
    let broken = (any::<prop::sample::Index>(), flips, prop::option::of(any::<prop::sample::Index>()));
    let broken = broken.prop_map(|(which, flips, cut)| {
        let mut bytes = PACKETS[which.index(PACKETS.len())].clone();
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        bytes.truncate(cut.map_or(usize::MAX, |cut| cut.index(bytes.len() + 1)));
        bytes
    });
    prop_oneof![1 => random, 3 => broken]
}

thread_local! {
    static DECODERS: RefCell<Vec<OpusDecodeProcessor>> = RefCell::new(
        [Format::mono(48_000), Format::stereo(16_000)]
            .map(|format| OpusDecode { complexity: COMPLEXITY, gain_db: 0.0 }.prepare(format.unwrap()).unwrap())
            .into(),
    );
}

/// Random bytes make the codec as loud as 10⁶ times full scale; the decoder ends at eight times. Where two places of such
/// sound are spliced that have nothing in common, √2 more.
fn is_sound(frame: &Frame) -> bool {
    frame.samples().iter().all(|sample| sample.is_finite() && sample.abs() <= 12.0)
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_decoder_survives_all_bytes(
        bytes in bytes(), kind in 0u8..4, duration in 0u32..12_000, ahead in -2_000i64..20_000,
    ) {
        let mut packet = Packet::new();
        DECODERS.with_borrow_mut(|decoders| {
            for decoder in decoders {
                match kind {
                    0 => packet.set_lost(0, duration, &bytes, ahead).unwrap(),
                    1 => packet.set_silence(0, duration),
                    _ => packet.set_bytes(&bytes, 0).unwrap(),
                }
                let mut frames = 0;
                while !packet.is_empty() {
                    match decoder.process(&mut packet) {
                        Ok(Some(frame)) => prop_assert!(is_sound(frame)),
                        Ok(None) => {}
                        Err(_) => prop_assert!(packet.is_empty(), "refused, and then over"),
                    }
                    frames += 1;
                    prop_assert!(frames < 100, "it comes to an end");
                }
            }
            Ok(())
        })?;
    }
}

thread_local! {
    static BUFFER: RefCell<(JitterBufferInput, JitterBufferOutput, Handle<JitterBuffer>, u16)> = RefCell::new({
        let decoder = OpusDecode { complexity: COMPLEXITY, ..OpusDecode::default() };
        let control = Handle::new(JitterBuffer { decoder, ..JitterBuffer::default() });
        let (sender, receiver) = control.attach().open(Format::mono(16_000).unwrap()).unwrap();
        (sender, receiver, control, 65_000)
    });
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn a_jitter_buffer_survives_all_bytes_and_numbers(
        bytes in bytes(), lost in 0u16..4, pulls in 0usize..5,
        numbers in prop::option::weighted(0.1, (any::<u16>(), any::<u32>(), 0u32..2)),
    ) {
        BUFFER.with_borrow_mut(|(sender, receiver, control, sequence)| {
            *sequence = sequence.wrapping_add(1 + lost);
            let (number, timestamp, ssrc) = numbers.unwrap_or((*sequence, u32::from(*sequence) * 960, 7));
            // What is too long is refused, and what piles up.
            let _ = sender.push(number, timestamp, ssrc, &bytes);
            for _ in 0..pulls {
                prop_assert!(is_sound(receiver.pull()));
            }
            let reading = control.reading();
            prop_assert!(reading.jitter_buffer_target_delay_ms <= 500.0 && reading.packet_loss_rate <= 1.0);
            Ok(())
        })?;
    }
}

#[cfg(feature = "rtp")]
mod rtp {
    use super::*;
    use voxframe::rtp::{RtpReceiver, RtpSender};

    thread_local! {
        static RECEIVER: RefCell<(RtpReceiver, u64)> = RefCell::new((RtpReceiver::new(111).unwrap(), 0));
    }

    proptest! {
        #![proptest_config(cases())]

        #[test]
        fn broken_datagrams_are_counted_and_the_others_heard(
            which in any::<prop::sample::Index>(), flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 0..5),
            cut in prop::option::of(any::<prop::sample::Index>()), sequence: u16, timestamp: u32,
        ) {
            let mut packet = Packet::new();
            packet.set_bytes(&PACKETS[which.index(PACKETS.len())], 0).unwrap();
            let mut datagram = [0; Packet::MAX_BYTES + RtpSender::HEADER_BYTES];
            let mut sender = RtpSender::new(111, 7, sequence, timestamp).unwrap();
            // Silence is not sent.
            let length = sender.write(&packet, &mut datagram).unwrap().unwrap_or(0);
            for (at, bit) in &flips {
                datagram[at.index(length.max(1))] ^= 1 << bit;
            }
            let length = cut.map_or(length, |cut| cut.index(length + 1));
            RECEIVER.with_borrow_mut(|(receiver, count)| {
                *count += 1;
                let read = receiver.read(&datagram[..length], &mut packet);
                let reading = receiver.reading();
                let dropped = reading.packets_malformed + reading.packets_of_other_type;
                prop_assert_eq!(reading.packets_received + reading.packets_empty + dropped, *count);
                if flips.is_empty() && cut.is_none() && length > 0 {
                    prop_assert!(read.is_ok());
                }
                let Ok(header) = read else { return Ok(()) };
                BUFFER.with_borrow_mut(|(sender, receiver, ..)| {
                    let _ = sender.push(header.sequence, header.timestamp, header.ssrc, packet.as_bytes());
                    prop_assert!(is_sound(receiver.pull()));
                    Ok(())
                })
            })?;
        }
    }
}
