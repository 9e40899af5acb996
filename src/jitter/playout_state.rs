//! State of the playout side: the buffers, the playout clock, and the delay against its target.

use super::decision::{FirstPacket, StreamState, View};
use super::decoder_output::DecoderOutput;
use super::delay_manager::DelayManager;
use super::input::Arrivals;
use super::reading::JitterBufferReading;
use super::redundancy_wait::RedundancyWait;
use super::reorder_buffer::{Arrival, ReorderBuffer};
use super::settings::JitterBuffer;
use super::stretch_control::StretchControl;
use super::ticks::{TICKS_PER_MS, ms, ticks};
use super::time_stretch::TimeStretch;
use crate::core::{Format, Result};
use crate::opus::packet::Layout;

/// How much earlier than the fastest packet lately one can come. With a timestamp beyond, something is wrong.
const MAX_EARLY_TICKS: i64 = 1000 * TICKS_PER_MS;

/// All that the playout thread keeps. Times are in ticks.
pub(super) struct PlayoutState {
    pub settings: JitterBuffer,
    pub format: Format,
    pub arrivals: Arrivals,
    pub reorder: ReorderBuffer,
    pub delay: DelayManager,
    pub redundancy: RedundancyWait,
    pub decoder: DecoderOutput,
    pub stretch_control: StretchControl,
    pub time_stretch: TimeStretch,
    pub stream: StreamState,
    /// Playout clock: what was pulled so far.
    pub now: i64,
    /// When the last packet came.
    last_arrival: i64,
    /// Timestamp of position 0.
    origin: Option<i64>,
    /// Position at which the next stream begins.
    next_stream_position: i64,
    /// Counters; the rest is filled in by [`reading`](Self::reading).
    pub counters: JitterBufferReading,
    /// Packets that are not Opus.
    pub packets_undecodable: u64,
    /// Packets refused before the last reset.
    refused_before: u64,
}

impl PlayoutState {
    pub fn new(settings: JitterBuffer, output: Format, arrivals: Arrivals) -> Result<Self> {
        let start_delay = ticks(settings.start_delay_ms);
        Ok(Self {
            settings,
            format: output,
            arrivals,
            reorder: ReorderBuffer::new(),
            delay: DelayManager::new(settings.quantile, settings.forget_factor, start_delay),
            redundancy: RedundancyWait::new(),
            decoder: DecoderOutput::new(settings.decoder, output)?,
            stretch_control: StretchControl::new(output.frame_ms()),
            time_stretch: TimeStretch::new(output),
            stream: StreamState::Buffering,
            now: 0,
            last_arrival: 0,
            origin: None,
            next_stream_position: 0,
            counters: JitterBufferReading::default(),
            packets_undecodable: 0,
            refused_before: 0,
        })
    }

    /// Takes on other settings, checked already.
    pub fn configure(&mut self, settings: JitterBuffer) {
        self.delay.configure(settings.quantile, settings.forget_factor, ticks(settings.start_delay_ms));
        self.decoder.configure(settings.decoder);
        self.settings = settings;
    }

    /// As if just opened.
    pub fn reset(&mut self) {
        while let Some(packet) = self.arrivals.next() {
            self.arrivals.recycle(packet);
        }
        let arrivals = &mut self.arrivals;
        self.reorder.reset(|packet| arrivals.recycle(packet));
        self.delay.reset();
        self.redundancy = RedundancyWait::new();
        self.decoder.reset();
        self.stretch_control.reset();
        self.stream = StreamState::Buffering;
        (self.now, self.last_arrival, self.origin, self.next_stream_position) = (0, 0, None, 0);
        self.counters = JitterBufferReading::default();
        self.packets_undecodable = 0;
        self.refused_before = self.arrivals.refused();
    }

    /// Takes in what has arrived since the last frame.
    pub fn receive(&mut self) {
        while let Some(packet) = self.arrivals.next() {
            let arrivals = &mut self.arrivals;
            let latest = self.delay.min_delay().map_or(i64::MAX, |min_delay| self.now - min_delay + MAX_EARLY_TICKS);
            let recycle = |packet| arrivals.recycle(packet);
            let (arrival, timestamp) = self.reorder.insert(packet, self.now, latest, recycle);
            self.last_arrival = self.now;
            self.counters.packets_received += 1;
            match arrival {
                Arrival::InOrder | Arrival::Empty | Arrival::Stray => {}
                Arrival::Reordered => self.counters.packets_reordered += 1,
                Arrival::NewStream => self.expect_stream(),
                Arrival::Duplicate => self.counters.packets_duplicated += 1,
                Arrival::Late => self.counters.packets_late += 1,
            }
            if let Some(timestamp) = timestamp {
                self.delay.packet_arrived(self.now, timestamp);
            }
        }
        self.delay.advance(self.now);
    }

    /// Another stream: what was played fades out, and the first packets wait again.
    fn expect_stream(&mut self) {
        self.delay.begin_stream();
        if self.stream.is_playing() {
            self.counters.stream_restarts += 1;
            self.end_stream();
        }
        self.next_stream_position = self.position();
        self.origin = None;
    }

    /// Ends the stream.
    pub fn end_stream(&mut self) {
        self.decoder.end_stream();
        self.stream = StreamState::Buffering;
    }

    /// Lets timestamps of the stream that begins with this one count on from the position reached.
    pub fn set_origin(&mut self, first_timestamp: i64) {
        self.origin.get_or_insert(first_timestamp - self.next_stream_position);
    }

    /// Position of the next sound to be played, in ticks.
    pub fn position(&self) -> i64 {
        self.origin.map_or(self.next_stream_position, |origin| self.decoder.playout_timestamp() - origin)
    }

    /// What the step in making a frame is decided from.
    pub fn view_frame_wanted(&self) -> View {
        let (stream, first) = (self.stream, self.first_packet());
        let excess = match (stream, self.reorder.first()) {
            (StreamState::Buffering, Some(first)) => self.delay_at(first.timestamp) - self.target_delay(),
            _ => self.excess(),
        };
        // Without an arrival to compare with there is nothing to begin with.
        View::FrameWanted { state: stream, first: first.filter(|_| self.delay.min_delay().is_some()), excess }
    }

    /// The same for the next one.
    pub fn view_sound_wanted(&self) -> View {
        View::SoundWanted {
            state: self.stream,
            first: self.first_packet(),
            excess: self.excess(),
            after_background: self.decoder.ended_in_background(),
        }
    }

    /// The same for the last one, while a stream plays.
    pub fn view_frame_ready(&mut self) -> View {
        let is_background = self.decoder.is_background(self.format.samples_per_channel());
        let excess = if is_background { self.excess() } else { self.excess_in_speech() };
        View::FrameReady { state: self.stream, stretch: self.stretch_control.observe(excess, is_background) }
    }

    pub fn first_packet(&self) -> Option<FirstPacket> {
        let first = self.reorder.first()?;
        let layout = Layout::of(first.packet.payload());
        let gap = first.timestamp - self.decoder.end_timestamp;
        let packet_ticks = layout.map_or(self.decoder.packet_ticks(), |layout| layout.ticks().into());
        // Some of the numbers may have been those of packets without sound, such as padding.
        let max_missing = (gap + packet_ticks - 1) / packet_ticks;
        Some(FirstPacket {
            missing: self.reorder.missing_before_first().min(max_missing.max(0)),
            gap,
            has_fec: layout.is_some_and(|layout| layout.has_fec()),
        })
    }

    /// Delay of the fastest packets if the sound of a timestamp is played now.
    fn delay_at(&self, timestamp: i64) -> i64 {
        self.now - timestamp - self.delay.min_delay().unwrap_or(self.now)
    }

    fn current_delay(&self) -> i64 {
        self.delay_at(self.decoder.playout_timestamp())
    }

    /// Target delay without a wait for redundancy.
    fn jitter_target(&self) -> i64 {
        let (min, max) = self.settings.delay_range();
        self.delay.target_delay().clamp(min, max)
    }

    /// Target delay with a wait for redundancy.
    fn target_with(&self, redundancy_wait: i64) -> i64 {
        let jitter = self.jitter_target();
        // The packet that rebuilds what is missing comes neither with the first nor with the last.
        let both = if redundancy_wait > 0 { (redundancy_wait + jitter / 2).max(jitter) } else { jitter };
        both.min(self.settings.delay_range().1)
    }

    fn max_redundancy_wait(&self) -> i64 {
        ticks(self.settings.max_redundancy_wait_ms)
    }

    fn redundancy_wait(&self) -> i64 {
        self.redundancy.wait(self.now, self.decoder.packet_ticks())
    }

    fn target_delay(&self) -> i64 {
        self.target_with(self.redundancy_wait().min(self.max_redundancy_wait()))
    }

    /// Sound that lies waiting: from what is played next to the newest packet, and as much of its sound as is due by now.
    fn waiting(&self) -> i64 {
        self.reorder.newest().map_or(0, |(timestamp, arrival)| {
            timestamp + (self.now - arrival).min(self.decoder.packet_ticks()) - self.decoder.playout_timestamp()
        })
    }

    /// Delay less a target delay; no more than lies waiting beyond it, because behind a step in latency nothing does.
    fn excess_over(&self, target: i64) -> i64 {
        (self.current_delay() - target).min((self.waiting() - target).max(0))
    }

    /// Delay less its target.
    pub fn excess(&self) -> i64 {
        self.excess_over(self.target_delay())
    }

    /// The same while somebody speaks: the wait for redundancy then grows only in gaps, and gets shorter only in pauses.
    fn excess_in_speech(&self) -> i64 {
        let max_wait = if self.redundancy_wait() > 0 { self.max_redundancy_wait() } else { 0 };
        self.excess_over(self.target_with(max_wait)).max(0) + (self.current_delay() - self.jitter_target()).min(0)
    }

    /// Statistics behind the frame just made.
    pub fn reading(&mut self) -> JitterBufferReading {
        let frame_ms = f64::from(self.format.frame_ms());
        let decoded = self.decoder.reading();
        let delay = self.current_delay() + i64::from(self.format.frame_ms()) * TICKS_PER_MS;
        let (playing, target_delay) = (self.stream.is_playing(), self.target_delay());

        let reading = &mut self.counters;
        let filled_before = reading.concealed_ms + reading.comfort_noise_ms;
        reading.concealed_ms = decoded.concealed_ms as f64;
        reading.comfort_noise_ms = decoded.comfort_ms as f64;
        reading.fec_ms = decoded.fec_ms as f64;
        reading.dred_ms = decoded.dred_ms as f64;
        let filled = (reading.concealed_ms + reading.comfort_noise_ms - filled_before) / frame_ms;
        reading.concealment_rate += (filled.min(1.0) as f32 - reading.concealment_rate) * frame_ms as f32 / 2000.0;
        reading.packet_loss_rate = self.redundancy.loss_rate();
        reading.packets_invalid = self.packets_undecodable + self.reorder.strays();
        reading.packets_discarded = reading.packets_late + reading.packets_flushed;
        reading.packets_lost = reading.packets_missing.saturating_sub(reading.packets_late);
        reading.packets_refused = self.arrivals.refused().saturating_sub(self.refused_before);
        reading.playing = playing;
        reading.playout_timestamp = playing.then(|| self.decoder.playout_timestamp() as u32);
        reading.since_last_packet_ms = (self.now - self.last_arrival) as f64 / TICKS_PER_MS as f64;
        reading.jitter_buffer_delay_ms = if playing { ms(delay) } else { 0.0 };
        reading.jitter_buffer_target_delay_ms = ms(target_delay);
        *reading
    }
}
