//! What each thing Opus can do costs, beside the plain encoder and decoder: `opus_cost` (build it with
//! `--release --features deep-plc`). Times are the least of many rounds in turn, so that a busy machine hurts little.

use std::time::{Duration, Instant};

use voxframe::{Format, Frame, OpusDecode, OpusEncode, Packet, Processor, Result, Stage};

const ROUNDS: usize = 15;

fn encode(settings: OpusEncode, sound: &[f32]) -> Result<(Vec<Packet>, Duration)> {
    let format = Format::mono(48_000)?;
    let mut encoder = settings.prepare(format)?;
    let mut frame = Frame::new(format);
    let mut packets = Vec::with_capacity(sound.len() / 960);
    let mut time = Duration::ZERO;
    for (index, block) in sound.chunks_exact(480).enumerate() {
        frame.set_position(480 * index as i64);
        frame.samples_mut().copy_from_slice(block);
        let start = Instant::now();
        let packet = encoder.process(&mut frame)?;
        time += start.elapsed();
        packets.extend(packet.cloned());
    }
    let each = time / packets.len() as u32;
    Ok((packets, each))
}

/// Every `period`-th packet starts a gap of four, which what follows helps to fill if `known`: the time for 20 ms of
/// what is received and of what is lost.
fn decode(complexity: u8, packets: &[Packet], period: usize, known: bool) -> Result<(Duration, Duration)> {
    let mut decoder = OpusDecode { complexity, ..OpusDecode::default() }.prepare(Format::mono(48_000)?)?;
    let (mut received, mut lost) = ((Duration::ZERO, 0), (Duration::ZERO, 0));
    let mut packet = Packet::new();
    for (index, from) in packets.iter().enumerate() {
        let gap = index % period;
        if gap < 4 && index + 4 < packets.len() {
            if gap > 0 {
                continue;
            }
            let later = &packets[index + 4];
            let bytes = if known { later.as_bytes() } else { &[] };
            packet.set_lost(from.position(), 4 * 960, bytes, later.position())?;
        } else {
            packet.set_bytes(from.as_bytes(), from.position())?;
        }
        let sum = if packet.is_lost() { (&mut lost, 4) } else { (&mut received, 1) };
        let start = Instant::now();
        while !packet.is_empty() {
            decoder.process(&mut packet)?;
        }
        *sum.0 = (sum.0.0 + start.elapsed(), sum.0.1 + sum.1);
    }
    Ok((received.0 / received.1.max(1), lost.0 / lost.1.max(1)))
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut reader = hound::WavReader::open(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/speech_clean.wav"))?;
    let sound: Vec<f32> =
        reader.samples::<i16>().map(|s| s.map(|s| f32::from(s) / 32_768.0)).collect::<std::result::Result<_, _>>()?;
    let plain = OpusEncode { loss_percent: 20, ..OpusEncode::voip() };
    let wide = OpusEncode { bitrate_bps: 16_000, ..plain };
    let dred = |dred_ms| OpusEncode { dred_ms, ..plain };
    let mut best: Vec<(String, Duration)> = Vec::new();
    for _ in 0..ROUNDS {
        let mut row = 0;
        let mut note = |name: String, time: Duration| {
            match best.get_mut(row) {
                Some((_, least)) => *least = time.min(*least),
                None => best.push((name, time)),
            }
            row += 1;
        };
        let (packets, time) = encode(plain, &sound)?;
        note("encode".into(), time);
        note("encode, FEC".into(), encode(OpusEncode { fec: true, ..plain }, &sound)?.1);
        note("encode, DRED 200 ms".into(), encode(dred(200), &sound)?.1);
        let (redundant, time) = encode(dred(1000), &sound)?;
        note("encode, DRED 1000 ms".into(), time);
        let (narrow, _) = encode(wide, &sound)?;
        for complexity in [0, 5, 6, 7] {
            let (received, lost) = decode(complexity, &packets, 12, false)?;
            note(format!("decode, complexity {complexity}"), received);
            note(format!("conceal, complexity {complexity}"), lost);
            note(format!("decode 16 kb/s, complexity {complexity}"), decode(complexity, &narrow, 12, false)?.0);
            note(format!("rebuild from DRED, complexity {complexity}"), decode(complexity, &redundant, 12, true)?.1);
        }
    }
    let reference = best[4].1.as_secs_f64();
    println!("{:36} {:>9} {:>8} {:>9}", "20 ms of mono speech at 48 kHz", "µs", "÷ encode", "÷ decode");
    for (name, time) in &best {
        let seconds = time.as_secs_f64();
        println!(
            "{name:36} {:9.1} {:8.2} {:9.2}",
            seconds * 1e6,
            seconds / best[0].1.as_secs_f64(),
            seconds / reference
        );
    }
    Ok(())
}
