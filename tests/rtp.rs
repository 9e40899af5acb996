//! Opus in RTP packets: written as the RFCs have it, read whatever comes.
#![cfg(feature = "rtp")]

use proptest::prelude::*;
use voxframe::error::RtpError;
use voxframe::rtcp::NtpTime;
use voxframe::rtp::{AbsCaptureTime, RtpReading, RtpReceiver, RtpSender};
use voxframe::{Error, Packet};

const TYPE: u8 = 111;
const SSRC: u32 = 0x0102_0304;

/// 10⁴, or as many as `$VOXFRAME_CASES` says.
fn cases() -> ProptestConfig {
    let cases = std::env::var("VOXFRAME_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(10_000);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn packet(bytes: &[u8], position: i64) -> Packet {
    let mut packet = Packet::new();
    packet.set_bytes(bytes, position).unwrap();
    packet
}

fn write(sender: &mut RtpSender, packet: &Packet) -> Option<Vec<u8>> {
    let mut datagram = [0; 9000];
    sender.write(packet, &mut datagram).unwrap().map(|length| datagram[..length].to_vec())
}

#[test]
fn a_packet_is_written_byte_for_byte() {
    let mut sender = RtpSender::new(TYPE, SSRC, 0x1122, 0x3344_5566).unwrap();
    let datagram = write(&mut sender, &packet(&[0xf8, 7, 8, 9], 0x10)).unwrap();
    // Version 2, no extras; marker and type; sequence; timestamp; SSRC; Opus.
    let wanted = [0x80, 0x80 | 111, 0x11, 0x22, 0x33, 0x44, 0x55, 0x76, 1, 2, 3, 4, 0xf8, 7, 8, 9];
    assert_eq!(datagram, wanted);
    let next = write(&mut sender, &packet(&[0xf8, 7, 8, 9], 0x10 + 960)).unwrap();
    assert_eq!((next[1], &next[2..4], &next[4..8]), (111, &[0x11, 0x23][..], &[0x33, 0x44, 0x59, 0x36][..]));
}

/// What is received of packets of sound (`true`) and of DTX, 20 ms each: sequence number, marker, position.
fn received(sender: &mut RtpSender, packets: &[bool]) -> Vec<(u16, bool, i64)> {
    let mut receiver = RtpReceiver::new(TYPE).unwrap();
    let mut received = Packet::new();
    let mut all = Vec::new();
    for (index, &sound) in packets.iter().enumerate() {
        let bytes: &[u8] = if sound { &[0xf8, 1, 2] } else { &[0xf8] };
        if let Some(datagram) = write(sender, &packet(bytes, 960 * index as i64 - 312)) {
            let header = receiver.read(&datagram, &mut received).unwrap();
            assert_eq!((header.ssrc, header.duration, received.is_dtx()), (SSRC, 960, !sound));
            all.push((header.sequence, header.marker, received.position()));
        }
    }
    all
}

#[test]
fn of_a_pause_the_first_packet_is_sent_and_what_follows_it_is_marked() {
    let mut sender = RtpSender::new(TYPE, SSRC, 65_534, u32::MAX - 1000).unwrap();
    // Sequence numbers go on where timestamps leap, and both wrap.
    let wanted = [(65_534, true, 0), (65_535, false, 960), (0, false, 1920), (1, true, 5760), (2, false, 6720)];
    assert_eq!(received(&mut sender, &[true, true, false, false, false, false, true, true]), wanted);
    let mut lost = Packet::new();
    lost.set_lost(0, 960, &[0xf8, 1, 2], 960).unwrap();
    assert_eq!(write(&mut sender, &lost), None);
    lost.set_silence(0, 960);
    assert_eq!(write(&mut sender, &lost), None);
}

#[test]
fn a_pause_of_one_packet_is_no_silence_and_one_before_the_first_word_is() {
    let sender = || RtpSender::new(TYPE, SSRC, 7, 0).unwrap();
    let wanted = [(7, true, 0), (8, false, 960), (9, false, 1920)];
    assert_eq!(received(&mut sender(), &[true, false, true]), wanted);
    let wanted = [(7, false, 0), (8, true, 960), (9, false, 1920)];
    assert_eq!(received(&mut sender(), &[false, true, true]), wanted);
}

#[test]
fn in_a_long_pause_one_packet_is_sent_each_400_ms() {
    let mut sender = RtpSender::new(TYPE, SSRC, 7, 0).unwrap();
    let all = received(&mut sender, &[&[true; 2][..], &[false; 50], &[true; 2]].concat());
    let sent: Vec<i64> = all.iter().map(|packet| packet.2 / 960).collect();
    assert_eq!(sent, [0, 1, 2, 22, 42, 52, 53]);
    assert_eq!(all.iter().filter(|packet| packet.1).map(|packet| packet.2 / 960).collect::<Vec<_>>(), [0, 52]);
    // Another microphone, whose positions begin anew, in a pause.
    let mut other = packet(&[0xf8], 0);
    assert!(write(&mut sender, &packet(&[0xf8], 1_000_000)).is_some());
    assert!(write(&mut sender, &other).is_some());
    other.set_bytes(&[0xf8], 960).unwrap();
    assert!(write(&mut sender, &other).is_none());
}

#[test]
fn positions_go_on_over_wraps_late_packets_and_other_streams() {
    let mut receiver = RtpReceiver::new(TYPE).unwrap();
    let mut received = Packet::new();
    let mut position = |ssrc, timestamp: u32| {
        let mut sender = RtpSender::new(TYPE, ssrc, 0, timestamp).unwrap();
        receiver.read(&write(&mut sender, &packet(&[0xf8, 1, 2], 0)).unwrap(), &mut received).unwrap();
        received.position()
    };
    assert_eq!(position(1, 0xffff_0000), 0);
    assert_eq!(position(1, 0x0000_0000), 0x1_0000);
    assert_eq!(position(1, 0xffff_8000), 0x8000);
    assert_eq!(position(1, 0x7fff_ffff), 0x1_0000 + 0x7fff_ffff);
    assert_eq!(position(1, 0xffff_fffe), 0x1_0000 + 0xffff_fffe);
    assert_eq!(position(1, 0x0000_0000), 0x1_0000 + 0x1_0000_0000);
    assert_eq!(position(2, 77), 0);
    assert_eq!(position(2, 76), -1);
    // By turns.
    let reached = 0x1_0000 + 0x1_0000_0000;
    assert_eq!([position(1, 960), position(2, 1037), position(1, 1920)], [reached + 960, 960, reached + 1920]);
}

#[test]
fn extras_are_skipped_and_what_is_wrong_is_named_and_counted() {
    let mut receiver = RtpReceiver::new(TYPE).unwrap();
    let mut received = Packet::new();
    // Two contributing sources, an extension of one word, three bytes of padding.
    let mut full = vec![0xb2, TYPE, 0, 9, 0, 0, 0, 1, 0, 0, 0, 2];
    full.extend([0; 8]);
    full.extend([0xbe, 0xde, 0, 1, 1, 2, 3, 4]);
    full.extend([0xf8, 5, 6, 0, 0, 3]);
    let header = receiver.read(&full, &mut received).unwrap();
    assert_eq!((header.sequence, header.timestamp, header.ssrc, header.marker), (9, 1, 2, false));
    assert_eq!(received.as_bytes(), [0xf8, 5, 6]);

    let mut check = |change: fn(&mut Vec<u8>), wanted: RtpError| {
        let mut datagram = full.clone();
        change(&mut datagram);
        assert_eq!(receiver.read(&datagram, &mut received), Err(Error::Rtp(wanted)));
        assert_eq!(received.as_bytes(), [0xf8, 5, 6], "unchanged");
    };
    check(|d| d.clear(), RtpError::Truncated { expected: 12, actual: 0 });
    check(|d| d[0] = 0x72, RtpError::Version(1));
    check(|d| d.truncate(27), RtpError::Truncated { expected: 28, actual: 27 });
    check(|d| d[23] = 200, RtpError::Truncated { expected: 824, actual: 34 });
    check(|d| *d.last_mut().unwrap() = 0, RtpError::Padding);
    check(|d| *d.last_mut().unwrap() = 200, RtpError::Truncated { expected: 228, actual: 34 });
    check(|d| (d[1], d[11]) = (200 & 0x7f, 9), RtpError::PayloadType(72));
    check(|d| d[28] = 0xfb, RtpError::NotOpus); // five frames in one byte
    // An unknown stream of another type is none of ours.
    check(|d| (d[1], d[11]) = (101, 9), RtpError::PayloadType(101));
    let reading = receiver.reading();
    assert_eq!((reading.packets_received, reading.packets_malformed, reading.packets_of_other_type), (1, 7, 2));
}

#[test]
fn packets_of_the_stream_without_opus_are_numbers_and_no_more() {
    let mut receiver = RtpReceiver::new(TYPE).unwrap();
    let mut received = Packet::new();
    let mut datagram = vec![0x80, TYPE, 0, 9, 0, 0, 0, 1, 0, 0, 0, 2, 0xf8, 5, 6];
    receiver.read(&datagram, &mut received).unwrap();
    datagram[7] = 100;
    receiver.read(&datagram, &mut received).unwrap();
    // Padding only, with an old timestamp; a telephone-event (RFC 4733) in the payload type 101.
    let padding = [0xa0, TYPE, 0, 10, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 3];
    let event = [0x80, 101, 0, 11, 0, 0, 0, 1, 0, 0, 0, 2, 5, 0x0a, 0, 160];
    for (datagram, payload_type, sequence) in [(&padding[..], TYPE, 10), (&event, 101, 11)] {
        let header = receiver.read(datagram, &mut received).unwrap();
        assert_eq!((header.payload_type, header.sequence, header.duration), (payload_type, sequence, 0));
        assert!(received.is_empty() && received.position() == 99);
    }
    let reading = receiver.reading();
    assert_eq!((reading.packets_received, reading.packets_empty, reading.packets_of_other_type), (2, 1, 1));
}

#[test]
fn only_dynamic_types_and_buffers_that_fit() {
    assert!(RtpSender::new(95, 0, 0, 0).is_err() && RtpReceiver::new(128).is_err());
    let mut sender = RtpSender::new(TYPE, SSRC, 5, 0).unwrap();
    let packet = packet(&[0xf8, 1, 2], 0);
    let before = sender.clone();
    assert_eq!(sender.write(&packet, &mut [0; 14]), Err(Error::Rtp(RtpError::NoRoom { bytes: 15 })));
    assert_eq!(sender, before);
    assert_eq!(sender.write(&packet, &mut [0; 15]), Ok(Some(15)));
}

#[test]
fn a_capture_time_goes_with_one_packet() {
    let mut sender = RtpSender::new(TYPE, SSRC, 0x1122, 0x3344_5566).unwrap();
    let mut receiver = RtpReceiver::new(TYPE).unwrap().with_capture_time(3).unwrap();
    let mut received = Packet::new();
    let time = AbsCaptureTime::from(NtpTime(0xe9d3_b705_2000_0000));
    sender.set_capture_time(3, time).unwrap();
    // A buffer that is too short changes nothing.
    assert!(sender.write(&packet(&[0xf8, 7, 8, 9], 0x10), &mut [0; 31]).is_err());
    let datagram = write(&mut sender, &packet(&[0xf8, 7, 8, 9], 0x10)).unwrap();
    let wanted = [
        &[0x90, 0x80 | 111, 0x11, 0x22, 0x33, 0x44, 0x55, 0x76, 1, 2, 3, 4][..],
        &[0xbe, 0xde, 0, 3, 0x37, 0xe9, 0xd3, 0xb7, 0x05, 0x20, 0, 0, 0, 0, 0, 0],
        &[0xf8, 7, 8, 9],
    ];
    assert_eq!(datagram, wanted.concat());
    let header = receiver.read(&datagram, &mut received).unwrap();
    assert_eq!((header.capture_time, received.as_bytes()), (Some(time), &[0xf8, 7, 8, 9][..]));
    let other = RtpReceiver::new(TYPE).unwrap().read(&datagram, &mut received).unwrap();
    assert_eq!((other.capture_time, other.sequence), (None, 0x1122), "not asked for");
    let next = write(&mut sender, &packet(&[0xf8, 7, 8, 9], 960)).unwrap();
    assert_eq!((receiver.read(&next, &mut received).unwrap().capture_time, next.len()), (None, 16));

    let relayed = AbsCaptureTime { clock_offset: Some(-(5 << 31)), ..time };
    sender.set_capture_time(3, relayed).unwrap();
    let header = sender.clone().next_header(&packet(&[0xf8, 7, 8, 9], 1920)).unwrap();
    let long = write(&mut sender, &packet(&[0xf8, 7, 8, 9], 1920)).unwrap();
    assert_eq!(long.len(), RtpSender::HEADER_BYTES + RtpSender::CAPTURE_TIME_BYTES + 4);
    assert_eq!(receiver.read(&long, &mut received), Ok(header));
    assert_eq!(header.capture_time, Some(relayed));
    // The time of a packet that is not sent is not that of the next.
    sender.set_capture_time(3, time).unwrap();
    let mut lost = Packet::new();
    lost.set_lost(2880, 960, &[], 0).unwrap();
    assert_eq!(sender.next_header(&lost), None);
    assert_eq!(sender.next_header(&packet(&[0xf8, 7, 8, 9], 3840)).unwrap().capture_time, None);
    assert!(
        sender.set_capture_time(15, time).is_err() && RtpReceiver::new(TYPE).unwrap().with_capture_time(0).is_err()
    );
}

/// What plays now, and when was it captured? Lip sync asks that.
#[cfg(feature = "opus")]
#[test]
fn the_capture_time_of_what_plays_is_known_to_a_millisecond() {
    use voxframe::rtcp::MediaClock;
    use voxframe::{Format, Handle, JitterBuffer, Source};
    const START: NtpTime = NtpTime(0xe9d3_b705_2000_0000);
    // The sender's sound card is 200 ppm fast.
    let captured = |position: f64| START.plus_seconds(position / (48_000.0 * 1.0002));
    let control = Handle::new(JitterBuffer::default());
    let (mut network, mut playout) = control.attach().open(Format::mono(16_000).unwrap()).unwrap();
    let mut sender = RtpSender::new(TYPE, SSRC, 65_500, u32::MAX - 96_000).unwrap();
    let mut receiver = RtpReceiver::new(TYPE).unwrap().with_capture_time(9).unwrap();
    let (mut clock, mut received, mut checked) = (MediaClock::default(), Packet::new(), 0);
    for index in 0..1500i64 {
        let opus = packet(&[0x78, 1, 2, 3, 4, 5, 6, 7], 960 * index);
        if index % 50 == 0 {
            sender.set_capture_time(9, captured(opus.position() as f64).into()).unwrap();
        }
        let header = receiver.read(&write(&mut sender, &opus).unwrap(), &mut received).unwrap();
        if let Some(captured) = header.capture_time {
            clock.report(captured.time, header.timestamp);
        }
        network.push(header.sequence, header.timestamp, header.ssrc, received.as_bytes()).unwrap();
        for _ in 0..2 {
            // The reading is of the sound behind this frame.
            let behind = (playout.pull().position() + 160) as f64 * 3.0;
            if let Some(timestamp) = control.reading().playout_timestamp.filter(|_| index > 100) {
                let found = clock.capture_time(timestamp).unwrap();
                let error_ms = found.seconds_since(captured(behind)).abs() * 1000.0;
                assert!(error_ms < 1.0, "{error_ms} ms");
                checked += 1;
            }
        }
    }
    assert!(checked > 2700);
}

/// The payload of an RTP packet by the letter of RFC 3550, section 5.1, and of RFC 7587: `None` where there is none.
fn oracle(datagram: &[u8]) -> Option<&[u8]> {
    let first = *datagram.first()?;
    let mut start = 12 + 4 * usize::from(first & 15);
    if first & 0x10 != 0 {
        let words = datagram.get(start + 2..start + 4)?;
        start += 4 + 4 * (usize::from(words[0]) * 256 + usize::from(words[1]));
    }
    let padding = if first & 0x20 != 0 { usize::from(*datagram.last()?) } else { 0 };
    let valid = first >> 6 == 2 && datagram.len() >= 12 && (first & 0x20 == 0 || padding > 0);
    let end = datagram.len().checked_sub(padding)?;
    (valid && datagram.get(1)? & 127 == TYPE).then(|| datagram.get(start..end)).flatten()
}

fn agrees(datagram: &[u8]) -> Result<(), TestCaseError> {
    let mut receiver = RtpReceiver::new(TYPE).unwrap();
    let mut received = Packet::new();
    let read = receiver.read(datagram, &mut received);
    let reading = receiver.reading();
    let RtpReading { packets_received, packets_empty, packets_malformed, packets_of_other_type, .. } = reading;
    prop_assert_eq!(packets_received + packets_empty + packets_malformed + packets_of_other_type, 1);
    match (read, oracle(datagram)) {
        (Ok(header), Some(payload)) => {
            prop_assert_eq!(received.as_bytes(), payload);
            prop_assert_eq!(&header.sequence.to_be_bytes()[..], &datagram[2..4]);
            let is_sound = (120..=5760).contains(&header.duration);
            prop_assert!(is_sound || payload.is_empty() && header.duration == 0);
        }
        (Err(Error::Rtp(RtpError::NotOpus)), Some(_)) | (Err(_), None) => prop_assert!(received.is_empty()),
        (read, payload) => prop_assert!(false, "{read:?}, {payload:?}"),
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn what_is_written_is_read(
        payload_type in 96u8..128, ssrc: u32, sequence: u16, timestamp: u32, position: i32,
        body in prop::collection::vec(any::<u8>(), 2..300),
    ) {
        let mut bytes = vec![0x78]; // one CELT frame of 20 ms
        bytes.extend(body);
        let mut sender = RtpSender::new(payload_type, ssrc, sequence, timestamp).unwrap();
        let datagram = write(&mut sender, &packet(&bytes, position.into())).unwrap();
        prop_assert_eq!(datagram.len(), bytes.len() + RtpSender::HEADER_BYTES);
        let mut received = Packet::new();
        let header = RtpReceiver::new(payload_type).unwrap().read(&datagram, &mut received).unwrap();
        prop_assert_eq!(received.as_bytes(), &bytes[..]);
        prop_assert_eq!((header.sequence, header.ssrc, header.marker), (sequence, ssrc, true));
        prop_assert_eq!(header.timestamp, timestamp.wrapping_add(position as u32));
    }

    #[test]
    fn random_bytes_are_read_as_the_rfc_reads_them(mut bytes in prop::collection::vec(any::<u8>(), 0..120), plausible: bool) {
        if let (true, [first, second, ..]) = (plausible, &mut bytes[..]) {
            (*first, *second) = (*first & 0x3f | 0x80, *second & 0x80 | TYPE);
        }
        agrees(&bytes)?;
    }

    #[test]
    fn so_are_truncations_and_flipped_bits(
        head: [u8; 12], extras in prop::collection::vec(any::<u8>(), 0..80),
        cut in 0usize..100, flips in prop::collection::vec((0usize..100, 0u8..8), 0..4),
    ) {
        let mut bytes = head.to_vec();
        bytes[0] = bytes[0] & 0x33 | 0x80;
        bytes[1] = TYPE;
        bytes.extend(extras);
        bytes.truncate(bytes.len().max(cut) - cut / 4);
        for (at, bit) in flips {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
        }
        agrees(&bytes)?;
    }
}
