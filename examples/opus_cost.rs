//! What each thing Opus can do costs, beside the plain encoder and decoder: `opus_cost` (build it with
//! `--release --features deep-plc`). Of each packet the least time of many rounds in turn counts, so that a busy machine
//! hurts little.

use std::time::{Duration, Instant};

use voxframe::{Format, Frame, OpusDecode, OpusEncode, Packet, Processor, Result, Stage};
use voxframe_testkit::wav::fixture;

const ROUNDS: usize = 25;

/// The packets, and the time for each.
fn encode(settings: OpusEncode, sound: &[f32]) -> Result<(Vec<Packet>, Vec<Duration>)> {
    let format = Format::mono(48_000)?.with_frame_ms(20)?;
    let mut encoder = settings.prepare(format)?;
    let mut frame = Frame::new(format);
    let (mut packets, mut times) = (Vec::new(), Vec::new());
    for (index, block) in sound.chunks_exact(960).enumerate() {
        frame.set_position(960 * index as i64);
        frame.samples_mut().copy_from_slice(block);
        let start = Instant::now();
        let packet = encoder.process(&mut frame)?;
        times.push(start.elapsed());
        packets.extend(packet.cloned());
    }
    Ok((packets, times))
}

/// Every twelfth packet starts a gap of four, which what follows helps to fill if `known`: the times for 20 ms of what
/// is received, and of what is lost.
fn decode(complexity: u8, packets: &[Packet], known: bool) -> Result<(Vec<Duration>, Vec<Duration>)> {
    let mut decoder = OpusDecode { complexity, ..OpusDecode::default() }.prepare(Format::mono(48_000)?)?;
    let (mut received, mut lost) = (Vec::new(), Vec::new());
    let mut packet = Packet::new();
    for (index, from) in packets.iter().enumerate() {
        let gap = index % 12;
        let in_gap = gap < 4 && index + 4 < packets.len();
        match (in_gap, gap) {
            (true, 0) => {
                let later = &packets[index + 4];
                let bytes = if known { later.as_bytes() } else { &[] };
                packet.set_lost(from.position(), 4 * 960, bytes, later.position())?;
            }
            (true, _) => continue,
            _ => packet.set_bytes(from.as_bytes(), from.position())?,
        }
        let (times, count) = if in_gap { (&mut lost, 4) } else { (&mut received, 1) };
        let start = Instant::now();
        while !packet.is_empty() {
            decoder.process(&mut packet)?;
        }
        times.push(start.elapsed() / count);
    }
    Ok((received, lost))
}

fn main() -> Result<()> {
    let sound = fixture("speech_clean.wav").remove(0);
    let plain = OpusEncode { loss_percent: 20, ..OpusEncode::voip() };
    let mut least: Vec<(String, Vec<Duration>)> = Vec::new();
    for _ in 0..ROUNDS {
        let mut row = 0;
        let mut note = |name: String, times: Vec<Duration>| {
            match least.get_mut(row) {
                Some((_, least)) => least.iter_mut().zip(times).for_each(|(least, time)| *least = time.min(*least)),
                None => least.push((name, times)),
            }
            row += 1;
        };
        let (packets, times) = encode(plain, &sound)?;
        note("encode".into(), times);
        note("encode, complexity 5".into(), encode(OpusEncode { complexity: 5, ..plain }, &sound)?.1);
        note("encode, FEC".into(), encode(OpusEncode { fec: true, ..plain }, &sound)?.1);
        note("encode, DRED 200 ms".into(), encode(OpusEncode { dred_ms: 200, ..plain }, &sound)?.1);
        let (redundant, times) = encode(OpusEncode { dred_ms: 1000, ..plain }, &sound)?;
        note("encode, DRED 1000 ms".into(), times);
        let (narrow, _) = encode(OpusEncode { bitrate_bps: 16_000, ..plain }, &sound)?;
        for complexity in [0, 5, 6, 7] {
            let (received, lost) = decode(complexity, &packets, false)?;
            note(format!("decode, complexity {complexity}"), received);
            note(format!("conceal, complexity {complexity}"), lost);
            note(format!("decode 16 kb/s, complexity {complexity}"), decode(complexity, &narrow, false)?.0);
            note(format!("rebuild from DRED, complexity {complexity}"), decode(complexity, &redundant, true)?.1);
        }
    }
    let mean = |times: &[Duration]| times.iter().sum::<Duration>().as_secs_f64() / times.len() as f64;
    let (encoding, decoding) = (mean(&least[0].1), mean(&least[5].1));
    println!("{:36} {:>9} {:>8} {:>9}", "20 ms of mono speech at 48 kHz", "µs", "÷ encode", "÷ decode");
    for (name, times) in &least {
        let each = mean(times);
        println!("{name:36} {:9.1} {:8.2} {:9.2}", each * 1e6, each / encoding, each / decoding);
    }
    Ok(())
}
