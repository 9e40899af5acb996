//! From packets to sound.

use super::input::MAX_PAYLOAD;
use super::sync_buffer::SyncBuffer;
use super::{CHUNK_TICKS, JitterBuffer};
use crate::core::format::rescale;
use crate::core::{Format, Frame, Packet, Processor, Result, Stage};
use crate::dsp::{kernels, level};
use crate::opus::{OpusDecodeProcessor, OpusDecodeReading};

const _: () = assert!(MAX_PAYLOAD <= Packet::MAX_BYTES);

/// The decoder, and the sound it has made up to the moment that is played.
pub(super) struct DecoderOutput {
    pub timeline: SyncBuffer,
    /// The timestamp behind the last sound decoded.
    pub head: i64,
    decoder: OpusDecodeProcessor,
    packet: Packet,
    /// The length of the last packet played.
    length: i64,
    /// What the decoder holds back to fill a chunk.
    held_back: i64,
    rate_hz: u32,
    /// The decoder's gain, as a factor of power.
    gain: f32,
}

impl DecoderOutput {
    pub fn new(settings: &JitterBuffer, output: Format) -> Result<Self> {
        Ok(Self {
            timeline: SyncBuffer::new(output),
            head: 0,
            decoder: settings.decoder.prepare(output.with_frame_ms(10)?)?,
            packet: Packet::new(),
            length: 2 * CHUNK_TICKS,
            held_back: 0,
            rate_hz: output.sample_rate_hz(),
            gain: level::db_to_gain(settings.decoder.gain_db).powi(2),
        })
    }

    /// The timestamp of the next sound to be played.
    pub fn playhead(&self) -> i64 {
        let ahead = self.timeline.ahead() as i64;
        self.head - self.held_back - rescale(ahead, self.rate_hz, Packet::CLOCK_HZ)
    }

    /// Adds the sound of a packet; whether it was one.
    pub fn play(&mut self, payload: &[u8], timestamp: i64) -> bool {
        let kept = self.packet.set_bytes(payload, timestamp);
        debug_assert!(kept.is_ok(), "a slot holds less than a packet");
        let length = i64::from(self.packet.duration());
        if length == 0 || !self.decode(length) {
            return false;
        }
        self.length = length;
        self.head = self.head.max(timestamp + length);
        true
    }

    /// The length of the last packet, in ticks.
    pub fn length(&self) -> i64 {
        self.length
    }

    /// Adds what stands for `length` ticks of lost sound, with the help of a packet that came after it.
    pub fn fill(&mut self, length: i64, later: Option<(&[u8], i64)>) {
        let (payload, timestamp) = later.unwrap_or_default();
        let kept = self.packet.set_lost(self.head, length as u32, payload, timestamp);
        debug_assert!(kept.is_ok(), "a slot holds less than a packet");
        self.decode(length);
    }

    /// Adds comfort noise.
    pub fn rest(&mut self, length: i64) {
        self.packet.set_silence(self.head, length as u32);
        self.decode(length);
    }

    /// The stream is over: from here on there is noise.
    pub fn end(&mut self) {
        self.rest(3 * CHUNK_TICKS - self.held_back);
    }

    /// Begins another stream.
    pub fn begin(&mut self, timestamp: i64) {
        self.decoder.restart();
        self.held_back = 0;
        self.head = timestamp;
    }

    /// Forgets all sound.
    pub fn reset(&mut self) {
        self.timeline.reset();
        self.decoder.reset();
        (self.head, self.held_back, self.length) = (0, 0, 2 * CHUNK_TICKS);
    }

    /// Decodes the packet prepared; whether it was one.
    fn decode(&mut self, length: i64) -> bool {
        self.held_back += length;
        while !self.packet.is_empty() {
            match self.decoder.process(&mut self.packet) {
                Ok(Some(chunk)) => {
                    self.held_back -= CHUNK_TICKS;
                    append(&mut self.timeline, chunk);
                }
                Ok(None) => {}
                Err(_) => {
                    self.held_back -= length;
                    return false;
                }
            }
        }
        true
    }

    /// Whether the last packet ended with no more than the background.
    pub fn heard_background(&self) -> bool {
        self.decoder.heard_background()
    }

    /// Whether the next `samples` are no louder than the background.
    pub fn is_background(&self, samples: usize) -> bool {
        let head = self.timeline.head();
        self.timeline.lines().enumerate().all(|(channel, line)| {
            let next = &line[head..line.len().min(head + samples)];
            let power = kernels::energy(next) / next.len().max(1) as f32;
            self.decoder.is_background(channel, power / self.gain)
        })
    }

    /// Where the sound came from so far.
    pub fn reading(&self) -> OpusDecodeReading {
        self.decoder.reading()
    }
}

fn append(timeline: &mut SyncBuffer, chunk: &Frame) {
    timeline.append(chunk.format().samples_per_channel(), |channel, line| {
        if let Some(sound) = chunk.channels().nth(channel) {
            line.copy_from_slice(&sound[..line.len()]);
        }
    });
}
