//! Decoder output: packets and gaps to sound in the sync buffer.

use super::input::MAX_PAYLOAD_BYTES;
use super::sync_buffer::SyncBuffer;
use super::ticks::CHUNK_TICKS;
use crate::core::format::rescale;
use crate::core::{Format, Packet, Processor, Result, Stage};
use crate::dsp::{kernels, level};
use crate::opus::{OpusDecode, OpusDecodeProcessor, OpusDecodeReading};

const _: () = assert!(MAX_PAYLOAD_BYTES <= Packet::MAX_BYTES);

/// Length of a packet until one was decoded: 20 ms.
const DEFAULT_PACKET_TICKS: i64 = 2 * CHUNK_TICKS;

/// Decoder, and the sound it has made up to the moment that is played.
pub(super) struct DecoderOutput {
    pub sync_buffer: SyncBuffer,
    /// Timestamp behind the last sound made.
    pub end_timestamp: i64,
    decoder: OpusDecodeProcessor,
    packet: Packet,
    /// Length of the last packet decoded.
    packet_ticks: i64,
    /// Sound that the decoder holds back until it fills a chunk.
    held_back: i64,
    rate_hz: u32,
    /// Gain of the decoder, as a factor of power.
    power_gain: f32,
}

impl DecoderOutput {
    pub fn new(settings: OpusDecode, output: Format) -> Result<Self> {
        Ok(Self {
            sync_buffer: SyncBuffer::new(output),
            end_timestamp: 0,
            decoder: settings.prepare(output.with_frame_ms(10)?)?,
            packet: Packet::new(),
            packet_ticks: DEFAULT_PACKET_TICKS,
            held_back: 0,
            rate_hz: output.sample_rate_hz(),
            power_gain: power_gain(settings),
        })
    }

    /// Takes on other settings, checked already.
    pub fn configure(&mut self, settings: OpusDecode) {
        let done = self.decoder.apply(settings);
        debug_assert!(done.is_ok(), "settings are checked");
        self.power_gain = power_gain(settings);
    }

    /// Forgets all sound.
    pub fn reset(&mut self) {
        self.sync_buffer.reset();
        self.decoder.reset();
        (self.end_timestamp, self.held_back, self.packet_ticks) = (0, 0, DEFAULT_PACKET_TICKS);
    }

    /// Timestamp of the next sound to be played.
    pub fn playout_timestamp(&self) -> i64 {
        let future = self.sync_buffer.future_len() as i64;
        self.end_timestamp - self.held_back - rescale(future, self.rate_hz, Packet::CLOCK_HZ)
    }

    /// Length of the last packet, in ticks.
    pub fn packet_ticks(&self) -> i64 {
        self.packet_ticks
    }

    /// Adds the sound of a packet; `false` if it is not Opus.
    pub fn decode(&mut self, payload: &[u8], timestamp: i64) -> bool {
        let kept = self.packet.set_bytes(payload, timestamp);
        debug_assert!(kept.is_ok(), "a payload is shorter than a packet may be");
        let ticks = i64::from(self.packet.duration());
        if ticks == 0 || !self.run(ticks) {
            return false;
        }
        self.packet_ticks = ticks;
        self.end_timestamp = self.end_timestamp.max(timestamp + ticks);
        true
    }

    /// Adds what stands for `ticks` of lost sound at the end, with the help of a packet that came after it.
    pub fn recover(&mut self, ticks: i64, later: Option<(&[u8], i64)>) {
        let (payload, timestamp) = later.unwrap_or_default();
        let kept = self.packet.set_lost(self.end_timestamp, ticks as u32, payload, timestamp);
        debug_assert!(kept.is_ok(), "a payload is shorter than a packet may be");
        self.run(ticks);
    }

    /// Adds comfort noise.
    pub fn comfort_noise(&mut self, ticks: i64) {
        self.packet.set_silence(self.end_timestamp, ticks as u32);
        self.run(ticks);
    }

    /// Ends the stream: the sound fades over to comfort noise.
    pub fn end_stream(&mut self) {
        self.comfort_noise(3 * CHUNK_TICKS - self.held_back);
    }

    /// Begins another stream.
    pub fn begin_stream(&mut self, timestamp: i64) {
        self.decoder.restart();
        self.held_back = 0;
        self.end_timestamp = timestamp;
    }

    /// Runs the decoder on the packet prepared; `false` if it is not Opus.
    fn run(&mut self, ticks: i64) -> bool {
        self.held_back += ticks;
        while !self.packet.is_empty() {
            match self.decoder.process(&mut self.packet) {
                Ok(Some(chunk)) => {
                    self.held_back -= CHUNK_TICKS;
                    let samples = chunk.format().samples_per_channel();
                    self.sync_buffer.append(samples, |index, to| {
                        if let Some(sound) = chunk.channels().nth(index) {
                            to.copy_from_slice(&sound[..to.len()]);
                        }
                    });
                }
                Ok(None) => {}
                Err(_) => {
                    self.held_back -= ticks;
                    return false;
                }
            }
        }
        true
    }

    /// Whether the last packet ended in background noise.
    pub fn ended_in_background(&self) -> bool {
        self.decoder.heard_background()
    }

    /// Whether the next `samples` are no louder than the background noise.
    pub fn is_background(&self, samples: usize) -> bool {
        let from = self.sync_buffer.next_index();
        self.sync_buffer.channels().enumerate().all(|(index, channel)| {
            let next = &channel[from..channel.len().min(from + samples)];
            let power = kernels::energy(next) / next.len().max(1) as f32;
            self.decoder.is_background(index, power / self.power_gain)
        })
    }

    /// Sound made so far, by where it came from.
    pub fn reading(&self) -> OpusDecodeReading {
        self.decoder.reading()
    }
}

fn power_gain(settings: OpusDecode) -> f32 {
    level::db_to_gain(settings.gain_db).powi(2)
}
