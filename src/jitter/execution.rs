//! Execution of the decisions: what each [`Operation`] does to the buffers and the counters.

use super::decision::{Operation, Sender, StreamState, Stretch, View, decide};
use super::playout_state::PlayoutState;
use super::reorder_buffer::BufferedPacket;
use super::ticks::{CHUNK_TICKS, TICKS_PER_MS};
use super::time_stretch::Splice;
use crate::core::format::rescale;
use crate::core::{Frame, Packet};

/// Underrun after which the stream is taken to have ended, and the next packet begins it again.
const END_OF_STREAM_TICKS: i64 = 1000 * TICKS_PER_MS;

impl PlayoutState {
    /// Makes the next frame.
    pub fn make_frame(&mut self, frame: &mut Frame) {
        let view = self.view_frame_wanted();
        if self.execute(&view) == Operation::Start {
            // A stream that begins may have piled up.
            let view = self.view_frame_wanted();
            self.execute(&view);
        }
        let samples = self.format.samples_per_channel();
        while self.decoder.sync_buffer.future_len() < samples {
            let view = self.view_sound_wanted();
            self.execute(&view);
        }
        let splice = if self.stream.is_playing() { self.splice() } else { None };

        frame.set_position(rescale(self.position(), Packet::CLOCK_HZ, self.format.sample_rate_hz()));
        frame.clear_detections();
        match splice {
            Some(splice) => self.time_stretch.read_frame(&mut self.decoder.sync_buffer, splice, frame),
            None => self.decoder.sync_buffer.read_frame(frame),
        }
    }

    /// Decides on the next step, but for splices, and takes it.
    fn execute(&mut self, view: &View) -> Operation {
        let operation = decide(view);
        match operation {
            Operation::Normal | Operation::Accelerate(_) | Operation::PreemptiveExpand(_) => {}
            Operation::Start => self.start(),
            Operation::Flush => self.flush(),
            Operation::Restart => self.end_stream(),
            Operation::Decode { skipped } => {
                self.decoder.end_timestamp += skipped;
                self.decode_first();
            }
            Operation::Merge { ticks, packets } => self.merge(ticks, packets),
            Operation::Recover { packets, packet_ticks, to_end } => self.recover(packets, packet_ticks, to_end),
            Operation::Expand => {
                self.decoder.recover(CHUNK_TICKS, None);
                self.filled_in();
            }
            Operation::ComfortNoise => {
                self.decoder.comfort_noise(CHUNK_TICKS);
                self.filled_in();
            }
            Operation::Pause { skipped } => {
                self.decoder.end_timestamp += skipped;
                self.decoder.comfort_noise(CHUNK_TICKS);
                self.decoder.end_timestamp += CHUNK_TICKS;
            }
        }
        operation
    }

    fn start(&mut self) {
        let Some(first) = self.reorder.first().map(|first| first.timestamp) else { return };
        self.set_origin(first);
        self.decoder.begin_stream(first);
        self.reorder.start_at_first();
        self.stream = StreamState::Playing(Sender::Talking);
    }

    fn flush(&mut self) {
        let mut excess = self.excess();
        while excess > 0 && self.reorder.len() > 1 {
            if let Some(packet) = self.pop_first() {
                self.arrivals.recycle(packet.packet);
                self.counters.packets_flushed += 1;
            }
            if let Some(first) = self.reorder.first() {
                let end_timestamp = &mut self.decoder.end_timestamp;
                excess -= (first.timestamp - *end_timestamp).max(0);
                *end_timestamp = first.timestamp.max(*end_timestamp);
            }
        }
        // A leap in the sender's timestamps.
        if let Some(first) = self.reorder.first() {
            self.decoder.end_timestamp += (first.timestamp - self.decoder.end_timestamp).clamp(0, excess.max(0));
        }
    }

    /// Takes the first packet; those before it are missing.
    fn pop_first(&mut self) -> Option<BufferedPacket> {
        self.count_missing(self.first_packet()?.missing);
        let packet = self.reorder.pop_first()?;
        self.redundancy.packet_present(packet.packet.payload(), self.now, self.decoder.packet_ticks());
        Some(packet)
    }

    /// Gives up the next numbers, and the sound up to `end_timestamp`.
    fn give_up(&mut self, packets: i64, end_timestamp: i64) {
        let missing = |state: &Self| state.first_packet().map_or(0, |first| first.missing);
        let before = missing(self);
        (0..packets).for_each(|_| self.reorder.skip_missing());
        self.decoder.end_timestamp = end_timestamp;
        self.count_missing(before - missing(self));
    }

    fn count_missing(&mut self, packets: i64) {
        (0..packets).for_each(|_| self.redundancy.packet_missing());
        self.counters.packets_missing += packets.max(0) as u64;
    }

    fn merge(&mut self, ticks: i64, packets: i64) {
        if let StreamState::Underrun { sender, .. } = self.stream {
            self.stream = StreamState::Playing(sender);
        }
        self.give_up(packets, self.decoder.end_timestamp + ticks);
    }

    fn recover(&mut self, packets: i64, packet_ticks: i64, to_end: bool) {
        let Some(first) = self.reorder.first() else { return };
        let (ticks, timestamp) = (packets * packet_ticks, first.timestamp);
        let before = self.decoder.reading();
        self.decoder.recover(ticks, Some((first.packet.payload(), timestamp)));
        let after = self.decoder.reading();
        let rebuilt = (after.fec_ms + after.dred_ms - before.fec_ms - before.dred_ms) as i64 * TICKS_PER_MS;
        self.counters.packets_repaired += ((rebuilt + packet_ticks / 2) / packet_ticks) as u64;
        self.give_up(packets, if to_end { timestamp } else { self.decoder.end_timestamp + ticks });
    }

    /// Takes note of a chunk for which no packet was there.
    fn filled_in(&mut self) {
        let (sender, filled) = match self.stream {
            StreamState::Buffering => return,
            StreamState::Playing(sender) => (sender, CHUNK_TICKS),
            StreamState::Underrun { sender, filled } => (sender, filled + CHUNK_TICKS),
        };
        self.stream = StreamState::Underrun { sender, filled };
        // A sender that said it is silent may be so for any time.
        if filled >= END_OF_STREAM_TICKS && sender == Sender::Talking {
            self.end_stream();
        }
    }

    fn decode_first(&mut self) {
        let Some(BufferedPacket { timestamp, packet, .. }) = self.pop_first() else { return };
        let payload = packet.payload();
        let valid = self.decoder.decode(payload, timestamp);
        let is_dtx = payload.len() <= 2;
        self.arrivals.recycle(packet);
        if valid {
            self.stream = StreamState::Playing(if is_dtx { Sender::Dtx } else { Sender::Talking });
        } else {
            self.packets_undecodable += 1;
            let ticks = self.decoder.packet_ticks();
            self.decoder.end_timestamp = self.decoder.end_timestamp.max(timestamp);
            self.decoder.recover(ticks, None);
            self.decoder.end_timestamp += ticks;
        }
    }

    /// The splice with which this frame is played faster or slower.
    fn splice(&mut self) -> Option<Splice> {
        let view = self.view_frame_ready();
        let samples = self.format.samples_per_channel();
        let lag = |max_ticks| rescale(max_ticks, Packet::CLOCK_HZ, self.format.sample_rate_hz()) as usize;
        let (splice, min_correlation) = match decide(&view) {
            Operation::Accelerate(Stretch { max_ticks, min_correlation }) => {
                let max_lag = lag(max_ticks);
                self.decode_ahead(self.time_stretch.required_len(samples));
                (self.time_stretch.find_forward(&self.decoder.sync_buffer, samples, max_lag)?, min_correlation)
            }
            Operation::PreemptiveExpand(Stretch { max_ticks, min_correlation }) => {
                let max_lag = lag(max_ticks);
                (self.time_stretch.find_back(&self.decoder.sync_buffer, samples, max_lag)?, min_correlation)
            }
            _ => return None,
        };
        if splice.correlation < min_correlation {
            return None;
        }
        self.stretch_control.spliced();
        let ms = self.format.ms(splice.lag.unsigned_abs());
        if splice.lag > 0 {
            self.counters.removed_for_acceleration_ms += ms;
        } else {
            self.counters.inserted_for_deceleration_ms += ms;
        }
        Some(splice)
    }

    /// Decodes packets that follow without a gap until the sync buffer holds `samples`.
    fn decode_ahead(&mut self, samples: usize) {
        while self.decoder.sync_buffer.future_len() < samples
            && self.reorder.next().is_some_and(|next| next.timestamp <= self.decoder.end_timestamp)
        {
            self.decode_first();
        }
    }
}
