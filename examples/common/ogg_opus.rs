//! Ogg Opus files by their names.

use std::fs::File;
use std::io::{BufWriter, Read};
use std::path::{Path, PathBuf};

use voxframe::Packet;
use voxframe::ogg::{OggDamage, OggError, OggHead, OggReader, OggWriter};
use voxframe_testkit::file_kind::file_kind;

use super::input::{SoundInput, check_is_file};
use super::output::Output;
use super::{Of, Result};

/// An Ogg Opus file being read.
pub struct OpusInput {
    path: PathBuf,
    ogg: OggReader<File>,
}

/// A packet with what the reader says of it.
pub struct FilePacket {
    pub packet: Packet,
    pub head: OggHead,
    pub stream: usize,
    pub end: i64,
}

impl OpusInput {
    /// Opens a file; if it is no Ogg file, the error says what it is.
    pub fn open(path: &Path) -> Result<Self> {
        check_is_file(path)?;
        match OggReader::new(File::open(path).of(path)?) {
            Err(OggError::NotOgg) => {
                let mut head = Vec::new();
                File::open(path).of(path)?.take(8).read_to_end(&mut head).of(path)?;
                Err(format!("not an Ogg file but {}", file_kind(&head))).of(path)
            }
            ogg => Ok(Self { path: path.to_owned(), ogg: ogg.of(path)? }),
        }
    }

    /// The next packet; none at the end.
    pub fn next_packet(&mut self) -> Result<Option<FilePacket>> {
        let mut packet = Packet::new();
        let found = self.ogg.read(&mut packet).of(&self.path)?;
        let (head, stream, end) = (self.ogg.head(), self.ogg.stream(), self.ogg.end());
        Ok(found.then_some(FilePacket { packet, head, stream, end }))
    }

    /// What was wrong with the file so far, and did not keep it from being read.
    pub fn damage(&self) -> Vec<String> {
        let OggDamage { skipped_bytes, lost_pages, invalid_packets, truncated, .. } = self.ogg.damage();
        let mut notes = Vec::new();
        if truncated {
            notes.push("cut short: its last Ogg page is not whole".to_owned());
        } else if skipped_bytes > 0 {
            notes.push(format!("damaged: {skipped_bytes} bytes are in no whole Ogg page"));
        }
        if lost_pages > 0 || invalid_packets > 0 {
            notes.push(format!("damaged: {lost_pages} Ogg pages are missing, {invalid_packets} packets are not Opus"));
        }
        notes
    }
}

/// An Ogg Opus file being written.
pub struct OpusOutput {
    // Before the file that it writes to, so that it is dropped first.
    ogg: OggWriter<BufWriter<File>>,
    output: Output,
    /// Length of the sound, in ticks.
    duration: i64,
    full: bool,
    packet_ticks: u32,
    pub packets: u64,
    pub bytes: u64,
}

impl OpusOutput {
    /// For all of `input`, encoded with this many channels.
    pub fn create(path: &Path, channels: usize, input: &SoundInput) -> Result<Self> {
        let (output, file) = Output::create(path)?;
        let head = OggHead { channels, input_rate_hz: input.header().sample_rate_hz, ..OggHead::default() };
        let ogg = OggWriter::new(file, head).of(path)?;
        let duration = input.samples_at(Packet::CLOCK_HZ) as i64;
        Ok(Self { ogg, output, duration, full: false, packet_ticks: 0, packets: 0, bytes: 0 })
    }

    /// Writes the next packet; one that begins behind the end is dropped.
    pub fn write(&mut self, packet: &Packet) -> Result {
        if self.full {
            return Ok(());
        }
        self.full = packet.position() + i64::from(packet.duration()) >= self.duration;
        self.packet_ticks = packet.duration();
        self.packets += 1;
        self.bytes += packet.as_bytes().len() as u64;
        self.ogg.write(packet).of(self.output.path())
    }

    /// Length of a packet in ms: all have the same.
    pub fn packet_ms(&self) -> f64 {
        self.packet_ticks as f64 / 48.0
    }

    /// The bit rate of the packets so far, without what Ogg adds.
    pub fn bitrate_kbps(&self) -> f64 {
        self.bytes as f64 * 8.0 / (self.packet_ms() * self.packets as f64).max(1.0)
    }

    /// Whether the packets so far hold all the sound.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// Completes the file, but for its name.
    pub fn finish(self) -> Result<Output> {
        self.ogg.finish_at(self.duration).of(self.output.path())?;
        Ok(self.output)
    }
}
