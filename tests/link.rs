//! A jitter buffer in a call over a network in a box.
#![cfg(feature = "opus")]

mod common;
#[path = "../examples/common/network.rs"]
mod network;

use std::sync::LazyLock;

use common::{fixture, level};
use network::{Heard, Loss, Network, call};
use proptest::prelude::*;
use voxframe::jitter::{JitterBufferInput, JitterBufferOutput, JitterBufferReading};
use voxframe::{Error, Format, Frame, JitterBuffer, OpusEncode, Packet, Processor, Source, Stage};

/// Speech at 16 kHz, cut to whole packets, and what it becomes with forward error correction.
static SPEECH: LazyLock<(Vec<f32>, Vec<Packet>)> = LazyLock::new(|| {
    let speech: Vec<f32> =
        fixture("speech_clean.wav")[0].chunks_exact(3).map(|c| c.iter().sum::<f32>() / 3.0).collect();
    let settings = OpusEncode { fec: true, loss_percent: 20, complexity: 5, ..OpusEncode::voip() };
    let packets = encode(settings, &speech[..speech.len() / 320 * 320]);
    (speech, packets)
});

fn format() -> Format {
    Format::mono(16_000).unwrap()
}

fn encode(settings: OpusEncode, speech: &[f32]) -> Vec<Packet> {
    let mut encoder = settings.prepare(format()).unwrap();
    let mut packets = Vec::new();
    for (index, block) in speech.chunks_exact(160).enumerate() {
        let mut frame = Frame::new(format());
        frame.set_position(index as i64 * 160);
        frame.samples_mut().copy_from_slice(block);
        packets.extend(encoder.process(&mut frame).unwrap().cloned());
    }
    packets
}

/// `count` packets of 20 ms: the speech over and over.
fn packets(count: usize) -> Vec<Packet> {
    let speech = &SPEECH.1;
    let mut packets = Vec::with_capacity(count);
    for index in 0..count {
        let from = &speech[index % speech.len()];
        let mut packet = Packet::new();
        packet.set_bytes(from.as_bytes(), index as i64 * 960).unwrap();
        packets.push(packet);
    }
    packets
}

/// What was heard in a call over `network`, frame by frame: delay, reading.
fn run(
    count: usize,
    network: &Network,
    buffer: JitterBuffer,
) -> (Vec<f32>, Vec<(f64, JitterBufferReading)>, JitterBufferReading) {
    let (mut sound, mut log) = (Vec::new(), Vec::new());
    let last = call(&packets(count), network, buffer, format(), |heard: Heard<'_>| {
        assert!(heard.frame.samples().iter().all(|s| s.is_finite() && s.abs() < 2.0));
        sound.extend_from_slice(heard.frame.samples());
        log.push((heard.delay_ms, heard.reading));
    });
    (sound, log, last.unwrap())
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    sum / f64::from(count)
}

/// One end each, and a count of pushed packets.
struct Ends {
    sender: JitterBufferInput,
    receiver: JitterBufferOutput,
}

impl Ends {
    fn new(buffer: JitterBuffer) -> Self {
        let (sender, receiver) = buffer.open(format()).unwrap();
        Self { sender, receiver }
    }

    /// Sends packet `index` of the speech under these numbers.
    fn push(&mut self, index: usize, sequence: u16, timestamp: u32, ssrc: u32) {
        let bytes = SPEECH.1[index % SPEECH.1.len()].as_bytes();
        self.sender.push(sequence, timestamp, ssrc, bytes).unwrap();
    }

    /// Pulls 20 ms.
    fn pull(&mut self) -> Vec<f32> {
        (0..2).flat_map(|_| self.receiver.pull().samples().to_vec()).collect()
    }

    fn reading(&self) -> JitterBufferReading {
        self.receiver.statistics().reading()
    }
}

#[test]
fn without_trouble_it_is_the_decoder() {
    let (sound, log, last) = run(300, &Network::default(), JitterBuffer::default());
    assert_eq!((last.received, last.missing, last.late, last.duplicates, last.restarts), (300, 0, 0, 0, 0));
    let (speech, _) = &*SPEECH;
    // Settled: 20 ms packet, one frame of slack.
    let delay = mean(log[400..590].iter().map(|l| l.0));
    assert!((25.0..45.0).contains(&delay), "{delay} ms");
    let late = common::delay(&speech[32_000..48_000], &sound[32_000..], 2000);
    let wanted = (delay * 16.0) as i64;
    assert!((late - wanted).abs() < 160, "{late} samples late, {wanted} told");
    let change = level(&sound[32_000..72_000]) - level(&speech[32_000..72_000]);
    assert!(change.abs() < 1.0, "{change} dB");
    assert!(last.concealed_ms < 600.0, "{last:?}");
}

#[test]
fn wrapped_numbers_duplicates_and_reordering_change_nothing() {
    let clean = Network::default();
    let network = Network { duplicate: 0.2, reorder: 0.05, jitter_ms: 5.0, ..clean.clone() };
    // Room enough that the reordered ones are in time.
    let buffer = JitterBuffer { min_delay_ms: 100.0, start_delay_ms: 100.0, ..JitterBuffer::default() };
    let (reference, _, _) = run(400, &clean, buffer);
    let (sound, _, last) = run(400, &network, buffer);
    assert!(last.duplicates > 50 && last.reordered > 10, "{last:?}");
    assert_eq!((last.missing, last.late, last.invalid, last.restarts), (0, 0, 0, 0), "{last:?}");
    let late = common::delay(&reference[32_000..96_000], &sound[32_000..96_000], 400);
    assert!(late.abs() <= 400, "{late}");
    assert!((level(&sound) - level(&reference)).abs() < 0.5);
}

#[test]
fn another_ssrc_or_numbering_begins_anew() {
    let mut ends = Ends::new(JitterBuffer::default());
    let mut sound = Vec::new();
    for index in 0..150usize {
        let (sequence, timestamp, ssrc) = match index {
            0..50 => (index as u16, index as u32 * 960, 1),
            50..100 => (7_000 + index as u16, 4_000_000_000u32.wrapping_add(index as u32 * 960), 2),
            _ => (60_000 + index as u16, 77 + index as u32 * 960, 2),
        };
        ends.push(index, sequence, timestamp, ssrc);
        sound.extend(ends.pull());
    }
    let reading = ends.reading();
    assert_eq!(reading.restarts, 2);
    assert_eq!(reading.invalid, 1, "the first packet of a new numbering is not yet believed");
    assert_eq!((reading.missing, reading.late), (0, 0), "{reading:?}");
    for part in [20..50, 60..100, 110..150] {
        assert!(level(&sound[part.start * 320..part.end * 320]) > -40.0, "{part:?}");
    }
    // No click where one ends and the next begins: nothing steeper than speech is anyway.
    let steep = |sound: &[f32]| sound.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f32::max);
    assert!(steep(&sound) <= steep(&sound[..48 * 320]).max(steep(&SPEECH.0)) * 1.2);
}

#[test]
fn the_delay_follows_the_jitter_up_and_down() {
    let target = |jitter_ms: f64| {
        let network = Network { jitter_ms, ..Network::default() };
        let (_, log, last) = run(1500, &network, JitterBuffer::default());
        assert!(last.late * 200 < last.received, "{jitter_ms} ms: {last:?}");
        assert_eq!(last.skipped, 0);
        mean(log[1000..].iter().map(|l| l.1.delay_ms.into()))
    };
    let delays = [0.0, 30.0, 60.0, 120.0].map(target);
    println!("waiting at jitter 0, 30, 60, 120 ms: {delays:.0?}");
    assert!(delays.windows(2).all(|d| d[0] + 10.0 < d[1]), "{delays:?}");
    assert!(delays[0] < 25.0 && delays[3] < 160.0, "{delays:?}");
}

#[test]
fn a_spike_is_played_late_not_lost_and_over_in_seconds() {
    // After half a minute it is known to be rare.
    let network = Network { stalls: vec![(30_000.0, 300.0)], ..Network::default() };
    let (_, log, last) = run(2000, &network, JitterBuffer::default());
    assert_eq!((last.late, last.missing, last.skipped), (0, 0, 0), "{last:?}");
    let before = log[2980].0;
    let most = log[3000..3100].iter().map(|l| l.0).fold(0.0, f64::max);
    assert!(most > before + 200.0, "{before} → {most} ms");
    let after = log[3500].0;
    assert!(after < before + 20.0, "{before} → {after} ms after 5 s");
    assert!(last.accelerated_ms > 200.0);
}

/// An hour of call: ±200 ppm, a stall of 5 s in the middle.
#[test]
fn for_an_hour_the_level_stays_where_it_is() {
    for drift_ppm in [200.0, -200.0] {
        let network = Network { drift_ppm, jitter_ms: 20.0, stalls: vec![(1_800_000.0, 5000.0)], ..Network::default() };
        let (mut worst, mut after_stall, mut filled) = ((f32::MAX, f32::MIN), None, 0.0);
        let last = call(&packets(180_000), &network, JitterBuffer::default(), format(), |heard| {
            let reading = heard.reading;
            let stall = (1_800_000.0..1_810_000.0).contains(&heard.now_ms);
            if heard.now_ms > 5000.0 && !stall {
                worst = (worst.0.min(reading.delay_ms), worst.1.max(reading.delay_ms));
            }
            if heard.now_ms == 1_800_000.0 {
                filled = reading.concealed_ms;
            }
            if heard.now_ms == 1_810_000.0 {
                after_stall = Some(reading.delay_ms);
            }
        })
        .unwrap();
        println!("{drift_ppm} ppm: waiting {worst:?} ms, {last:?}");
        assert!(worst.0 > -10.0 && worst.1 < 100.0, "{worst:?}");
        assert!(after_stall.unwrap() < 60.0);
        // 720 ms were stretched away, whatever else.
        let drifted = last.accelerated_ms - last.expanded_ms;
        assert!(if drift_ppm > 0.0 { drifted > 0.0 } else { last.expanded_ms > 300.0 }, "{last:?}");
        assert!(filled < 5000.0, "{filled} ms concealed in half an hour");
        assert_eq!(last.restarts, 0);
        assert!(last.late * 1000 < last.received, "{last:?}");
    }
}

/// Ten minutes at the most that clocks of sound cards differ by.
#[test]
fn clocks_may_differ_by_300_ppm() {
    for drift_ppm in [300.0, -300.0] {
        let network = Network { drift_ppm, jitter_ms: 10.0, ..Network::default() };
        let (_, log, last) = run(30_000, &network, JitterBuffer::default());
        let delays = || log[500..].iter().map(|l| l.1.delay_ms);
        let (least, most) = (delays().fold(f32::MAX, f32::min), delays().fold(0.0, f32::max));
        println!("{drift_ppm} ppm: waiting {least} to {most} ms, {last:?}");
        assert!(most < 60.0 && least > 0.0, "{least} to {most} ms");
        // 180 ms too many, or too few; before the first packet there was noise.
        let before = log.iter().take_while(|l| l.1.delay_ms == 0.0).last().map_or(0.0, |l| l.1.comfort_ms);
        let filled = last.expanded_ms + last.concealed_ms + last.comfort_ms - before;
        let gone = last.accelerated_ms - filled;
        assert!((gone - drift_ppm * 0.6).abs() < 30.0, "{gone} ms gone");
        assert!(last.concealed_ms < 200.0, "{last:?}");
        assert!((last.late + last.skipped) * 500 < last.received, "{last:?}");
    }
}

#[cfg(feature = "deep-plc")]
#[test]
fn gaps_of_many_packets_are_rebuilt_from_deep_redundancy() {
    use voxframe::OpusDecode;
    let settings = OpusEncode { dred_ms: 500, loss_percent: 20, complexity: 5, ..OpusEncode::voip() };
    let speech = encode(settings, &SPEECH.0[..SPEECH.0.len() / 320 * 320]);
    let packets: Vec<Packet> = (0..1500)
        .map(|index| {
            let mut packet = Packet::new();
            packet.set_bytes(speech[index % speech.len()].as_bytes(), index as i64 * 960).unwrap();
            packet
        })
        .collect();
    let network = Network { loss: Loss::Bursty { share: 0.2, burst: 3.0 }, ..Network::default() };
    for complexity in [0, 7] {
        let decoder = OpusDecode { complexity, ..OpusDecode::default() };
        let buffer = JitterBuffer { decoder, ..JitterBuffer::default() };
        let last = call(&packets, &network, buffer, format(), |_| {}).unwrap();
        println!("{last:?}");
        assert!(last.rebuilt * 20 > last.missing * 17, "{last:?}");
        assert!((last.dred_ms - 20.0 * last.rebuilt as f64).abs() < 400.0, "{last:?}");
        assert!((80.0..150.0).contains(&last.target_ms), "{last:?}");
        // Not waiting for it leaves but what happens to be there.
        let hurried = JitterBuffer { wait_for_redundancy_ms: 0.0, ..buffer };
        let without = call(&packets, &network, hurried, format(), |_| {}).unwrap();
        assert!(without.target_ms < 30.0 && without.rebuilt * 2 < last.rebuilt, "{without:?}");
    }
}

/// Packets of many Opus frames (RFC 6716, code 3) carry it too: for their last frame.
#[test]
fn redundancy_of_packets_with_many_frames_is_used() {
    let settings = OpusEncode { fec: true, loss_percent: 20, packet_ms: 100.0, ..OpusEncode::voip() };
    let packets = encode(settings, &SPEECH.0[..SPEECH.0.len() / 1600 * 1600]);
    assert!(packets[5].as_bytes()[0] & 3 == 3, "code 3");
    let network = Network { loss: Loss::Bursty { share: 0.15, burst: 1.0 }, ..Network::default() };
    let last = call(&packets, &network, JitterBuffer::default(), format(), |_| {}).unwrap();
    assert!(last.missing > 2 && last.fec_ms > 0.0, "{last:?}");
}

#[test]
fn lost_packets_are_rebuilt_where_they_can_be() {
    let lossy = Network { loss: Loss::Bursty { share: 0.1, burst: 1.5 }, ..Network::default() };
    let (_, _, last) = run(1500, &lossy, JitterBuffer::default());
    assert_eq!(last.received + last.missing, 1500, "{last:?}");
    assert!((0.06..0.14).contains(&(last.missing as f64 / 1500.0)), "{last:?}");
    // Those whose successor arrived and carries a copy: the flag of a SILK packet of one frame.
    let packets = packets(1500);
    let sent_ms: Vec<f64> = (1..=1500).map(|i| f64::from(i) * 20.0).collect();
    let mut arrived = [false; 1500];
    lossy.carry(&sent_ms, 20.0).iter().for_each(|arrival| arrived[arrival.packet] = true);
    let has_copy = |packet: &Packet| packet.as_bytes()[0] >> 3 < 16 && packet.as_bytes()[1] & 0x40 != 0;
    let could = (1..1500).filter(|&i| !arrived[i - 1] && arrived[i] && has_copy(&packets[i])).count();
    println!("{} missing, {could} could be rebuilt, {} were", last.missing, last.rebuilt);
    assert!(last.rebuilt * 10 >= could as u64 * 9, "{last:?}, {could} could be rebuilt");
    let (_, _, without) = run(1500, &lossy, JitterBuffer { wait_for_redundancy_ms: 0.0, ..JitterBuffer::default() });
    assert!(without.rebuilt < last.rebuilt, "{without:?}");
}

#[test]
fn concealment_fades_to_the_background() {
    let mut ends = Ends::new(JitterBuffer::default());
    let mut sound = Vec::new();
    for index in 0..100 {
        ends.push(index, index as u16, index as u32 * 960, 1);
        sound.extend(ends.pull());
    }
    let spoken = sound.len();
    for _ in 0..100 {
        sound.extend(ends.pull());
    }
    let (last, end) = (level(&sound[spoken - 3200..spoken]), level(&sound[spoken + 4800..]));
    assert!(end < last - 15.0, "speech {last} dBFS, then {end}");
    let reading = ends.reading();
    assert!((170.0..260.0).contains(&reading.concealed_ms), "{reading:?}");
    // And comes back.
    for index in 100..150 {
        ends.push(index, index as u16, (index + 100) as u32 * 960, 1);
        sound.extend(ends.pull());
    }
    assert!(level(&sound[sound.len() - 9600..]) > -40.0);
}

#[test]
fn a_pause_by_dtx_is_no_loss() {
    let (speech, _) = &*SPEECH;
    let mut paused = speech[..48_000].to_vec();
    paused.extend(vec![0.0; 64_000]);
    paused.extend(&speech[..48_000]);
    let packets = encode(OpusEncode { dtx: true, complexity: 5, ..OpusEncode::voip() }, &paused);
    let silent = packets.iter().filter(|p| p.is_dtx()).count();
    assert!(silent > 100, "{silent}");
    let network = Network { jitter_ms: 20.0, ..Network::default() };
    let mut delays = Vec::new();
    let last =
        call(&packets, &network, JitterBuffer::default(), format(), |heard| delays.push(heard.delay_ms)).unwrap();
    assert_eq!((last.missing, last.late, last.skipped), (0, 0, 0), "{last:?}");
    assert!(last.concealed_ms < 700.0, "{last:?}");
    let after = mean(delays[delays.len() - 150..delays.len() - 10].iter().copied());
    assert!((20.0..90.0).contains(&after), "{after} ms after the pause");
}

#[test]
fn every_format_and_packet_length_plays() {
    for rate in [8_000, 24_000, 48_000] {
        for (channels, frame_ms) in [(1, 10), (2, 20)] {
            for packet_ms in [2.5, 10.0, 60.0] {
                let out = Format::new(rate, channels).unwrap().with_frame_ms(frame_ms).unwrap();
                let packets =
                    encode(OpusEncode { packet_ms, complexity: 0, ..OpusEncode::voip() }, &SPEECH.0[..48_000]);
                let network = Network { jitter_ms: 30.0, ..Network::default() };
                let mut sound = Vec::new();
                let last = call(&packets, &network, JitterBuffer::default(), out, |heard| {
                    sound.extend_from_slice(heard.frame.channels().next().unwrap());
                })
                .unwrap();
                assert_eq!((last.missing, last.invalid), (0, 0), "{out}, {packet_ms} ms: {last:?}");
                let spoken = &sound[rate as usize..3 * rate as usize];
                let change = level(spoken) - level(&SPEECH.0[16_000..48_000]);
                assert!(change.abs() < 2.0, "{out}, {packet_ms} ms: {change} dB");
            }
        }
    }
}

#[test]
fn packets_that_are_none_are_counted_and_concealed() {
    let mut ends = Ends::new(JitterBuffer::default());
    for index in 0..200u16 {
        if index % 20 == 10 {
            ends.sender.push(index, u32::from(index) * 960, 1, &[0xff; 40]).unwrap();
        } else {
            ends.push(index.into(), index, u32::from(index) * 960, 1);
        }
        ends.pull();
    }
    let reading = ends.reading();
    assert_eq!((reading.invalid, reading.missing), (10, 0), "{reading:?}");
}

/// The share of packets that come too late for a buffer of a fixed length, and the length of one for which no more than
/// `late` are.
fn fixed(arrivals: &[network::Arrival], wait_ms: f64, late: f64) -> (f64, f64) {
    let mut waits: Vec<f64> = arrivals.iter().map(|a| a.at_ms - (a.packet + 1) as f64 * 20.0).collect();
    waits.sort_by(f64::total_cmp);
    let over = waits.iter().filter(|&&wait| wait > waits[0] + wait_ms).count();
    let needed = waits[waits.len() - 1 - (late * waits.len() as f64) as usize];
    (over as f64 / waits.len() as f64, needed)
}

/// The table of `docs/jitter-buffer.md`: `cargo test --release --test link -- --ignored --nocapture compared`.
#[test]
#[ignore = "prints a table"]
fn compared_with_a_fixed_buffer_of_60_ms() {
    const COUNT: usize = 15_000;
    println!("| jitter ms | delay ms | late % | concealed % | 60 ms fixed: late % | fixed with no more late: ms |");
    println!("| --- | --- | --- | --- | --- | --- |");
    for jitter_ms in [0.0, 20.0, 40.0, 60.0, 80.0, 100.0, 120.0] {
        let network = Network { jitter_ms, reorder: 0.05, seed: 7, ..Network::default() };
        let network = network.with_spikes(15_000.0, 300.0, COUNT as f64 * 20.0);
        let sent_ms: Vec<f64> = (1..=COUNT).map(|i| i as f64 * 20.0).collect();
        let arrivals = network.carry(&sent_ms, 20.0);
        for quantile in [0.95, 0.6] {
            // The packets carry redundancy; what is compared is jitter alone.
            let buffer = JitterBuffer { quantile, wait_for_redundancy_ms: 0.0, ..JitterBuffer::default() };
            let (_, log, last) = run(COUNT, &network, buffer);
            // From being sent, not from being captured: 20 ms later.
            let delay = mean(log[200..].iter().map(|l| l.0 - 20.0));
            let late = (last.late + last.skipped) as f64 / COUNT as f64;
            let (fixed_late, needed) = fixed(&arrivals, 60.0, late);
            println!(
                "| {jitter_ms}, quantile {quantile} | {delay:.0} | {:.2} | {:.2} | {:.2} | {needed:.0} |",
                late * 100.0,
                last.concealed_ms / (COUNT as f64 * 0.2),
                fixed_late * 100.0
            );
        }
    }
}

#[test]
fn bad_settings_are_refused() {
    let open = |buffer: JitterBuffer| buffer.open(format()).err();
    let buffer = JitterBuffer::default();
    let refused = open(JitterBuffer { max_delay_ms: 50.0, min_delay_ms: 60.0, ..buffer });
    assert!(matches!(refused, Some(Error::OutOfRange { setting: "JitterBuffer::max_delay_ms", .. })));
    assert!(open(JitterBuffer { quantile: f32::NAN, ..buffer }).is_some());
    assert!(open(JitterBuffer { forgetting: 1.0, ..buffer }).is_some());
    assert!(buffer.open(Format::mono(44_100).unwrap()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_packets_make_it_panic(
        packets in prop::collection::vec((0u8..6, any::<u16>(), any::<u32>(), 0u32..3, 0usize..4), 0..200),
        junk in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let mut ends = Ends::new(JitterBuffer::default());
        let (mut sequence, mut timestamp, mut ssrc) = (65_000u16, u32::MAX - 9600, 1);
        for (what, number, ticks, other, pulls) in packets {
            sequence = sequence.wrapping_add(1);
            timestamp = timestamp.wrapping_add(960);
            match what {
                0 => sequence = sequence.wrapping_add(number % 50),
                1 => sequence = number,
                2 => timestamp = ticks,
                3 => ssrc = other,
                _ => {}
            }
            if what == 4 {
                ends.sender.push(sequence, timestamp, ssrc, &junk).unwrap();
            } else {
                ends.push(number.into(), sequence, timestamp, ssrc);
            }
            for _ in 0..pulls {
                let frame = ends.receiver.pull();
                // Random bytes can make the codec loud, never more than that.
                prop_assert!(frame.samples().iter().all(|s| s.is_finite()));
            }
        }
        let reading = ends.reading();
        prop_assert!(reading.delay_ms.is_finite() && reading.target_ms <= 500.0);
    }
}
