//! The playout thread's end of a jitter buffer.

use super::decoder_output::DecoderOutput;
use super::delay_manager::DelayManager;
use super::input::Arrivals;
use super::redundancy::RedundancyWait;
use super::reorder_buffer::{Arrival, Ordered, ReorderBuffer};
use super::stats::{JitterBufferReading, JitterBufferStatistics};
use super::stretch_control::{Pressure, StretchControl};
use super::time_stretch::Splice;
use super::{CHUNK_TICKS, JitterBuffer, TICKS_PER_MS, ticks};
use crate::core::format::rescale;
use crate::core::{Format, Frame, Packet, Result, Source};
use crate::opus::packet::Layout;

/// The longest and the shortest packet (RFC 6716, section 3.2).
const LONGEST_TICKS: i64 = 120 * TICKS_PER_MS;
const SHORTEST_TICKS: i64 = 5 * TICKS_PER_MS / 2;

/// Too long a delay by more, packets are left out: playing 15 % faster would take over 3 s.
const HOPELESS_TICKS: i64 = 500 * TICKS_PER_MS;

/// After so long without a packet the stream is taken to have ended, and the next one begins it again.
const OVER_TICKS: i64 = 1000 * TICKS_PER_MS;

/// The playout thread's end of a [`JitterBuffer`]: gives a frame whenever one is wanted.
pub struct JitterBufferOutput {
    settings: JitterBuffer,
    arrivals: Arrivals,
    order: ReorderBuffer,
    target: DelayManager,
    losses: RedundancyWait,
    line: DecoderOutput,
    pace: StretchControl,
    out: Frame,
    /// The playout clock: what was pulled so far.
    now: i64,
    /// The timestamp of position 0.
    origin: Option<i64>,
    /// The position at which another stream goes on.
    resume_at: i64,
    playing: bool,
    /// How much was filled in since nothing was there.
    waited: i64,
    /// The last packet said that the sender is silent.
    silent: bool,
    reading: JitterBufferReading,
    statistics: JitterBufferStatistics,
}

impl JitterBufferOutput {
    pub(super) fn new(
        settings: JitterBuffer,
        output: Format,
        arrivals: Arrivals,
        statistics: JitterBufferStatistics,
    ) -> Result<Self> {
        Ok(Self {
            settings,
            arrivals,
            order: ReorderBuffer::new(),
            target: DelayManager::new(settings.quantile, settings.forgetting, ticks(settings.start_delay_ms)),
            losses: RedundancyWait::new(),
            line: DecoderOutput::new(&settings, output)?,
            pace: StretchControl::new(output),
            out: Frame::new(output),
            now: 0,
            origin: None,
            resume_at: 0,
            playing: false,
            waited: 0,
            silent: false,
            reading: JitterBufferReading::default(),
            statistics,
        })
    }

    /// What the buffer tells.
    pub fn statistics(&self) -> JitterBufferStatistics {
        self.statistics.clone()
    }

    /// Takes in what has arrived since the last frame.
    fn receive(&mut self) {
        while let Some(slot) = self.arrivals.next() {
            let arrivals = &mut self.arrivals;
            let (arrival, timestamp) = self.order.insert(slot, |slot| arrivals.recycle(slot));
            self.reading.received += 1;
            match arrival {
                Arrival::Kept => {}
                Arrival::Reordered => self.reading.reordered += 1,
                Arrival::Restarted => self.restart(),
                Arrival::Duplicate => self.reading.duplicates += 1,
                Arrival::Late => self.reading.late += 1,
                Arrival::Stray => self.reading.invalid += 1,
            }
            if !matches!(arrival, Arrival::Duplicate | Arrival::Stray) {
                self.target.arrived(self.now, timestamp);
            }
        }
    }

    /// Another stream: what was played fades out, and the first packets wait again.
    fn restart(&mut self) {
        self.target.restart();
        if self.playing {
            self.reading.restarts += 1;
            self.end();
        }
        self.resume_at = self.position(self.line.playhead());
        self.origin = None;
    }

    fn end(&mut self) {
        self.line.end();
        self.silent = false;
        self.waited = 0;
        self.playing = false;
    }

    /// Begins to play once the first packet has waited long enough.
    fn begin(&mut self) {
        let (Some(first), Some(base)) = (self.order.first(), self.target.base()) else { return };
        if self.now - first.timestamp < base + self.wanted() {
            return;
        }
        self.origin.get_or_insert(first.timestamp - self.resume_at);
        self.line.begin(first.timestamp);
        self.order.begin();
        self.playing = true;
    }

    /// A timestamp as a position.
    fn position(&self, timestamp: i64) -> i64 {
        self.origin.map_or(self.resume_at, |origin| timestamp - origin)
    }

    /// How long the fastest packets should wait for the slower ones.
    fn jitter(&self) -> i64 {
        let (least, most) = self.settings.delays();
        self.target.target().clamp(least, most)
    }

    /// How long they should wait if redundancy needs so much.
    fn with(&self, redundancy: i64) -> i64 {
        let jitter = self.jitter();
        // The packet that rebuilds what is missing comes neither with the first nor with the last.
        let both = if redundancy > 0 { (redundancy + jitter / 2).max(jitter) } else { jitter };
        both.min(self.settings.delays().1)
    }

    /// The longest wait for redundancy.
    fn longest_wait(&self) -> i64 {
        ticks(self.settings.wait_for_redundancy_ms)
    }

    /// How long they should wait.
    fn wanted(&self) -> i64 {
        self.with(self.losses.wait(self.now, self.line.length()).min(self.longest_wait()))
    }

    /// How long they wait now.
    fn delay(&self) -> i64 {
        self.now - self.line.playhead() - self.target.base().unwrap_or(self.now)
    }

    /// By how much they wait too long.
    fn excess(&self) -> i64 {
        self.delay() - self.wanted()
    }

    /// The same while somebody speaks: the wait for redundancy then grows only in gaps, and gets shorter only in pauses.
    fn excess_in_speech(&self) -> i64 {
        let longest = if self.losses.wait(self.now, self.line.length()) > 0 { self.longest_wait() } else { 0 };
        let delay = self.delay();
        (delay - self.with(longest)).max(0) + (delay - self.jitter()).min(0)
    }

    /// Leaves packets out if so much has piled up that playing faster would take too long.
    fn leave_out(&mut self) {
        let mut excess = self.excess();
        if excess <= HOPELESS_TICKS {
            return;
        }
        while excess > 0 && self.order.held() > 1 {
            if let Some(packet) = self.pop() {
                self.arrivals.recycle(packet.slot);
                self.reading.skipped += 1;
            }
            if let Some(first) = self.order.first() {
                excess -= (first.timestamp - self.line.head).max(0);
                self.line.head = self.line.head.max(first.timestamp);
            }
        }
        // A leap in the sender's timestamps.
        if let Some(first) = self.order.first() {
            self.line.head += (first.timestamp - self.line.head).clamp(0, excess.max(0));
        }
    }

    /// Takes the first packet; those before it are missing.
    fn pop(&mut self) -> Option<Ordered> {
        let due = self.order.next();
        let packet = self.order.pop()?;
        self.miss(packet.sequence - due);
        self.losses.present(packet.slot.payload(), self.now, self.line.length());
        Some(packet)
    }

    /// Takes note of so many packets that are not there in time.
    fn miss(&mut self, count: i64) {
        (0..count).for_each(|_| self.losses.missing());
        self.reading.missing += count.max(0) as u64;
    }

    /// Adds what comes next: a packet, or what stands for it.
    fn next_sound(&mut self) {
        let Some(first) = self.order.first() else { return self.wait() };
        let missing = first.sequence - self.order.next();
        let gap = first.timestamp - self.line.head;
        if self.waited > 0 {
            self.catch_up(gap, missing);
            return self.next_sound();
        }
        if gap <= 0 {
            self.play();
        } else if self.silent || missing == 0 {
            self.pause(gap);
        } else {
            self.fill(gap, missing);
        }
    }

    /// Lets what was filled in while nothing was there stand for what is missing: only as far as the delay is long
    /// enough without. Where it is too short it has now grown, and nothing is lost that can be rebuilt.
    fn catch_up(&mut self, gap: i64, missing: i64) {
        let most = std::mem::take(&mut self.waited).min(gap).min(self.excess());
        let Some(first) = self.order.first().filter(|_| most >= CHUNK_TICKS) else { return };
        // Forward error correction rebuilds a whole packet or nothing.
        let whole = missing > 0 && Layout::of(first.slot.payload()).is_some_and(|layout| layout.has_fec());
        let unit = if whole { gap / missing } else { SHORTEST_TICKS };
        let filled = most / unit.max(SHORTEST_TICKS) * unit;
        let passed = (filled * missing / gap).min(missing - 1).max(0);
        (0..passed).for_each(|_| self.order.pass());
        self.miss(passed);
        self.line.head += filled;
    }

    /// Goes on with a pause of the sender until the first packet, in `gap` ticks. It can be of any length: as long as
    /// brings the delay to where it should be.
    fn pause(&mut self, gap: i64) {
        let timestamp = self.line.head + gap;
        self.line.head = timestamp - (gap - self.excess()).max(0);
        if timestamp - self.line.head < CHUNK_TICKS {
            self.line.head = timestamp;
            self.play();
        } else {
            self.line.rest(CHUNK_TICKS);
            self.line.head += CHUNK_TICKS;
        }
    }

    /// Fills in for the first of `missing` packets in a gap, with the help of the one after it.
    fn fill(&mut self, gap: i64, missing: i64) {
        let length = (gap / missing / SHORTEST_TICKS * SHORTEST_TICKS).clamp(SHORTEST_TICKS, LONGEST_TICKS);
        // What redundancy does not reach packet by packet it may reach in one go.
        let count = ((gap - LONGEST_TICKS + length - 1) / length).clamp(1, (LONGEST_TICKS / length).min(missing));
        let filled = count * length;
        let Some(first) = self.order.first() else { return };
        let timestamp = first.timestamp;
        let before = self.line.reading();
        self.line.fill(filled, Some((first.slot.payload(), timestamp)));
        let after = self.line.reading();
        let rebuilt = (after.fec_ms + after.dred_ms - before.fec_ms - before.dred_ms) as i64 * TICKS_PER_MS;
        self.reading.rebuilt += ((rebuilt + length / 2) / length) as u64;
        let last = missing == count && gap - filled < SHORTEST_TICKS;
        self.line.head = if last { timestamp } else { self.line.head + filled };
        (0..count).for_each(|_| self.order.pass());
        self.miss(count);
    }

    /// Nothing is there: fills in.
    fn wait(&mut self) {
        // Behind background the sender has probably paused (DTX), and noise is continued by noise.
        if self.silent || self.line.heard_background() {
            self.line.rest(CHUNK_TICKS);
        } else {
            self.line.fill(CHUNK_TICKS, None);
        }
        self.waited += CHUNK_TICKS;
        if self.waited >= OVER_TICKS && !self.silent {
            self.end();
        }
    }

    /// Decodes the first packet.
    fn play(&mut self) {
        let Some(packet) = self.pop() else { return };
        let payload = packet.slot.payload();
        let valid = self.line.play(payload, packet.timestamp);
        let (silent, empty) = ((1..=2).contains(&payload.len()), payload.is_empty());
        self.arrivals.recycle(packet.slot);
        if valid {
            self.silent = silent;
        } else if !empty {
            self.reading.invalid += 1;
            self.line.head = self.line.head.max(packet.timestamp);
            let length = self.line.length();
            self.line.fill(length, None);
            self.line.head += length;
        }
    }

    /// Where to jump in this frame, so that the delay comes nearer to where it should be.
    fn splice(&mut self) -> Option<Splice> {
        let samples = self.out.format().samples_per_channel();
        let passive = self.line.is_background(samples);
        let pressure = Pressure { excess: if passive { self.excess() } else { self.excess_in_speech() }, passive };
        let wants = self.pace.wants(pressure).filter(|_| self.waited == 0)?;
        while self.line.timeline.ahead() < wants && self.is_next_there() {
            self.next_sound();
        }
        let splice = self.pace.splice(&self.line.timeline, pressure)?;
        let ms = self.out.format().ms(splice.jump.unsigned_abs());
        if splice.jump > 0 {
            self.reading.accelerated_ms += ms
        } else {
            self.reading.expanded_ms += ms
        }
        Some(splice)
    }

    /// Whether the next packet is there and follows without a gap.
    fn is_next_there(&self) -> bool {
        self.waited == 0 && self.order.get(self.order.next()).is_some_and(|next| next.timestamp <= self.line.head)
    }

    fn publish(&mut self) {
        let line = self.line.reading();
        let reading = &mut self.reading;
        let before = reading.concealed_ms + reading.comfort_ms;
        reading.concealed_ms = line.concealed_ms as f64;
        reading.comfort_ms = line.comfort_ms as f64;
        reading.fec_ms = line.fec_ms as f64;
        reading.dred_ms = line.dred_ms as f64;
        reading.missing_share = self.losses.share();
        let frame_ms = f64::from(self.out.format().frame_ms());
        let filled = (reading.concealed_ms + reading.comfort_ms - before) / frame_ms;
        let share = &mut reading.concealed_share;
        *share += (filled.min(1.0) as f32 - *share) * frame_ms as f32 / 2000.0;
        let to_ms = |ticks: i64| ticks as f32 / TICKS_PER_MS as f32;
        let (delay, wanted) = (self.delay() + i64::from(self.out.format().frame_ms()) * TICKS_PER_MS, self.wanted());
        self.reading.delay_ms = if self.playing { to_ms(delay) } else { 0.0 };
        self.reading.target_ms = to_ms(wanted);
        self.statistics.publish(&self.reading);
    }
}

impl Source for JitterBufferOutput {
    /// The next frame: always there, silent before the first packet.
    ///
    /// Its [`position`](Frame::position) is that of the sound in it, in samples since the first packet that was
    /// played. It stands still while sound is filled in for which no packet came yet.
    fn pull(&mut self) -> &mut Frame {
        self.receive();
        self.target.advance(self.now);
        if !self.playing {
            self.begin();
        }
        if self.playing {
            self.leave_out();
        }
        let samples = self.out.format().samples_per_channel();
        while self.line.timeline.ahead() < samples {
            if self.playing { self.next_sound() } else { self.line.rest(CHUNK_TICKS) }
        }
        let splice = if self.playing { self.splice() } else { None };
        let position = self.position(self.line.playhead());
        self.out.set_position(rescale(position, Packet::CLOCK_HZ, self.out.format().sample_rate_hz()));
        self.out.set_speech_probability(None);
        self.pace.take(&mut self.line.timeline, splice, &mut self.out);
        self.publish();
        self.now += i64::from(self.out.format().frame_ms()) * TICKS_PER_MS;
        &mut self.out
    }

    fn output_format(&self) -> Format {
        self.out.format()
    }

    /// As if just opened: what waits is dropped, the counters begin at 0, and nothing is known of the network.
    fn reset(&mut self) {
        while let Some(slot) = self.arrivals.next() {
            self.arrivals.recycle(slot);
        }
        let arrivals = &mut self.arrivals;
        self.order.reset(|slot| arrivals.recycle(slot));
        self.target.reset();
        self.losses = RedundancyWait::new();
        self.line.reset();
        self.pace.reset();
        self.now = 0;
        self.origin = None;
        self.resume_at = 0;
        self.playing = false;
        self.waited = 0;
        self.silent = false;
        self.reading = JitterBufferReading::default();
        self.statistics.publish(&self.reading);
    }

    /// The [`delay_ms`](JitterBufferReading::delay_ms) of the frame pulled last.
    fn latency(&self) -> usize {
        self.out.format().samples_in_ms(self.reading.delay_ms.max(0.0))
    }
}

impl std::fmt::Debug for JitterBufferOutput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "JitterBufferOutput({}, {} packets waiting)", self.out.format(), self.order.held())
    }
}
