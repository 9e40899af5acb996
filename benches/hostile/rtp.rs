//! RTP and RTCP datagrams, as they come from the network.

use voxframe::Packet;
use voxframe::rtcp::{NtpTime, RtcpSession};
use voxframe::rtp::RtpReceiver;
use voxframe_testkit::random::Random;

use crate::Group;
use crate::cases::Case;

const TYPE: u8 = 111;

/// Header extension abs-capture-time.
const CAPTURE_TIME_ID: u8 = 14;

/// SSRC of the side whose session is measured.
const OURS: u32 = 1;

/// Largest datagram that an Ethernet frame carries.
const MAX_BYTES: usize = 1472;

fn start() -> NtpTime {
    NtpTime(0xe9d3_0000_0000_0000)
}

/// Datagram with `words` between the fixed header and a payload of 80 bytes; `first` is the header's first byte.
fn datagram(first: u8, ssrc: u32, number: u32, words: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first, TYPE];
    bytes.extend((number as u16).to_be_bytes());
    bytes.extend((number * 960).to_be_bytes());
    bytes.extend(ssrc.to_be_bytes());
    bytes.extend(words);
    bytes.push(0xf8);
    bytes.resize(bytes.len() + 79, 7);
    bytes
}

/// One datagram after the other into a receiver and a session.
fn receive(make: fn(u32) -> Vec<u8>) -> impl FnMut() {
    let datagrams: Vec<_> = (0..400).map(make).collect();
    let mut receiver = RtpReceiver::new(TYPE).unwrap().with_capture_time(CAPTURE_TIME_ID).unwrap();
    let (mut session, mut packet, mut count) = (RtcpSession::new(OURS, "name"), Packet::new(), 0);
    move || {
        if let Ok(header) = receiver.read(&datagrams[count % datagrams.len()], &mut packet) {
            let now = start().plus_seconds(0.02 * count as f64);
            session.received(header.ssrc, header.sequence, header.timestamp, now);
        }
        count += 1;
    }
}

pub fn rtp() -> Group {
    // As many contributing sources as there can be, and an extension full of elements that are not the one looked for.
    let extended = |number| {
        let mut words = vec![3; 60];
        words.extend([0xbe, 0xde, 0x01, 0x00]);
        words.extend([0x10, 0x55].repeat(512));
        datagram(0x9f, 2, number, &words)
    };
    let noise = |number: u32| {
        let mut random = Random::new(number.into());
        (0..MAX_BYTES).map(|_| random.between(0.0, 256.0) as u8).collect()
    };
    let case = |name, make: fn(u32) -> Vec<u8>| Case::new(name, make(0).len(), move || receive(make));
    Group {
        name: "RTP, a byte",
        max_ratio: 5.0,
        cases: vec![
            case("one sender", |number| datagram(0x80, 2, number, &[])),
            case("each packet another SSRC", |number| datagram(0x80, 2 + number * 40_503, number, &[])),
            case("15 contributing sources, an extension of 512 elements", extended),
            case("1472 bytes of noise", noise),
        ],
    }
}

/// One RTCP packet: type, count in its header, words behind that.
fn rtcp_packet(kind: u8, count: u8, words: &[u32]) -> Vec<u8> {
    let mut bytes = vec![0x80 | count, kind];
    bytes.extend((words.len() as u16).to_be_bytes());
    words.iter().for_each(|word| bytes.extend(word.to_be_bytes()));
    bytes
}

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const DESCRIPTION: u8 = 202;
const BYE: u8 = 203;

/// Sender report number `index` of the stream 2, with `blocks` about ours.
fn sender_report(index: u32, blocks: u8) -> Vec<u8> {
    let seconds = (start().0 >> 32) as u32 + index;
    let mut words = vec![2, seconds, 0, index * 48_000, index, index];
    (0..blocks).for_each(|_| words.extend([OURS, 0, index, 0, seconds << 16, 0]));
    rtcp_packet(SENDER_REPORT, blocks, &words)
}

/// One datagram after the other into a session that knows the stream 2.
fn read(make: fn(u32) -> Vec<u8>) -> impl FnMut() {
    let datagrams: Vec<_> = (0..400).map(make).collect();
    let mut session = RtcpSession::new(OURS, "name");
    (0..3).for_each(|index| _ = session.received(2, index, 0, start()));
    let mut count = 0;
    move || {
        // What is broken is counted there.
        let _ = session.read(&datagrams[count % datagrams.len()], start().plus_seconds(count as f64));
        count += 1;
    }
}

pub fn rtcp() -> Group {
    let honest =
        |index| [sender_report(index, 1), rtcp_packet(DESCRIPTION, 1, &[2, 0x0104_6e61, 0x6d65_0000])].concat();
    let blocks = |index| (0..2).flat_map(|half| sender_report(2 * index + half, 28)).collect();
    let reports = |index| (0..52).flat_map(|report| sender_report(52 * index + report, 0)).collect();
    let empty = |_| {
        let mut bytes = rtcp_packet(RECEIVER_REPORT, 0, &[2]);
        (0..366).for_each(|_| bytes.extend(rtcp_packet(BYE, 0, &[])));
        bytes
    };
    let case = |name, make: fn(u32) -> Vec<u8>| Case::new(name, make(0).len(), move || read(make));
    Group {
        name: "RTCP, a byte",
        max_ratio: 5.0,
        cases: vec![
            case("a sender report with one block", honest),
            case("as many blocks as fit into 1472 bytes", blocks),
            case("as many sender reports as fit", reports),
            case("as many empty packets as fit", empty),
        ],
    }
}
