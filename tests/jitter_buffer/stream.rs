//! Whatever packets come, in any order and under any number.

use proptest::prelude::*;
use voxframe::jitter::{JitterBufferInput, JitterBufferOutput, JitterBufferReading};
use voxframe::{Error, Format, Handle, JitterBuffer, OpusEncode, Packet, Source};
use voxframe_testkit::network::Network;
use voxframe_testkit::signal::{delay, level, steepest};

use super::{SPEECH, call, encode, format, run};

/// Both ends of a jitter buffer.
pub struct Ends {
    sender: JitterBufferInput,
    receiver: JitterBufferOutput,
    control: Handle<JitterBuffer>,
}

impl Ends {
    pub fn new(buffer: JitterBuffer) -> Self {
        let control = Handle::new(buffer);
        let (sender, receiver) = control.attach().open(format()).unwrap();
        Self { sender, receiver, control }
    }

    /// Sends packet `index` of the speech under these numbers.
    pub fn push(&mut self, index: usize, sequence: u16, timestamp: u32, ssrc: u32) {
        let bytes = SPEECH.1[index % SPEECH.1.len()].as_bytes();
        self.sender.push(sequence, timestamp, ssrc, bytes).unwrap();
    }

    /// Sends this packet.
    pub fn push_packet(&mut self, packet: &Packet, sequence: u16) {
        self.sender.push(sequence, packet.position() as u32, 1, packet.as_bytes()).unwrap();
    }

    /// Pulls 20 ms.
    pub fn pull(&mut self) -> Vec<f32> {
        (0..2).flat_map(|_| self.receiver.pull().samples().to_vec()).collect()
    }

    pub fn reading(&self) -> JitterBufferReading {
        self.control.reading()
    }
}

#[test]
fn wrapped_numbers_duplicates_and_reordering_change_nothing() {
    let clean = Network::default();
    let network = Network { duplicate: 0.2, reorder: 0.05, jitter_ms: 5.0, ..clean.clone() };
    // Room enough that the reordered ones are in time.
    let buffer = JitterBuffer { min_delay_ms: 100.0, start_delay_ms: 100.0, ..JitterBuffer::default() };
    let (reference, _, _) = run(400, &clean, buffer);
    let (sound, _, last) = run(400, &network, buffer);
    assert!(last.packets_duplicated > 50 && last.packets_reordered > 10, "{last:?}");
    assert_eq!(
        (last.packets_missing, last.packets_late, last.packets_invalid, last.stream_restarts),
        (0, 0, 0, 0),
        "{last:?}"
    );
    let late = delay(&reference[32_000..96_000], &sound[32_000..96_000], 400);
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
    assert_eq!(reading.stream_restarts, 2);
    assert_eq!(reading.packets_invalid, 0, "the first packet waits until the second shows that it is no stray");
    assert_eq!((reading.packets_missing, reading.packets_late), (0, 0), "{reading:?}");
    for part in [20..50, 60..100, 110..150] {
        assert!(level(&sound[part.start * 320..part.end * 320]) > -40.0, "{part:?}");
    }
    // No click where one ends and the next begins: nothing steeper than speech is anyway.
    assert!(steepest(&sound) <= steepest(&sound[..48 * 320]).max(steepest(&SPEECH.0)) * 1.2);
}

/// Two senders under one roof: one is heard, as if there were no other.
#[test]
fn a_second_ssrc_by_turns_changes_nothing() {
    let play = |others: bool| {
        let mut ends = Ends::new(JitterBuffer::default());
        let mut sound = Vec::new();
        for index in 0..200usize {
            ends.push(index, index as u16, index as u32 * 960, 1);
            if others && index > 20 {
                ends.push(index, 500 + index as u16, 7 + index as u32 * 960, 2);
            }
            sound.extend(ends.pull());
        }
        (sound, ends.reading())
    };
    let (sound, last) = play(true);
    assert_eq!((last.stream_restarts, last.packets_missing), (0, 0), "{last:?}");
    assert!(last.packets_invalid > 150);
    assert!(sound == play(false).0);
}

/// A sender that never sets its timestamps: wrong, and heard all the same.
#[test]
fn timestamps_that_never_move_are_heard() {
    let mut ends = Ends::new(JitterBuffer::default());
    let mut sound = Vec::new();
    for index in 0..200usize {
        ends.push(index, index as u16, 0, 1);
        sound.extend(ends.pull());
    }
    println!("{} dBFS, {:?}", level(&sound[32_000..]), ends.reading());
    let change = level(&sound[32_000..]) - level(&SPEECH.0[32_000..64_000]);
    assert!(change.abs() < 3.0, "{change} dB");
}

/// Packets come five at a time, as over a radio link, the last two in the wrong order; one of them has a wrong timestamp.
#[test]
fn one_wrong_timestamp_ruins_nothing() {
    for ahead in [false, true] {
        for wrong in [20 * 48_000, 600 * 48, 3600 * 48_000, 1 << 30, 1u32 << 31, (-48_000 * 3600i64) as u32] {
            let mut ends = Ends::new(JitterBuffer::default());
            let (mut before, mut worst) = (None, 0.0);
            for group in 0..300u16 {
                for place in 0..5 {
                    let index = group * 5 + if place < 3 { place } else { 7 - place };
                    let is_damaged = group == 100 && place == if ahead { 0 } else { 4 };
                    let damage = if is_damaged { wrong } else { 0 };
                    ends.push(index.into(), index, (u32::from(index) * 960).wrapping_add(damage), 1);
                }
                (0..5).for_each(|_| _ = ends.pull());
                let reading = ends.reading();
                match group {
                    99 => before = Some(reading),
                    // 2 s later.
                    120.. => worst = f32::max(worst, reading.jitter_buffer_delay_ms),
                    _ => {}
                }
            }
            let (before, last) = (before.unwrap(), ends.reading());
            let filled = last.concealed_ms + last.comfort_noise_ms - before.concealed_ms - before.comfort_noise_ms;
            let what = format!("{wrong} ticks, {ahead}: filled in {filled} ms, then {worst} ms, {last:?}");
            println!("{what}");
            assert!(filled <= 300.0 && worst < before.jitter_buffer_delay_ms + 40.0, "{what}");
            assert_eq!(last.packets_refused, 0, "{what}");
        }
    }
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
                assert_eq!((last.packets_missing, last.packets_invalid), (0, 0), "{out}, {packet_ms} ms: {last:?}");
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
    assert_eq!((reading.packets_invalid, reading.packets_missing), (10, 0), "{reading:?}");
}

/// One that comes twice, one behind the next, one never, and one much too late.
#[test]
fn each_packet_is_counted_for_what_it_is() {
    let buffer = JitterBuffer { min_delay_ms: 60.0, start_delay_ms: 60.0, ..JitterBuffer::default() };
    let mut ends = Ends::new(buffer);
    for index in 0..200 {
        let pushed: &[usize] = match index {
            50 => &[50, 50],
            60 | 80 | 90 => &[],
            61 => &[61, 60],
            120 => &[120, 90],
            _ => &[index],
        };
        for &packet in pushed {
            ends.push(packet, packet as u16, packet as u32 * 960, 1);
        }
        ends.pull();
    }
    let reading = ends.reading();
    assert_eq!((reading.packets_received, reading.packets_duplicated, reading.packets_reordered), (200, 1, 1));
    assert_eq!((reading.packets_missing, reading.packets_lost), (2, 1), "{reading:?}");
    assert_eq!((reading.packets_discarded, reading.packets_late, reading.packets_flushed), (1, 1, 0), "{reading:?}");
    // Two in a hundred, a hundred packets ago.
    assert!((0.002..0.02).contains(&reading.packet_loss_rate), "{reading:?}");
}

#[test]
fn bad_settings_are_refused() {
    let open = |buffer: JitterBuffer| buffer.open(format()).err();
    let buffer = JitterBuffer::default();
    let refused = open(JitterBuffer { max_delay_ms: 50.0, min_delay_ms: 60.0, ..buffer });
    assert!(matches!(refused, Some(Error::OutOfRange { setting: "JitterBuffer::max_delay_ms", .. })));
    assert!(open(JitterBuffer { quantile: f32::NAN, ..buffer }).is_some());
    assert!(open(JitterBuffer { forget_factor: 1.0, ..buffer }).is_some());
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
        prop_assert!(reading.jitter_buffer_delay_ms.is_finite() && reading.jitter_buffer_target_delay_ms <= 500.0);
    }
}
