//! Speech through Opus and a lossy network, gaps filled with what arrives later: `opus_loss IN.wav OUT.wav ..`.

use clap::Parser;
use voxframe::{Format, Frame, Live, OpusDecode, OpusEncode, Packet, Processor, Stage};

#[derive(Parser)]
struct Args {
    /// Mono speech, 8, 12, 16, 24 or 48 kHz, 16 bit.
    input: std::path::PathBuf,
    output: std::path::PathBuf,
    /// A file with a 0 or a 1 for each packet: 1 is lost.
    #[arg(long)]
    trace: Option<std::path::PathBuf>,
    #[arg(long, default_value_t = 32)]
    bitrate_kbps: u32,
    /// What the sender expects.
    #[arg(long, default_value_t = 20)]
    loss_percent: u8,
    #[arg(long)]
    fec: bool,
    #[arg(long, default_value_t = 0)]
    dred_ms: u32,
    /// The decoder's.
    #[arg(long, default_value_t = 0)]
    complexity: u8,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args = Args::parse();
    let mut reader = hound::WavReader::open(&args.input)?;
    let sound: Vec<f32> =
        reader.samples::<i16>().map(|s| s.map(|s| f32::from(s) / 32_768.0)).collect::<Result<_, _>>()?;
    let format = Format::mono(reader.spec().sample_rate)?;
    let Args { fec, dred_ms, loss_percent, complexity, .. } = args;
    let bitrate_bps = args.bitrate_kbps * 1000;
    let (encode, sender) = OpusEncode { fec, dred_ms, loss_percent, bitrate_bps, ..OpusEncode::voip() }.live();
    let (decode, receiver) = OpusDecode { complexity, ..OpusDecode::default() }.live();
    let (mut encoder, mut decoder) = (encode.prepare(format)?, decode.prepare(format)?);

    let mut packets = Vec::new();
    let mut frame = Frame::new(format);
    // What the codec still holds at the end comes out with silence.
    let padded = sound.len() + encoder.latency() + 4 * format.samples_per_channel();
    for start in (0..padded).step_by(format.samples_per_channel()) {
        frame.set_position(start as i64);
        for (index, sample) in frame.samples_mut().iter_mut().enumerate() {
            *sample = sound.get(start + index).copied().unwrap_or(0.0);
        }
        packets.extend(encoder.process(&mut frame)?.cloned());
    }

    let trace = args.trace.map(std::fs::read_to_string).transpose()?.unwrap_or_default();
    let lost: Vec<bool> = trace.bytes().filter(|b| b"01".contains(b)).map(|b| b == b'1').collect();
    let is_lost = |index: usize| !lost.is_empty() && lost[index % lost.len()];
    let spec = hound::WavSpec { channels: 1, bits_per_sample: 16, ..reader.spec() };
    let mut writer = hound::WavWriter::create(&args.output, spec)?;
    let mut play = |packet: &mut Packet| -> Result<(), Box<dyn std::error::Error>> {
        while !packet.is_empty() {
            let Some(frame) = decoder.process(packet)? else { continue };
            let captured = frame.samples().iter().zip(frame.position()..).filter(|(_, position)| *position >= 0);
            for (sample, _) in captured.take_while(|(_, position)| *position < sound.len() as i64) {
                writer.write_sample((sample * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16)?;
            }
        }
        Ok(())
    };
    let mut gap = Packet::new();
    let mut index = 0;
    while index < packets.len() {
        let end = (index..packets.len()).find(|&i| !is_lost(i)).unwrap_or(packets.len());
        if end > index {
            let (position, duration) =
                (packets[index].position(), packets[index..end].iter().map(Packet::duration).sum());
            match packets.get(end) {
                Some(later) => gap.set_lost(position, duration, later.as_bytes(), later.position()),
                None => gap.set_lost(position, duration, &[], 0),
            }?;
            play(&mut gap)?;
        }
        if let Some(packet) = packets.get_mut(end) {
            play(packet)?;
        }
        index = end + 1;
    }
    writer.finalize()?;
    let kbps = sender.reading().bytes as f64 * 8.0 / format.ms(padded);
    println!("{kbps:.1} kb/s, {:?}, {:?}", sender.reading(), receiver.reading());
    Ok(())
}
