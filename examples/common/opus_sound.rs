//! Sound of Ogg Opus files.

use std::path::{Path, PathBuf};

use voxframe::error::CodecError;
use voxframe::opus::OpusDecodeProcessor;
use voxframe::{Error, Format, Frame, OpusDecode, Packet, Processor, Stage};
use voxframe_testkit::wav::{Encoding, Header};

use super::input::{Opened, SoundSource};
use super::ogg_opus::{FilePacket, OpusInput};
use super::{Of, Result, sound_within};

/// Sound of an Ogg Opus file, packet by packet. Pre-skip and end trimming are taken off, the gain is applied, and
/// streams one behind the other make one sound, with the channels of the first.
pub struct OpusSound {
    path: PathBuf,
    input: OpusInput,
    next: Option<FilePacket>,
    format: Format,
    decoder: OpusDecodeProcessor,
    /// Stream that the decoder is for.
    stream: Option<usize>,
    /// Samples per channel in all.
    samples: u64,
    notes: Vec<String>,
    packets: usize,
    lost: usize,
    invalid: usize,
}

impl OpusSound {
    /// Opens a file, and reads it once without decoding, so that its length is known and what is wrong with it.
    pub fn open(path: &Path) -> Result<Self> {
        let mut input = OpusInput::open(path)?;
        let mut samples = 0;
        let mut channels = None;
        while let Some(FilePacket { packet, head, end, .. }) = input.next_packet()? {
            channels = channels.or(Some(head.channels));
            let end = end.min(packet.position().saturating_add(packet.duration().into()));
            samples += end.saturating_sub(packet.position().max(0)).max(0) as u64;
        }
        let format = Format::new(Packet::CLOCK_HZ, channels.ok_or("no packets in it").of(path)?)?;
        let notes = input.damage();
        let mut input = OpusInput::open(path)?;
        Ok(Self {
            path: path.to_owned(),
            next: input.next_packet()?,
            input,
            format,
            decoder: OpusDecode::default().prepare(format)?,
            stream: None,
            samples,
            notes,
            packets: 0,
            lost: 0,
            invalid: 0,
        })
    }

    pub fn format(&self) -> Format {
        self.format
    }

    /// Samples per channel.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// What is wrong with the file, and does not keep it from being decoded.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Packets so far.
    pub fn packets(&self) -> usize {
        self.packets
    }

    /// Packets so far that were lost, or are none.
    pub fn lost(&self) -> usize {
        self.lost + self.invalid
    }

    /// Decodes the next packet, as a lost one where `is_lost` says so of its index: `each` gets its frames, and the
    /// position at which the sound ends. `false` at the end of the file.
    pub fn next_packet(
        &mut self,
        is_lost: impl Fn(usize) -> bool,
        mut each: impl FnMut(&Frame, i64) -> Result,
    ) -> Result<bool> {
        let Some(FilePacket { mut packet, head, stream, end }) = self.next.take() else { return Ok(false) };
        self.next = self.input.next_packet()?;
        let follower = self.next.as_ref().filter(|next| next.stream == stream);
        if self.stream != Some(stream) {
            self.stream = Some(stream);
            self.decoder = OpusDecode { gain_db: head.gain_db, ..OpusDecode::default() }.prepare(self.format)?;
        }
        let (position, duration) = (packet.position(), packet.duration());
        let after = position + i64::from(duration);
        if is_lost(self.packets) && !packet.is_lost() {
            // The packet after a lost one may hold a coarse copy of it.
            let copy = follower.filter(|next| !is_lost(self.packets + 1) && !next.packet.is_lost());
            packet.set_lost(position, duration, copy.map_or(&[][..], |next| next.packet.as_bytes()), after)?;
        }
        self.lost += usize::from(packet.is_lost());
        // A stream may end within a frame: whatever comes then fills it up.
        let mut rest = Packet::new();
        if follower.is_none() {
            rest.set_lost(after, 480, &[], 0)?;
        }
        for packet in [&mut packet, &mut rest] {
            while !packet.is_empty() {
                match self.decoder.process(packet) {
                    Ok(Some(frame)) => each(frame, end)?,
                    Ok(None) => {}
                    Err(Error::Codec(CodecError::InvalidPacket)) => {
                        // It begins as an Opus packet does, but is none: as good as lost.
                        self.invalid += 1;
                        packet.set_lost(position, duration, &[], 0)?;
                    }
                    Err(error) => return Err(error).of(&self.path),
                }
            }
        }
        self.packets += 1;
        Ok(true)
    }
}

/// An Ogg Opus file as one of many kinds of sound file.
pub struct OpusSource(OpusSound);

impl OpusSource {
    pub fn open(path: &Path) -> Result<Opened> {
        let sound = OpusSound::open(path)?;
        let header = Header {
            sample_rate_hz: sound.format.sample_rate_hz(),
            channels: sound.format.channels(),
            // What is no integer has more than 16 bits.
            bytes: 4,
            bits: 32,
            encoding: Encoding::Float,
            samples: sound.samples,
        };
        let notes = sound.notes.clone();
        Ok(Opened { header, notes, source: Box::new(Self(sound)) })
    }
}

impl SoundSource for OpusSource {
    fn read(&mut self, _path: &Path, block: &mut Vec<f32>) -> Result {
        let mut more = true;
        while more && block.is_empty() {
            more = self.0.next_packet(
                |_| false,
                |frame, end| {
                    for index in sound_within(frame, end) {
                        block.extend(frame.channels().map(|channel| channel[index]));
                    }
                    Ok(())
                },
            )?;
        }
        Ok(())
    }

    fn late_note(&self) -> Option<String> {
        (self.0.invalid > 0).then(|| format!("{} packets are damaged, and concealed", self.0.invalid))
    }
}
