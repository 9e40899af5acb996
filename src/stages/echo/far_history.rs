//! Spectra of what the far end played, on the microphone's clock.

use super::far_end::EchoReference;
use super::kernels;
use super::spectrum::{BINS, Bins, PADDED, Spectrum};
use super::transform::Transform;
use crate::dsp::kernels::energy;

/// Partitions of the filter, 10 ms each: the longest echo path.
pub const PARTITIONS: usize = 26;

/// Longest delay that is searched, in blocks: 500 ms, and one block of tolerance.
pub const MAX_LAG: usize = 51;

/// Blocks that are kept: the longest delay and the filter.
const KEPT: usize = MAX_LAG + PARTITIONS + 1;

/// Blocks transformed at once, when several come together.
const AT_ONCE: usize = 4;

/// Time without samples after which the far end begins anew, in blocks.
const RESTART: f64 = 60.0;

/// Blocks for which the far end may be late throughout, before it counts as the rule.
const WINDOW: u32 = 1000;

/// Mean power of a sample from which on the far end is heard: −70 dBFS.
const AUDIBLE: f32 = 1e-7;

/// Mean power of a sample from which on its echo must be heard: −55 dBFS.
pub const LOUD: f32 = 3e-6;

/// Level of a pause over that of the loudest block of late, which decays by 0.4 dB/s: −20 dB.
const PAUSE: f32 = 0.01;
const LOUDEST_DECAY: f32 = 0.999;

/// Spectra of the last blocks of the far end, each of two blocks, the second of which is new.
///
/// Blocks are counted by the microphone: the newest is the one whose samples were given to the playout when the newest
/// microphone block was given to the canceller. So a lag is never negative, and the same as long as both clocks run alike.
/// Blocks that are not there yet are silent, and transformed once they are.
pub struct FarHistory {
    reference: EchoReference,
    transform: Transform,
    /// Samples of a block.
    block: f64,
    blocks: Box<[Block]>,
    /// Number of the newest block, as the microphone counts.
    newest: u64,
    /// Number of the next block to transform.
    next: u64,
    /// Position of the end of the newest block, in samples of the far end.
    end: f64,
    written: u64,
    started: bool,
    /// Mean power of each bin while something plays, and the level of the loudest block of late.
    mean: Bins,
    loudest: f32,
    /// Blocks since the last sample came.
    quiet: u32,
    /// Most that the far end was ahead of the microphone in this window, in samples.
    lead: f64,
    since: u32,
}

#[derive(Clone)]
struct Block {
    spectrum: Spectrum,
    power: Bins,
    /// Mean power of a sample.
    level: f32,
}

const SILENT: Block = Block { spectrum: Spectrum::ZERO, power: [0.0; PADDED], level: 0.0 };

impl FarHistory {
    /// History of a far end, from now on. Allocates.
    pub fn new(reference: EchoReference) -> Self {
        let block = reference.format().sample_rate_hz() as usize / 100;
        let mut history = Self {
            transform: Transform::new(block),
            block: block as f64,
            blocks: vec![SILENT; KEPT].into(),
            newest: KEPT as u64,
            next: 0,
            end: 0.0,
            written: 0,
            started: false,
            mean: [0.0; PADDED],
            loudest: 0.0,
            quiet: 0,
            lead: f64::NEG_INFINITY,
            since: 0,
            reference,
        };
        history.reset();
        history
    }

    /// Begins anew with what is played from now on.
    pub fn reset(&mut self) {
        self.blocks.fill(SILENT);
        (self.newest, self.next) = (KEPT as u64, KEPT as u64 + 1);
        self.written = self.reference.position();
        self.started = false;
        self.quiet = 0;
        (self.mean, self.loudest) = ([0.0; PADDED], 0.0);
        (self.lead, self.since) = (f64::NEG_INFINITY, 0);
    }

    fn slot(number: u64) -> usize {
        (number % KEPT as u64) as usize
    }

    /// Block `lag` blocks ago. What is older than all that are kept is silent.
    fn at(&self, lag: usize) -> &Block {
        if lag < KEPT { &self.blocks[Self::slot(self.newest - lag as u64)] } else { &SILENT }
    }

    pub fn spectrum(&self, lag: usize) -> &Spectrum {
        &self.at(lag).spectrum
    }

    pub fn power(&self, lag: usize) -> &Bins {
        &self.at(lag).power
    }

    /// Mean power of each bin while something plays.
    pub fn mean_power(&self) -> &Bins {
        &self.mean
    }

    /// Whether a block is there and no pause, which a search for the delay would take for sound by its whitening.
    pub fn tells(&self, lag: usize) -> bool {
        self.is_known(lag) && self.level(lag) >= PAUSE * self.loudest
    }

    /// Whether something is to be heard in the newest block that is there.
    pub fn is_audible(&self) -> bool {
        self.newest_level() > AUDIBLE
    }

    /// Whether it is so loud that there is no doubt about its echo.
    pub fn is_loud(&self) -> bool {
        self.newest_level() > LOUD
    }

    /// Mean power of a sample in a block.
    pub fn level(&self, lag: usize) -> f32 {
        self.at(lag).level
    }

    fn newest_level(&self) -> f32 {
        let lag = (self.newest + 1).saturating_sub(self.next);
        if lag < MAX_LAG as u64 { self.at(lag as usize).level } else { 0.0 }
    }

    /// Whether the block is there.
    fn is_known(&self, lag: usize) -> bool {
        self.newest - (lag as u64) < self.next
    }

    /// Moves on by one block of the microphone, which is as long as `1 + drift` blocks of the far end. Returns the
    /// blocks by which all lags are longer than before, because the far end is earlier or later than was thought.
    pub fn advance(&mut self, drift: f64) -> i32 {
        let step = self.block * (1.0 + drift);
        self.move_on(1);
        self.end += step;
        let written = self.reference.position();
        let came = written != self.written;
        self.written = written;
        self.quiet = if came { 0 } else { self.quiet.saturating_add(1) };
        let mut longer = 0;
        if came {
            let behind = (self.end - written as f64) / self.block;
            if !self.started || behind > RESTART {
                self.started = true;
                self.end = written as f64;
                self.next = self.newest;
                (self.lead, self.since) = (f64::NEG_INFINITY, 0);
            }
            // It is never earlier than the newest block.
            while self.end + 0.5 < written as f64 && longer < KEPT as i32 {
                self.move_on(1);
                self.end += step;
                longer += 1;
            }
            self.lead = self.lead.max(written as f64 - self.end);
        }
        longer -= self.catch_up(step);
        for _ in 0..AT_ONCE {
            if !self.started || self.next > self.newest || !self.transform_next(step) {
                break;
            }
        }
        longer
    }

    /// Moves on over a time in which the microphone did not hear, in blocks.
    pub fn skip(&mut self, blocks: f64) {
        let whole = (blocks.round() as u64).min(2 * KEPT as u64);
        self.move_on(whole);
        self.end += blocks * self.block;
    }

    fn move_on(&mut self, blocks: u64) {
        for _ in 0..blocks.min(KEPT as u64) {
            self.newest += 1;
            self.blocks[Self::slot(self.newest)] = SILENT;
        }
        self.newest += blocks.saturating_sub(KEPT as u64);
        self.next = self.next.max((self.newest + 1).saturating_sub(KEPT as u64));
    }

    /// Counts one block less where the far end was late by more than that for a long time. Returns by how many.
    fn catch_up(&mut self, step: f64) -> i32 {
        self.since += 1;
        if self.since < WINDOW {
            return 0;
        }
        let late = self.started && self.lead.is_finite() && self.lead < -1.5 * self.block;
        (self.lead, self.since) = (f64::NEG_INFINITY, 0);
        if !late || self.next >= self.newest {
            return 0;
        }
        self.newest -= 1;
        self.end -= step;
        1
    }

    /// Transforms the next block, if all of its samples are there.
    fn transform_next(&mut self, step: f64) -> bool {
        let end = self.end - step * (self.newest - self.next) as f64;
        let (whole, fraction) = (end.floor(), (end - end.floor()) as f32);
        if whole as u64 > self.written {
            return false;
        }
        let block = &mut self.blocks[Self::slot(self.next)];
        self.next += 1;
        let length = 2 * self.block as usize;
        let start = (whole as u64).saturating_sub(length as u64);
        if !self.reference.read_at(start, self.transform.time()) {
            *block = SILENT;
            return true;
        }
        if self.transform.time().iter().all(|&sample| sample == 0.0) {
            *block = SILENT;
            return true;
        }
        let new = &self.transform.time()[length / 2..];
        block.level = energy(new) / new.len() as f32;
        self.transform.forward(&mut block.spectrum);
        if fraction > 1e-3 {
            advance_phase(&mut block.spectrum, fraction / self.block as f32);
        }
        kernels::power(&mut block.power, &block.spectrum);
        for bin in 0..BINS {
            if block.power[bin] < 1e-12 {
                (block.spectrum.re[bin], block.spectrum.im[bin], block.power[bin]) = (0.0, 0.0, 0.0);
            }
        }
        self.loudest = (self.loudest * LOUDEST_DECAY).max(block.level);
        if block.level > AUDIBLE.max(PAUSE * self.loudest) {
            self.mean.iter_mut().zip(&block.power).for_each(|(mean, power)| *mean += 0.01 * (power - *mean));
        }
        true
    }
}

/// Makes a spectrum that of the sound a fraction of a block later.
fn advance_phase(spectrum: &mut Spectrum, blocks: f32) {
    // One bin is half a turn in a block.
    let (sin, cos) = (std::f32::consts::PI * blocks).sin_cos();
    let (mut re, mut im) = (1.0f32, 0.0f32);
    for bin in 0..BINS {
        let (a, b) = (spectrum.re[bin], spectrum.im[bin]);
        (spectrum.re[bin], spectrum.im[bin]) = (a * re - b * im, a * im + b * re);
        (re, im) = (re * cos - im * sin, re * sin + im * cos);
    }
}
