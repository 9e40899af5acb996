//! What takes the place of lost packets: redundancy, concealment, and in the end the background.

use voxframe::{JitterBuffer, OpusEncode, Packet};
use voxframe_testkit::network::{Loss, Network};
use voxframe_testkit::signal::level;

use super::stream::Ends;
use super::{SPEECH, call, encode, format, mean, packets, run};

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
        assert!(last.packets_repaired * 20 > last.packets_missing * 17, "{last:?}");
        assert!((last.dred_ms - 20.0 * last.packets_repaired as f64).abs() < 400.0, "{last:?}");
        assert!((80.0..150.0).contains(&last.jitter_buffer_target_delay_ms), "{last:?}");
        // Not waiting for it leaves but what happens to be there.
        let hurried = JitterBuffer { max_redundancy_wait_ms: 0.0, ..buffer };
        let without = call(&packets, &network, hurried, format(), |_| {}).unwrap();
        assert!(
            without.jitter_buffer_target_delay_ms < 30.0 && without.packets_repaired * 2 < last.packets_repaired,
            "{without:?}"
        );
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
    assert!(last.packets_missing > 2 && last.fec_ms > 0.0, "{last:?}");
}

#[test]
fn lost_packets_are_rebuilt_where_they_can_be() {
    let lossy = Network { loss: Loss::Bursty { share: 0.1, burst: 1.5 }, ..Network::default() };
    let (_, _, last) = run(1500, &lossy, JitterBuffer::default());
    assert_eq!(last.packets_received + last.packets_missing, 1500, "{last:?}");
    assert!((0.06..0.14).contains(&(last.packets_missing as f64 / 1500.0)), "{last:?}");
    // Those whose successor arrived and carries a copy: the flag of a SILK packet of one frame.
    let packets = packets(1500);
    let sent_ms: Vec<f64> = (1..=1500).map(|i| f64::from(i) * 20.0).collect();
    let mut arrived = [false; 1500];
    lossy.carry(&sent_ms, 20.0).iter().for_each(|arrival| arrived[arrival.packet] = true);
    let has_copy = |packet: &Packet| packet.as_bytes()[0] >> 3 < 16 && packet.as_bytes()[1] & 0x40 != 0;
    let could = (1..1500).filter(|&i| !arrived[i - 1] && arrived[i] && has_copy(&packets[i])).count();
    println!("{} missing, {could} could be rebuilt, {} were", last.packets_missing, last.packets_repaired);
    assert!(last.packets_repaired * 10 >= could as u64 * 9, "{last:?}, {could} could be rebuilt");
    let (_, _, without) = run(1500, &lossy, JitterBuffer { max_redundancy_wait_ms: 0.0, ..JitterBuffer::default() });
    assert!(without.packets_repaired < last.packets_repaired, "{without:?}");
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
    // Nearly 2 s, its time constant.
    assert!((0.58..0.64).contains(&reading.concealment_rate), "{reading:?}");
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
    assert_eq!((last.packets_missing, last.packets_late, last.packets_flushed), (0, 0, 0), "{last:?}");
    assert!(last.concealed_ms < 700.0, "{last:?}");
    let after = mean(delays[delays.len() - 150..delays.len() - 10].iter().copied());
    assert!((20.0..90.0).contains(&after), "{after} ms after the pause");
}

/// Packets of many frames, of which forward error correction rebuilds the last one.
#[test]
fn a_packet_counts_as_rebuilt_where_half_of_it_is() {
    for (packet_ms, frame_ms, is_half) in [(80.0, 40.0, true), (120.0, 60.0, true), (100.0, 20.0, false)] {
        let settings = OpusEncode { fec: true, packet_ms, loss_percent: 20, complexity: 5, ..OpusEncode::voip() };
        let length = packet_ms as usize * 16;
        let packets = encode(settings, &SPEECH.0[..SPEECH.0.len() / length * length]);
        // No wait for what is missing: else what is filled in meanwhile would stand for the first frame.
        let buffer = JitterBuffer { min_delay_ms: 200.0, start_delay_ms: 200.0, ..JitterBuffer::default() };
        let mut ends = Ends::new(buffer);
        for (index, packet) in packets.iter().enumerate() {
            if index % 5 != 3 {
                ends.push_packet(packet, index as u16);
            }
            (0..length / 320).for_each(|_| _ = ends.pull());
        }
        let reading = ends.reading();
        let frames = (reading.fec_ms / frame_ms) as u64;
        assert!(frames > 2, "{reading:?}");
        assert_eq!(reading.packets_repaired, if is_half { frames } else { 0 }, "{packet_ms} ms: {reading:?}");
    }
}
