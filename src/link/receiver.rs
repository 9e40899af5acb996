//! The playout thread's end of a jitter buffer.

use super::comfort::Comfort;
use super::order::{Arrival, Order};
use super::queue::Arrivals;
use super::statistics::{LinkReading, LinkStatistics};
use super::stretch::{Splice, Stretch};
use super::target::DelayTarget;
use super::timeline::Timeline;
use super::{JitterBuffer, TICKS_PER_MS};
use crate::format::rescale;
use crate::{Format, Frame, OpusDecoder, Packet, Processor, Result, Stage, kernels};

/// The decoder's frames.
const CHUNK_TICKS: i64 = 10 * TICKS_PER_MS;

/// The longest and the shortest packet (RFC 6716, section 3.2).
const LONGEST_TICKS: i64 = 120 * TICKS_PER_MS;
const SHORTEST_TICKS: i64 = 5 * TICKS_PER_MS / 2;

/// Concealment is believable for so long; then it fades to comfort noise within [`FADE_TICKS`].
const BELIEVABLE_TICKS: i64 = 120 * TICKS_PER_MS;
const FADE_TICKS: i64 = 60 * TICKS_PER_MS;

/// The delay may be so much too long before sound is played faster: the longest period, less the slack of the target.
const TOO_LONG_TICKS: i64 = 10 * TICKS_PER_MS;

/// It may be so much too short before sound is played slower.
const TOO_SHORT_TICKS: i64 = 5 * TICKS_PER_MS;

/// Off by more, sound is stretched more often and where it is less alike (NetEQ's fast accelerate).
const URGENT_TICKS: i64 = 100 * TICKS_PER_MS;

/// Too long by more, packets are left out: playing 15 % faster would take over 3 s.
const HOPELESS_TICKS: i64 = 500 * TICKS_PER_MS;

/// After so long without a packet the stream is taken to have ended, and the next one begins it again.
const OVER_TICKS: i64 = 1000 * TICKS_PER_MS;

/// Places so alike that the splice is not heard, and so alike that it is no great harm (NetEQ's): the more the delay
/// is off, the less is asked for.
const ALIKE: f32 = 0.9;
const ALIKE_URGENT: f32 = 0.5;

/// Frames of 10 ms between two splices, and when it is urgent or silent (NetEQ: 5).
const BETWEEN: u32 = 5;
const BETWEEN_URGENT: u32 = 2;

/// A share of missing packets above which it pays to wait for forward error correction, and one below which not.
const LOSSY: f32 = 0.02;
const NOT_LOSSY: f32 = 0.005;

/// For so long a packet with forward error correction makes more of them likely.
const FEC_TICKS: i64 = 5000 * TICKS_PER_MS;

/// Where a chunk of sound comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    /// A packet, or its forward error correction.
    Packet,
    /// The decoder's guess.
    Concealment,
    /// The decoder's comfort noise, while the sender is silent.
    Silence,
}

/// The playout thread's end of a [`JitterBuffer`]: gives a frame whenever one is wanted.
pub struct FrameReceiver {
    settings: JitterBuffer,
    arrivals: Arrivals,
    order: Order,
    target: DelayTarget,
    decoder: OpusDecoder,
    packet: Packet,
    timeline: Timeline,
    stretch: Stretch,
    comfort: Comfort,
    /// A quarter of a sine.
    fade: Box<[f32]>,
    out: Frame,
    /// The playout clock: what was pulled so far.
    now: i64,
    /// The timestamp behind the last sound decoded, and what of that the decoder holds back to fill a chunk.
    head: i64,
    held_back: i64,
    /// The timestamp of position 0.
    origin: Option<i64>,
    /// The position at which another stream goes on.
    resume_at: i64,
    playing: bool,
    /// How much was filled in since nothing was there.
    waited: i64,
    /// How much was concealed in a row, and the share of comfort noise at its end, 0 to 1.
    concealed: i64,
    comforting: f32,
    /// The last packet ended with no more than the background.
    background: bool,
    /// The last packet said that the sender is silent.
    silent: bool,
    /// The length of the last packet.
    length: i64,
    since_splice: u32,
    fec_until: i64,
    lossy: bool,
    reading: LinkReading,
    statistics: LinkStatistics,
}

impl FrameReceiver {
    pub(super) fn new(
        settings: JitterBuffer,
        output: Format,
        arrivals: Arrivals,
        statistics: LinkStatistics,
    ) -> Result<Self> {
        let chunks = output.with_frame_ms(10)?;
        let chunk = chunks.samples_per_channel();
        let quarter = |i| ((i as f32 + 0.5) / chunk as f32 * std::f32::consts::FRAC_PI_2).sin();
        Ok(Self {
            settings,
            arrivals,
            order: Order::new(),
            target: DelayTarget::new(settings.quantile, settings.forgetting, super::ticks(settings.start_delay_ms)),
            decoder: settings.decoder.prepare(chunks)?,
            packet: Packet::new(),
            timeline: Timeline::new(output),
            stretch: Stretch::new(output),
            comfort: Comfort::new(),
            fade: (0..chunk).map(quarter).collect(),
            out: Frame::new(output),
            now: 0,
            head: 0,
            held_back: 0,
            origin: None,
            resume_at: 0,
            playing: false,
            waited: 0,
            concealed: 0,
            comforting: 1.0,
            background: false,
            silent: false,
            length: 2 * CHUNK_TICKS,
            since_splice: 0,
            fec_until: i64::MIN,
            lossy: false,
            reading: LinkReading::default(),
            statistics,
        })
    }

    /// The next frame: always there, silent before the first packet.
    ///
    /// Its [`position`](Frame::position) is that of the sound in it, in samples since the first packet that was
    /// played. It stands still while sound is filled in for which no packet came yet.
    ///
    /// # Realtime safety
    /// Safe.
    pub fn pull(&mut self) -> &mut Frame {
        self.receive();
        self.target.advance(self.now);
        if !self.playing {
            self.begin();
        }
        if self.playing {
            self.leave_out();
        }
        let before = self.reading;
        let samples = self.out.format().samples_per_channel();
        while self.timeline.ahead() < samples {
            if self.playing { self.next_sound() } else { self.append_comfort() }
        }
        let splice = if self.playing { self.splice() } else { None };
        let position = rescale(self.position(self.playhead()), Packet::CLOCK_HZ, self.out.format().sample_rate_hz());
        self.out.set_position(position);
        self.out.set_speech_probability(None);
        match splice {
            Some(splice) => self.stretch.take(&mut self.timeline, splice, &mut self.out),
            None => self.timeline.take(&mut self.out),
        }
        self.publish(before);
        self.now += i64::from(self.out.format().frame_ms()) * TICKS_PER_MS;
        &mut self.out
    }

    /// The format of the frames.
    pub fn output_format(&self) -> Format {
        self.out.format()
    }

    /// What the buffer tells.
    pub fn statistics(&self) -> LinkStatistics {
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
        self.resume_at = self.position(self.playhead());
        self.origin = None;
    }

    fn end(&mut self) {
        self.concealed = BELIEVABLE_TICKS + FADE_TICKS;
        self.conceal(CHUNK_TICKS, None, Source::Concealment);
        self.decoder.reset();
        self.held_back = 0;
        (self.silent, self.background) = (false, false);
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
        self.head = first.timestamp;
        self.order.begin();
        self.playing = true;
    }

    /// The timestamp of the next sound to be played.
    fn playhead(&self) -> i64 {
        let ahead = self.timeline.ahead() as i64;
        self.head - self.held_back - rescale(ahead, self.out.format().sample_rate_hz(), Packet::CLOCK_HZ)
    }

    /// A timestamp as a position.
    fn position(&self, timestamp: i64) -> i64 {
        self.origin.map_or(self.resume_at, |origin| timestamp - origin)
    }

    /// How long the fastest packets should wait.
    fn wanted(&self) -> i64 {
        let (least, most) = self.settings.delays();
        let pays = self.settings.wait_for_fec && self.lossy && self.now < self.fec_until;
        let for_fec = if pays { self.length + CHUNK_TICKS } else { 0 };
        self.target.target().max(for_fec).clamp(least, most)
    }

    /// How long they wait now.
    fn delay(&self) -> i64 {
        self.now - self.playhead() - self.target.base().unwrap_or(self.now)
    }

    /// By how much they wait too long.
    fn excess(&self) -> i64 {
        self.delay() - self.wanted()
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
                excess -= (first.timestamp - self.head).max(0);
                self.head = self.head.max(first.timestamp);
            }
        }
        // A leap in the sender's timestamps.
        if let Some(first) = self.order.first() {
            self.head += (first.timestamp - self.head).clamp(0, excess.max(0));
        }
    }

    /// Takes the first packet; those before it are missing.
    fn pop(&mut self) -> Option<super::order::Ordered> {
        let due = self.order.next();
        let packet = self.order.pop()?;
        for _ in due..packet.sequence {
            self.count_missing(true);
        }
        self.count_missing(false);
        Some(packet)
    }

    fn count_missing(&mut self, missing: bool) {
        let share = &mut self.reading.missing_share;
        *share += (f32::from(u8::from(missing)) - *share) / 100.0;
        self.lossy = *share > if self.lossy { NOT_LOSSY } else { LOSSY };
        self.reading.missing += u64::from(missing);
    }

    /// Adds what comes next: a packet, or what stands for it.
    fn next_sound(&mut self) {
        let Some(first) = self.order.first() else { return self.wait() };
        let (sequence, timestamp) = (first.sequence, first.timestamp);
        let missing = sequence - self.order.next();
        let gap = timestamp - self.head;
        if self.waited > 0 {
            // What was filled in while nothing was there stands for what is missing.
            let filled = gap.min(std::mem::take(&mut self.waited));
            if filled > 0 {
                for _ in 0..(filled * missing / gap).min(missing - 1) {
                    self.order.pass();
                    self.count_missing(true);
                }
                self.head += filled;
            }
            return self.next_sound();
        }
        if gap <= 0 {
            self.play();
        } else if self.silent || missing == 0 {
            // The sender's pause can be of any length: as long as brings the delay to where it should be.
            self.head = timestamp - (gap - self.excess()).max(0);
            if timestamp - self.head < CHUNK_TICKS {
                self.head = timestamp;
                self.play();
            } else {
                self.pause();
                self.head += CHUNK_TICKS;
            }
        } else {
            let length = (gap / missing / SHORTEST_TICKS * SHORTEST_TICKS).clamp(SHORTEST_TICKS, LONGEST_TICKS);
            self.conceal(length, (missing == 1).then_some(sequence), Source::Concealment);
            self.head = if missing == 1 && gap - length < SHORTEST_TICKS { timestamp } else { self.head + length };
            self.order.pass();
            self.count_missing(true);
        }
    }

    /// Nothing is there: fills in.
    fn wait(&mut self) {
        self.pause();
        self.waited += CHUNK_TICKS;
        if self.waited >= OVER_TICKS && !self.silent {
            self.end();
        }
    }

    /// Fills in where nothing may have been sent.
    fn pause(&mut self) {
        if self.background {
            // The sender has probably paused (DTX), and noise is continued by noise.
            self.concealed = self.concealed.max(BELIEVABLE_TICKS + FADE_TICKS - 2 * CHUNK_TICKS);
        }
        let source = if self.silent { Source::Silence } else { Source::Concealment };
        self.conceal(CHUNK_TICKS, None, source);
    }

    /// Decodes the first packet.
    fn play(&mut self) {
        let Some(packet) = self.pop() else { return };
        let payload = packet.slot.payload();
        let length = opus::packet::get_nb_samples(payload, Packet::CLOCK_HZ).unwrap_or(0) as i64;
        let position = self.position(packet.timestamp);
        let valid = length > 0 && self.packet.set_bytes(payload, position).is_ok();
        if has_fec(payload) {
            self.fec_until = self.now + FEC_TICKS;
        }
        let empty = payload.is_empty();
        self.arrivals.recycle(packet.slot);
        if valid {
            self.length = length;
            self.silent = self.packet.is_dtx();
            self.head = self.head.max(packet.timestamp + length);
            let source = if self.silent { Source::Silence } else { Source::Packet };
            if self.decode(length, source) {
                return;
            }
        } else if empty {
            return;
        } else {
            self.head = self.head.max(packet.timestamp + self.length);
        }
        self.reading.invalid += 1;
        self.conceal(self.length, None, Source::Concealment);
    }

    /// Stands in for `length` ticks of sound; `next` is the packet after it.
    fn conceal(&mut self, length: i64, next: Option<i64>, source: Source) {
        let next = next.and_then(|sequence| self.order.get(sequence)).map_or(&[][..], |next| next.slot.payload());
        // The copy is of a whole packet; where a part of it was filled in already it comes too late.
        let rebuilt = has_fec(next) && length >= self.length;
        if !rebuilt && self.comforting >= 1.0 && source == Source::Concealment {
            for _ in 0..(length / CHUNK_TICKS).max(1) {
                self.append_comfort();
            }
            return;
        }
        let next = if rebuilt { next } else { &[] };
        let position = self.position(self.head);
        let lost = self.packet.set_lost(position, length as u32, next, position + length);
        debug_assert!(lost.is_ok(), "a slot holds less than a packet");
        self.reading.rebuilt += u64::from(rebuilt);
        self.decode(length, if rebuilt { Source::Packet } else { source });
    }

    /// Decodes the packet prepared and appends its sound; whether it was one.
    fn decode(&mut self, length: i64, source: Source) -> bool {
        self.held_back += length;
        while !self.packet.is_empty() {
            match self.decoder.process(&mut self.packet) {
                Ok(Some(chunk)) => {
                    self.held_back -= CHUNK_TICKS;
                    let wanted = match source {
                        Source::Packet => 0.0,
                        Source::Concealment if self.concealed < BELIEVABLE_TICKS => self.comforting,
                        Source::Concealment => {
                            let rest = BELIEVABLE_TICKS + FADE_TICKS - self.concealed;
                            1.0 - (rest - CHUNK_TICKS).max(0) as f32 / FADE_TICKS as f32
                        }
                        Source::Silence => 0.0,
                    };
                    match source {
                        Source::Packet => {
                            self.concealed = 0;
                            if let Some(first) = chunk.channels().next() {
                                self.background = self.comfort.hear(first);
                            }
                        }
                        Source::Concealment => {
                            self.concealed += CHUNK_TICKS;
                            self.reading.concealed_ms += 10.0;
                        }
                        Source::Silence => self.reading.comfort_ms += 10.0,
                    }
                    let from = std::mem::replace(&mut self.comforting, wanted);
                    append(&mut self.timeline, &mut self.comfort, &self.fade, Some(chunk), from, wanted);
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

    fn append_comfort(&mut self) {
        self.reading.comfort_ms += 10.0;
        append(&mut self.timeline, &mut self.comfort, &self.fade, None, 1.0, 1.0);
    }

    /// Where to jump in this frame, so that the delay comes nearer to where it should be.
    fn splice(&mut self) -> Option<Splice> {
        self.since_splice += self.out.format().frame_ms() / 10;
        let excess = self.excess();
        let format = self.out.format();
        let samples = format.samples_per_channel();
        let passive = self.comforting >= 1.0 || self.is_background(samples);
        let faster = excess >= if passive { TOO_LONG_TICKS / 2 } else { TOO_LONG_TICKS };
        if !faster && excess > -TOO_SHORT_TICKS || self.waited > 0 {
            return None;
        }
        let urgent = excess.abs() > URGENT_TICKS;
        if self.since_splice < if urgent || passive { BETWEEN_URGENT } else { BETWEEN } {
            return None;
        }
        let most = rescale(excess.abs() + TOO_SHORT_TICKS, Packet::CLOCK_HZ, format.sample_rate_hz()) as usize;
        let splice = if faster {
            while self.timeline.ahead() < self.stretch.wants(samples) && self.is_next_there() {
                self.next_sound();
            }
            self.stretch.ahead(&self.timeline, samples, most)?
        } else {
            self.stretch.behind(&self.timeline, samples, most)?
        };
        let urgency = (excess.abs() as f32 / URGENT_TICKS as f32).min(1.0);
        if !passive && splice.likeness < ALIKE + (ALIKE_URGENT - ALIKE) * urgency {
            return None;
        }
        self.since_splice = 0;
        let ms = format.ms(splice.jump.unsigned_abs());
        if faster {
            self.reading.accelerated_ms += ms
        } else {
            self.reading.expanded_ms += ms
        }
        Some(splice)
    }

    /// Whether the next packet is there and follows without a gap.
    fn is_next_there(&self) -> bool {
        self.waited == 0 && self.order.get(self.order.next()).is_some_and(|next| next.timestamp <= self.head)
    }

    /// Whether the next `samples` are no louder than the background.
    fn is_background(&self, samples: usize) -> bool {
        let head = self.timeline.head();
        self.timeline.lines().all(|line| {
            let next = &line[head..line.len().min(head + samples)];
            self.comfort.is_background(kernels::energy(next) / next.len().max(1) as f32)
        })
    }

    fn publish(&mut self, before: LinkReading) {
        let reading = &mut self.reading;
        let filled = reading.concealed_ms + reading.comfort_ms - before.concealed_ms - before.comfort_ms;
        let frame_ms = f64::from(self.out.format().frame_ms());
        let share = &mut reading.concealed_share;
        *share += ((filled / frame_ms).min(1.0) as f32 - *share) * frame_ms as f32 / 2000.0;
        let to_ms = |ticks: i64| ticks as f32 / TICKS_PER_MS as f32;
        let (delay, wanted) = (self.delay() + i64::from(self.out.format().frame_ms()) * TICKS_PER_MS, self.wanted());
        self.reading.delay_ms = if self.playing { to_ms(delay) } else { 0.0 };
        self.reading.target_ms = to_ms(wanted);
        self.statistics.publish(&self.reading);
    }
}

/// Appends a chunk of sound, with comfort noise mixed in to a share that goes from `from` to `to`.
fn append(timeline: &mut Timeline, comfort: &mut Comfort, fade: &[f32], chunk: Option<&mut Frame>, from: f32, to: f32) {
    timeline.append(fade.len(), |channel, line| {
        if from > 0.0 || to > 0.0 {
            comfort.fill(channel, line);
        }
        let Some(sound) = chunk.as_ref().and_then(|chunk| chunk.channels().nth(channel)) else { return };
        if from == 0.0 && to == 0.0 {
            line.copy_from_slice(sound);
            return;
        }
        // Both have nothing in common: their powers add up, so sine and cosine keep the level.
        let last = fade.len() - 1;
        let step = (to - from) / fade.len() as f32;
        for (index, (sample, sound)) in line.iter_mut().zip(sound).enumerate() {
            let at = ((from + step * (index + 1) as f32).clamp(0.0, 1.0) * last as f32) as usize;
            *sample = *sample * fade[at] + sound * fade[last - at];
        }
    });
}

/// Whether a packet carries forward error correction for the one before it: the flag of its first SILK frame (RFC 6716,
/// section 4.2.4, behind the flags of section 4.2.3).
fn has_fec(payload: &[u8]) -> bool {
    let Some((&toc, rest)) = payload.split_first() else { return false };
    let silk_frames = match toc >> 3 {
        config @ 0..=11 => [1, 1, 2, 3][usize::from(config & 3)],
        12..=15 => 1,
        _ => return false,
    };
    // Where the first frame begins (RFC 6716, section 3.2).
    let begin = match toc & 3 {
        0 | 1 => 0,
        2 => 1 + usize::from(rest.first().is_some_and(|&length| length >= 252)),
        _ => return false,
    };
    rest.get(begin).is_some_and(|flags| flags >> (7 - silk_frames) & 1 == 1)
}

impl std::fmt::Debug for FrameReceiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FrameReceiver({}, {} packets waiting)", self.out.format(), self.order.held())
    }
}
