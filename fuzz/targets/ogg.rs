//! Any bytes as an Ogg Opus file: the same packets however they are read, and sound that is finite.
#![no_main]

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use voxframe::ogg::{OggError, OggReader};
use voxframe::{Format, OpusDecode, Packet, Processor, Stage};

/// Sound that is decoded of a file, in frames: the rest is read only.
const MAX_FRAMES: usize = 400;

/// Input that gives few bytes at a time, and is interrupted now and then.
struct Choppy<'a> {
    data: &'a [u8],
    step: usize,
    reads: usize,
}

impl Read for Choppy<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        self.reads += 1;
        if self.reads % 7 == 3 {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        let length = self.step.min(to.len()).min(self.data.len());
        let (now, later) = self.data.split_at(length);
        to[..length].copy_from_slice(now);
        self.data = later;
        Ok(length)
    }
}

/// Bytes, position and duration of every packet.
fn packets(input: impl Read, bytes: usize, decode: bool) -> Vec<(Vec<u8>, i64, u32)> {
    let Ok(mut reader) = OggReader::new(input) else { return Vec::new() };
    let mut packet = Packet::new();
    let (mut found, mut errors, mut frames) = (Vec::new(), 0, 0);
    let mut decoder = None;
    loop {
        match reader.read(&mut packet) {
            Ok(true) => {}
            Ok(false) => return found,
            Err(OggError::Io(error)) => panic!("{error}"),
            Err(_) => {
                errors += 1;
                assert!(errors <= bytes, "it goes on for ever");
                continue;
            }
        }
        found.push((packet.as_bytes().to_vec(), packet.position(), packet.duration()));
        if !decode || frames > MAX_FRAMES {
            continue;
        }
        let head = reader.head();
        let format = Format::new(48_000, head.channels).expect("a head has channels that can be decoded");
        let decoder = decoder.get_or_insert_with(|| OpusDecode::default().prepare(format).expect("it can be decoded"));
        if decoder.output_format() != format {
            return found;
        }
        while !packet.is_empty() && frames <= MAX_FRAMES {
            match decoder.process(&mut packet) {
                Ok(Some(frame)) => {
                    frames += 1;
                    assert!(frame.samples().iter().all(|sample| sample.is_finite()));
                    assert!(reader.audible_range(frame).end <= format.samples_per_channel());
                }
                Ok(None) => {}
                Err(_) => break,
            }
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&step, data)) = data.split_first() else { return };
    let choppy = Choppy { data, step: usize::from(step) * 16 + 1, reads: 0 };
    assert!(packets(data, data.len(), true) == packets(choppy, data.len(), false), "short reads give something else");
});
