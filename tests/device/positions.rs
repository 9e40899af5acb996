//! Positions over pauses, overruns and device changes.

use voxframe::{Capture, Error, Format, Gain, Stage};

#[test]
fn what_a_device_leaves_out_counts() {
    let mut capture = Capture::for_device(48_000, 1).unwrap();
    let mut positions = Vec::new();
    capture.push_interleaved(&[0i16; 600], |frame| positions.push(frame.position())).unwrap();
    capture.skip(4800);
    capture.push_interleaved(&[0i16; 1000], |frame| positions.push(frame.position())).unwrap();
    // The frame that was half full keeps its position.
    assert_eq!(positions, [0, 480, 960 + 4800]);
    capture.reset();
    capture.push_interleaved(&[0i16; 480], |frame| assert_eq!(frame.position(), 0)).unwrap();
}

#[cfg(feature = "resample")]
#[test]
fn skips_are_exact_at_any_rate() {
    let mut capture = Capture::new(44_100, 1, Format::mono(48_000).unwrap()).unwrap();
    let latency = capture.latency() as i64;
    for _ in 0..100 {
        capture.skip(441 * 7 + 1);
    }
    let expected = (44_100.0f64 * 7.0 + 100.0) * 48_000.0 / 44_100.0;
    let mut first = None;
    capture.push_interleaved(&[0i16; 1000], |frame| _ = first.get_or_insert(frame.position())).unwrap();
    assert_eq!(first, Some(expected.round() as i64 - latency));
}

#[test]
fn sound_behind_an_error_is_dropped_but_its_time_counts() {
    let mut capture = Capture::for_device(48_000, 1).unwrap();
    let mut gain = Gain::db(0.0).prepare(capture.output_format()).unwrap();
    let failed = capture.run(&[0.0f32; 1000], &mut gain, |_| Err::<(), _>(Error::Full));
    assert_eq!(failed, Err(Error::Full));
    let mut positions = Vec::new();
    capture.run(&[0.0f32; 960], &mut gain, |frame| positions.push(frame.position())).unwrap();
    assert_eq!(positions, [1000, 1480]);
}

#[test]
fn a_capture_goes_on_behind_what_has_come_out_but_never_backwards() {
    let mut capture = Capture::for_device(16_000, 1).unwrap();
    let mut gain = Gain::db(0.0).prepare(capture.output_format()).unwrap();
    let mut position = |capture: &mut Capture| {
        let mut position = 0;
        capture.run(&[0.0f32; 160], &mut gain, |frame| position = frame.position()).unwrap();
        position
    };
    let other = Gain::db(0.0).prepare(Format::mono(16_000).unwrap()).unwrap();
    capture.continue_after(48_000, &other);
    let first = position(&mut capture);
    assert!((16_000..=16_016).contains(&first), "{first}");
    capture.continue_after(47_000, &other);
    assert_eq!(position(&mut capture), first + 160);
}

/// A call over several devices, one after the other.
#[cfg(all(feature = "resample", feature = "denoise", feature = "opus"))]
mod calls {
    use voxframe::call::{Controls, ProfileKind};
    use voxframe::{Capture, Packet, Processor, Profile};

    /// Speech for `ms` from a device with this rate.
    fn samples(rate_hz: u32, ms: u32) -> Vec<f32> {
        (0..rate_hz * ms / 1000).map(|i| (i as f32 * 900.0 / rate_hz as f32).sin() * 0.1).collect()
    }

    /// Packets of one device after the other, `ms` each, and the positions where another begins.
    fn packets(kinds: &[ProfileKind], rates: &[u32], ms: u32) -> (Vec<Packet>, Vec<i64>) {
        let first: Profile = kinds[0].into();
        let controls = Controls::new(&first);
        let (mut packets, mut changes): (Vec<Packet>, Vec<i64>) = (Vec::new(), Vec::new());
        for (kind, &rate_hz) in kinds.iter().cycle().zip(rates) {
            let mut capture = Capture::for_device(rate_hz, 1).unwrap();
            let mut uplink = Profile::from(*kind).uplink_with(capture.output_format(), &controls).unwrap();
            if let Some(last) = packets.last() {
                changes.push(last.end());
                capture.continue_after(last.end(), &uplink);
            }
            let sound = samples(rate_hz, ms);
            for buffer in sound.chunks(311) {
                capture.run(buffer, &mut uplink, |packet| packets.push(packet.clone())).unwrap();
            }
        }
        (packets, changes)
    }

    const RATES: [u32; 8] = [48_000, 44_100, 48_000, 16_000, 11_025, 96_000, 8_000, 44_100];

    #[test]
    fn packets_neither_overlap_nor_leave_a_gap_to_be_heard() {
        for kinds in [&[ProfileKind::Balanced][..], &[ProfileKind::LowLatency], &ProfileKind::ALL] {
            // An odd time, so that a device is left in the middle of a packet.
            let (packets, changes) = packets(kinds, &RATES, 433);
            assert_eq!(changes.len(), RATES.len() - 1);
            let mut gaps = 0;
            for pair in packets.windows(2) {
                let gap = pair[1].position() - pair[0].end();
                let most = if changes.contains(&pair[0].end()) { 5 } else { 0 };
                assert!((0..=most).contains(&gap), "{kinds:?}: {gap} ticks at {}", pair[0].end());
                gaps += usize::from(gap > 0);
            }
            assert!(gaps <= changes.len());
        }
    }

    #[test]
    fn any_device_goes_on_anywhere() {
        for kind in ProfileKind::ALL {
            for rate_hz in [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_056, 44_100, 48_000, 96_000, 192_000] {
                let (mut capture, mut uplink, _controls) = Profile::from(kind).uplink_for(rate_hz, 1).unwrap();
                let silence = vec![0.0f32; rate_hz as usize / 20];
                for step in 0..10 {
                    let end = 2_000_000 * step + step * 37 % 1000;
                    capture.continue_after(end, &uplink);
                    let mut first = None;
                    capture.run(&silence, &mut uplink, |packet| _ = first.get_or_insert(packet.position())).unwrap();
                    let gap = first.unwrap() - end;
                    assert!((0..=5).contains(&gap), "{kind}, {rate_hz} Hz: {gap} ticks");
                    capture.reset();
                    uplink.reset();
                }
            }
        }
    }

    #[cfg(feature = "rtp")]
    #[test]
    fn rtp_timestamps_are_monotonic_and_a_receiver_hears_no_loss() {
        use voxframe::rtp::{RtpReceiver, RtpSender};
        use voxframe::{Format, JitterBuffer, Live, Source};
        let (packets, changes) = packets(&[ProfileKind::Balanced], &[48_000, 44_100], 2000);
        assert_eq!(changes.len(), 1);
        let mut sender = RtpSender::new(111, 7, 65_500, u32::MAX - 50_000).unwrap();
        let mut receiver = RtpReceiver::new(111).unwrap();
        let (buffer, control) = JitterBuffer::default().live();
        let (mut input, mut output) = buffer.open(Format::mono(48_000).unwrap()).unwrap();
        let (mut datagram, mut received) = ([0; 1500], Packet::new());
        let mut before: Option<(u16, u32)> = None;
        for packet in &packets {
            let length = sender.write(packet, &mut datagram).unwrap().unwrap();
            let header = receiver.read(&datagram[..length], &mut received).unwrap();
            if let Some((sequence, timestamp)) = before {
                assert_eq!(header.sequence, sequence.wrapping_add(1));
                let step = header.timestamp.wrapping_sub(timestamp);
                assert!((960..=965).contains(&step), "{step}");
            }
            before = Some((header.sequence, header.timestamp));
            input.push(header.sequence, header.timestamp, header.ssrc, received.as_bytes()).unwrap();
            output.pull();
            output.pull();
        }
        let told = control.reading();
        let faults = (told.packets_missing, told.stream_restarts, told.packets_invalid, told.packets_late);
        assert_eq!(faults, (0, 0, 0, 0), "{told:?}");
        assert!(told.concealed_ms < 25.0, "{told:?}");
    }

    #[cfg(feature = "ogg")]
    #[test]
    fn a_file_takes_the_packets_of_all_devices() {
        use voxframe::ogg::{OggHead, OggReader, OggWriter};
        let (packets, _) = packets(&[ProfileKind::Balanced], &RATES, 400);
        let head = OggHead { channels: 1, input_rate_hz: 48_000, ..OggHead::default() };
        let mut writer = OggWriter::new(Vec::new(), head).unwrap();
        for packet in &packets {
            writer.write(packet).unwrap();
        }
        let file = writer.finish_at(packets.last().unwrap().end()).unwrap();
        let mut reader = OggReader::new(&file[..]).unwrap();
        let mut packet = Packet::new();
        let mut expected = packets.iter();
        let (mut next, mut before) = (expected.next(), i64::MIN);
        while reader.read(&mut packet).unwrap() {
            assert!(packet.position() >= before);
            before = packet.end();
            if next.is_some_and(|next| next.as_bytes() == packet.as_bytes()) {
                next = expected.next();
            }
        }
        assert_eq!(next, None, "all of them, in order");
    }
}

/// Levels that packets carry for RTP (RFC 6464).
#[cfg(feature = "opus")]
mod levels {
    use voxframe::{Capture, Gain, OpusEncode, Stage};

    fn levels(sample: impl Fn(usize) -> f32) -> Vec<u8> {
        let mut capture = Capture::for_device(48_000, 1).unwrap();
        let mut encoder = Gain::db(0.0).then(OpusEncode::voip()).prepare(capture.output_format()).unwrap();
        let samples: Vec<f32> = (0..4 * 960).map(sample).collect();
        let mut levels = Vec::new();
        capture.run(&samples, &mut encoder, |packet| levels.extend(packet.level_dbov())).unwrap();
        levels
    }

    #[test]
    fn a_packet_has_the_level_of_its_own_sound() {
        let square = |index: usize| if (index / 48).is_multiple_of(2) { 1.0 } else { -1.0 };
        assert_eq!(levels(square), [0; 4]);
        assert_eq!(levels(|index| square(index) * 0.1), [20; 4]);
        // −3.01 dB.
        assert_eq!(levels(|index| (index as f32 * std::f32::consts::TAU / 48.0).sin()), [3; 4]);
        assert_eq!(levels(|_| 0.0), [127; 4]);
        assert_eq!(levels(|index| if index < 960 { square(index) } else { 0.0 }), [0, 127, 127, 127]);
        assert_eq!(levels(|index| if index < 480 { square(index) } else { 0.0 })[0], 3, "half of it");
    }
}
