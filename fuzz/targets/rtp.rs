//! Any bytes as RTP and RTCP packets: what is read is sensible, and what was written is read as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use voxframe::Packet;
use voxframe::rtcp::{NtpTime, RtcpSession};
use voxframe::rtp::{RtpReceiver, RtpSender};

fuzz_target!(|data: &[u8]| {
    let mut receiver = RtpReceiver::new(111).and_then(|receiver| receiver.with_capture_time(3)).expect("valid");
    let mut session = RtcpSession::new(7, "name");
    let mut packet = Packet::new();
    let mut datagram = [0; 1500];
    let mut now = NtpTime(1 << 40);
    // Each datagram begins with its length.
    let mut rest = data;
    while let Some((&length, after)) = rest.split_first() {
        let (bytes, after) = after.split_at(usize::from(length).min(after.len()));
        rest = after;
        now = now.plus_seconds(0.02);
        if let Ok(header) = receiver.read(bytes, &mut packet) {
            assert_eq!(packet.duration(), header.duration);
            // Padding has a number, but no sound.
            assert!(header.duration > 0 || packet.as_bytes().is_empty());
            session.received(header.ssrc, header.sequence, header.timestamp, now);
            let mut sender = RtpSender::new(111, header.ssrc, header.sequence, header.timestamp).expect("valid");
            if let Ok(Some(length)) = sender.write(&packet, &mut datagram) {
                let mut again = Packet::new();
                let second = RtpReceiver::new(111).expect("valid").read(&datagram[..length], &mut again);
                assert_eq!(second.map(|header| header.sequence), Ok(header.sequence));
                assert_eq!(again.as_bytes(), packet.as_bytes());
            }
        }
        let _ = session.read(bytes, now);
        let reading = session.reading();
        assert!(reading.round_trip_time_ms.is_none_or(|ms| ms.is_finite() && ms >= 0.0), "{reading:?}");
        session.sent(u32::from(length), bytes.len(), now);
        let written = session.write(now, &mut datagram).expect("there is room");
        let mut other = RtcpSession::new(8, "other");
        other.read(&datagram[..written], now).expect("what was written can be read");
    }
});
