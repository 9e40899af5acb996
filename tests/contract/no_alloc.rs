//! Nothing allocates once it is prepared, not even in the first frame on a thread: every stage, every profile, the codec, the edges, the handles.

use voxframe::device::{InputSelection, packet_queue};
use voxframe::{
    Capture, Error, Format, Frame, Gain, Handle, LevelMeter, Live, Packet, Playout, Processor, Source, Stage,
};
use voxframe_testkit::alloc::{CountingAllocator, allocations};

use crate::cases::{cases, formats};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Fills a frame with something like speech: a tone that comes and goes, over noise.
fn fill(frame: &mut Frame, round: usize) {
    let loudness = if round % 40 < 20 { 0.3 } else { 0.001 };
    let length = frame.format().samples_per_channel();
    for (i, sample) in frame.samples_mut().iter_mut().enumerate() {
        let t = (round * length + i % length) as f32;
        *sample = (t * 0.03).sin() * loudness + (t * t * 0.7).sin() * 0.002 * (1 + i / length) as f32;
    }
}

#[test]
fn no_stage_and_no_profile_allocates_once_it_is_prepared() {
    for case in cases() {
        for format in formats(&case) {
            let mut processor = (case.prepare)(format).unwrap();
            let mut frame = Frame::new(format);
            let mut wrong = Frame::new(format.with_sample_rate_hz(32_000).unwrap());
            let work = move || {
                for round in 0..60 {
                    fill(&mut frame, round);
                    processor.process(&mut frame).unwrap();
                    processor.process(&mut wrong).err().unwrap();
                }
                processor.reset();
                processor.process(&mut frame).unwrap();
                // Not freed before the count is taken.
                (processor, frame, wrong)
            };
            let count = std::thread::spawn(|| {
                let mut kept = None;
                allocations(|| kept = Some(work()))
            });
            let count = count.join().unwrap();
            assert_eq!(count, 0, "{} at {format}", case.name);
        }
    }
}

#[test]
fn echo_cancellation_does_not_allocate_on_either_thread() {
    use voxframe::EchoCancel;
    use voxframe::echo::far_end;
    let (near, far) = (Format::stereo(48_000).unwrap(), Format::stereo(44_100).unwrap());
    let (mut far_end, reference) = far_end(far);
    let (stage, control) = EchoCancel::default().live();
    let mut canceller = stage.with_far_end(&reference).prepare(near).unwrap();
    let (mut played, mut heard) = (Frame::new(far), Frame::new(near));
    let playing = std::thread::spawn(move || {
        allocations(|| {
            for round in 0..300 {
                fill(&mut played, round);
                played.set_position(441 * round as i64);
                far_end.push(&played).unwrap();
                std::thread::yield_now();
            }
        })
    });
    let hearing = std::thread::spawn(move || {
        let count = allocations(|| {
            for round in 0..300 {
                fill(&mut heard, round);
                // Frames are missed now and then.
                heard.set_position(480 * (round + round / 50) as i64);
                canceller.process(&mut heard).unwrap();
            }
            canceller.reset();
        });
        (count, canceller)
    });
    assert_eq!(playing.join().unwrap(), 0);
    let (count, canceller) = hearing.join().unwrap();
    assert_eq!((count, control.reading()), (0, Default::default()));
    drop(canceller);
}

#[cfg(feature = "denoise")]
#[test]
fn noise_suppression_is_reset_any_number_of_times() {
    use voxframe::denoise::Engine;
    use voxframe::{Denoise, Stage};
    let mut engines = vec![Engine::Light, Engine::Standard];
    if cfg!(feature = "hush") {
        engines.push(Engine::Best);
    }
    for engine in engines {
        let format = Format::stereo(48_000).unwrap();
        let mut processor = Denoise { engine, ..Denoise::default() }.prepare(format).unwrap();
        let mut frame = Frame::new(format);
        let mut fresh = [0.0; 5 * 960];
        // A thread of its own: not even the first frame there allocates.
        let count = std::thread::scope(|scope| {
            let resets = || {
                for reset in 0..100 {
                    for round in 0..5 {
                        fill(&mut frame, round);
                        processor.process(&mut frame).unwrap();
                        let fresh = &mut fresh[round * 960..][..960];
                        if reset == 0 {
                            fresh.copy_from_slice(frame.samples());
                        }
                        assert!(frame.samples() == fresh, "{engine:?} after {reset} resets");
                    }
                    processor.reset();
                }
            };
            scope.spawn(move || allocations(resets)).join().unwrap()
        });
        assert_eq!(count, 0, "{engine:?}");
        assert!(fresh.iter().any(|&s| s != 0.0), "{engine:?} is silent");
    }
}

#[cfg(feature = "denoise")]
#[test]
fn a_batch_does_not_allocate_whoever_joins_and_leaves() {
    use voxframe::Denoise;
    use voxframe::denoise::{DenoiseBatch, Engine};
    let engines = [Engine::Light, Engine::Standard, if cfg!(feature = "hush") { Engine::Best } else { Engine::Light }];
    let formats = [1, 2].map(|channels| Format::new(48_000, channels).unwrap());
    let mut streams: Vec<_> = (0..20)
        .map(|number| {
            let (engine, format) = (engines[number % 3], formats[number % 2]);
            (Denoise { engine, ..Denoise::default() }.prepare(format).unwrap(), Frame::new(format))
        })
        .collect();
    let mut wrong = Frame::new(Format::mono(32_000).unwrap());
    let mut batch = DenoiseBatch::new();
    let work = || {
        for round in 0..30 {
            streams.iter_mut().for_each(|(_, frame)| fill(frame, round));
            let present = streams.iter_mut().enumerate().filter(|(number, _)| number % 7 != round % 7);
            batch.process(present.map(|(_, (processor, frame))| (processor, frame))).unwrap();
            batch.process([(&mut streams[round % 20].0, &mut wrong)]).unwrap_err();
        }
    };
    // A thread of its own: not even the first tick there allocates.
    let count = std::thread::scope(|scope| scope.spawn(|| allocations(work)).join().unwrap());
    assert_eq!(count, 0);
    assert!(streams.iter().all(|(_, frame)| frame.speech_probability().is_some()));
}

#[cfg(feature = "opus")]
#[test]
fn the_codec_does_not_allocate() {
    use voxframe::opus::{Application, RateControl};
    use voxframe::{OpusDecode, OpusEncode, Packet, Stage};
    let format = Format::stereo(48_000).unwrap();
    let (encode, control) = OpusEncode { fec: true, loss_percent: 20, ..OpusEncode::voip() }.live();
    let mut encoder = encode.prepare(format).unwrap();
    let mut decoder = OpusDecode::default().prepare(format).unwrap();
    let mut frame = Frame::new(format);
    let mut lost = Packet::new();
    encoder.process(&mut frame).unwrap();
    let count = allocations(|| {
        for round in 0..120 {
            fill(&mut frame, round);
            match round {
                20 => control.update(|opus| (opus.packet_ms, opus.fec) = (2.5, false)).unwrap(),
                40 => control.update(|opus| (opus.packet_ms, opus.fec) = (60.0, true)).unwrap(),
                60 => control.update(|opus| (opus.application, opus.fec) = (Application::LowDelay, false)).unwrap(),
                80 => control.update(|opus| (opus.rate_control, opus.dtx) = (RateControl::Cbr, true)).unwrap(),
                _ => {}
            }
            if let Some(packet) = encoder.process(&mut frame).unwrap() {
                if round % 5 == 0 {
                    lost.set_lost(packet.position() - 960, 960, packet.as_bytes(), packet.position()).unwrap();
                    while !lost.is_empty() {
                        decoder.process(&mut lost).unwrap();
                    }
                }
                while !packet.is_empty() {
                    decoder.process(packet).unwrap();
                }
            }
        }
        encoder.reset();
        decoder.reset();
    });
    assert_eq!(count, 0);
}

#[cfg(feature = "opus")]
#[test]
fn neither_end_of_a_jitter_buffer_allocates() {
    use voxframe::{JitterBuffer, OpusEncode, Source, Stage};
    let format = Format::stereo(48_000).unwrap();
    let mut encoder = OpusEncode { fec: true, loss_percent: 20, ..OpusEncode::voip() }.prepare(format).unwrap();
    let mut frame = Frame::new(format);
    let mut packets = Vec::new();
    for round in 0..1000 {
        fill(&mut frame, round);
        packets.extend(encoder.process(&mut frame).unwrap().cloned());
    }
    let (buffer, control) = JitterBuffer::default().live();
    let (mut sender, mut receiver) = buffer.open(format).unwrap();
    let mut push = |index: usize, ssrc| sender.push(index as u16, index as u32 * 960, ssrc, packets[index].as_bytes());
    receiver.pull();
    let count = allocations(|| {
        for round in 0..1000 {
            let (index, ssrc) = (round / 2, if round < 800 { 1 } else { 2 });
            match round {
                // A stall, and all of it at once; then losses, one by one and many.
                400..460 => {}
                460 => (200..=230).for_each(|index| push(index, ssrc).unwrap()),
                600..=700 if index % 7 == 0 => {}
                720..760 => {}
                _ if round % 2 == 0 => push(index, ssrc).unwrap(),
                _ => _ = push(index, ssrc),
            }
            std::hint::black_box(receiver.pull());
        }
    });
    assert_eq!(count, 0);
    let told = control.reading();
    let ms = [told.concealed_ms, told.comfort_noise_ms, told.removed_for_acceleration_ms];
    assert!(
        ms.iter().all(|&ms| ms > 0.0)
            && told.packets_missing > 0
            && told.stream_restarts == 1
            && told.packets_duplicated > 0,
        "{told:?}"
    );
    assert_eq!(allocations(|| receiver.reset()), 0);
}

#[cfg(feature = "deep-plc")]
#[test]
fn neural_concealment_and_redundancy_do_not_allocate() {
    use voxframe::{OpusDecode, OpusEncode, Packet, Stage};
    let format = Format::stereo(48_000).unwrap();
    let settings = OpusEncode { dred_ms: 500, loss_percent: 20, bitrate_bps: 48_000, ..OpusEncode::voip() };
    let mut encoder = settings.prepare(format).unwrap();
    let (decode, control) = OpusDecode { complexity: 5, ..OpusDecode::default() }.live();
    let mut decoder = decode.prepare(format).unwrap();
    let mut frame = Frame::new(format);
    let mut gap = Packet::new();
    let count = allocations(|| {
        for round in 0..200 {
            fill(&mut frame, round);
            if round == 100 {
                control.update(|decode| decode.complexity = 7).unwrap();
            }
            let Some(packet) = encoder.process(&mut frame).unwrap() else { continue };
            if round % 40 >= 30 {
                continue;
            }
            if round % 40 < 2 {
                gap.set_lost(packet.position() - 4800, 4800, packet.as_bytes(), packet.position()).unwrap();
                while !gap.is_empty() {
                    decoder.process(&mut gap).unwrap();
                }
            }
            while !packet.is_empty() {
                decoder.process(packet).unwrap();
            }
        }
        gap.set_lost(0, 48_000, &[], 0).unwrap();
        while !gap.is_empty() {
            decoder.process(&mut gap).unwrap();
        }
        gap.set_silence(0, 48_000);
        while !gap.is_empty() {
            decoder.process(&mut gap).unwrap();
        }
        decoder.reset();
    });
    assert_eq!(count, 0);
    assert!(control.reading().dred_ms == 0, "reset");
}

#[cfg(feature = "deep-plc")]
#[test]
fn a_jitter_buffer_does_not_allocate_for_redundancy_and_deep_concealment() {
    use voxframe::{JitterBuffer, OpusDecode, OpusEncode, Source, Stage};
    let format = Format::mono(48_000).unwrap();
    let settings = OpusEncode { dred_ms: 500, fec: true, loss_percent: 20, bitrate_bps: 48_000, ..OpusEncode::voip() };
    let mut encoder = settings.prepare(format).unwrap();
    let mut frame = Frame::new(format);
    let mut packets = Vec::new();
    for round in 0..1000 {
        fill(&mut frame, round);
        packets.extend(encoder.process(&mut frame).unwrap().cloned());
    }
    let decoder = OpusDecode { complexity: 7, ..OpusDecode::default() };
    let (buffer, control) = JitterBuffer { decoder, ..JitterBuffer::default() }.live();
    let (mut sender, mut receiver) = buffer.open(format).unwrap();
    receiver.pull();
    let count = allocations(|| {
        for round in 0..1000 {
            let index = round / 2;
            // Gaps of one to five packets, and one of half a second.
            if round % 2 == 0 && index % 12 >= index / 12 % 6 && !(300..325).contains(&index) {
                sender.push(index as u16, index as u32 * 960, 1, packets[index].as_bytes()).unwrap();
            }
            std::hint::black_box(receiver.pull());
        }
    });
    assert_eq!(count, 0);
    let told = control.reading();
    let ms = [told.fec_ms, told.dred_ms, told.concealed_ms, told.comfort_noise_ms];
    assert!(ms.iter().all(|&ms| ms > 0.0), "{told:?}");
}

#[cfg(feature = "rtp")]
#[test]
fn rtp_does_not_allocate() {
    use voxframe::Packet;
    use voxframe::rtp::{RtpReceiver, RtpSender};
    let mut sender = RtpSender::new(111, 1, 2, 3).unwrap();
    let mut receiver = RtpReceiver::new(111).unwrap();
    let (mut packet, mut received) = (Packet::new(), Packet::new());
    let mut datagram = [0; 9000];
    let count = allocations(|| {
        for length in 3..1200 {
            packet.set_bytes(&[0xf8; 1200][..length], 960 * length as i64).unwrap();
            let bytes = sender.write(&packet, &mut datagram).unwrap().unwrap();
            receiver.read(&datagram[..bytes], &mut received).unwrap();
            receiver.read(&datagram[..bytes / 9], &mut received).ok();
        }
    });
    assert_eq!(count, 0);
    assert!(receiver.reading().packets_received > 1000);
}

#[test]
fn the_edges_do_not_allocate() {
    let frames = Format::stereo(48_000).unwrap();
    let mut rates = vec![48_000];
    if cfg!(feature = "resample") {
        rates.extend([11_025, 44_100, 192_000]);
    }
    for rate in rates {
        let mut capture = Capture::new(rate, 6, frames).unwrap();
        let mut playout = Playout::new(frames, rate, 4).unwrap();
        let input = vec![1000i16; 6 * 1764];
        let mut output = vec![0i32; 4 * 2000];
        let mut round = || {
            let pushed = capture.push_interleaved(&input[..], |frame| match playout.push(frame) {
                Err(Error::Full) => Ok(()),
                other => other,
            });
            pushed.unwrap();
            playout.pull_interleaved(&mut output[..]).unwrap();
        };
        round();
        assert_eq!(allocations(|| (0..50).for_each(|_| round())), 0, "{rate}");
    }
}

/// A source of one frame, over and over.
struct Repeated(Frame);

impl Source for Repeated {
    fn pull(&mut self) -> &mut Frame {
        &mut self.0
    }

    fn output_format(&self) -> Format {
        self.0.format()
    }

    fn reset(&mut self) {}
}

#[test]
fn callbacks_of_any_length_do_not_allocate() {
    let frames = Format::stereo(48_000).unwrap();
    let input = Handle::new(InputSelection::Average);
    for rate in if cfg!(feature = "resample") { vec![48_000, 44_100] } else { vec![48_000] } {
        let mut capture = Capture::new(rate, 4, frames).unwrap();
        capture.attach(&input).unwrap();
        let mut gain = Gain::db(-6.0).prepare(frames).unwrap();
        let mut playout = Playout::new(frames, rate, 2).unwrap();
        let mut source = Repeated(Frame::new(frames));
        let microphone = vec![1000i16; 4 * 1764];
        let planes = vec![vec![0.1f64; 777]; 4];
        let (mut out, mut left, mut right) = (vec![0u16; 2 * 65_536], [0u8; 300], [0u8; 300]);
        let mut came = 0;
        let mut round = |channel: usize| {
            input.update(|input| *input = InputSelection::Channel(channel % 4)).unwrap();
            capture.run(&microphone, &mut gain, |_| came += 1).unwrap();
            capture.run_planar(&planes, &mut gain, |_| came += 1).unwrap();
            capture.skip(100);
            capture.continue_after(0, &gain);
            std::hint::black_box(input.reading());
            playout.fill(&mut out, &mut source).unwrap();
            playout.fill_planar(&mut [&mut left[..], &mut right], &mut source).unwrap();
        };
        round(0);
        assert_eq!(allocations(|| (0..20).for_each(&mut round)), 0, "{rate}");
        assert!(came > 100);
    }
}

#[test]
fn a_packet_queue_does_not_allocate() {
    let (mut input, mut output) = packet_queue(10);
    let (mut packet, mut kept) = (Packet::new(), Packet::new());
    let mut popped = 0;
    let count = allocations(|| {
        for round in 0..100i64 {
            packet.set_bytes(&[0xf8; 1200][..round as usize * 10], round * 960).unwrap();
            // It runs over now and then.
            (0..1 + round % 20).for_each(|_| input.push(&packet));
            while let Some(packet) = output.pop() {
                kept.copy_from(packet);
                popped += 1;
            }
        }
    });
    assert_eq!(count, 0);
    assert_eq!((popped, output.dropped(), kept.position()), (775, 275, 99 * 960));
}

#[test]
fn handles_do_not_allocate() {
    let (_, gain) = Gain::default().live();
    let (_, levels) = LevelMeter::default().live();
    let count = allocations(|| {
        for db in 0..100 {
            gain.update(|gain| gain.gain_db = -(db as f32)).unwrap();
            assert!(gain.update(|gain| gain.gain_db = f32::NAN).is_err());
            gain.mute();
            std::hint::black_box((gain.reading(), levels.reading()));
        }
    });
    assert_eq!(count, 0);
}
