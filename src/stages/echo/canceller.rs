//! The canceller of one stream: ten milliseconds in, ten milliseconds out.

use realfft::num_complex::Complex32;

use super::clock_drift::ClockDrift;
use super::comfort_noise::ComfortNoise;
use super::delay_search::{self, DelaySearch};
use super::echo_path::EchoPath;
use super::far_end::EchoReference;
use super::far_history::{FarHistory, LOUD, PARTITIONS};
use super::lag_trial::LagTrial;
use super::near_end::NearEnd;
use super::noise_floor::ABOVE;
use super::powers::Powers;
use super::residual_echo::ResidualEcho;
use super::settings::{EchoCancel, EchoCancelReading, Suppression};
use super::spectrum::{BINS, Bins, PADDED, Spectrum};
use super::statistics::Statistics;
use super::suppressor::{self, Suppressor};
use super::transform::Transform;
use super::weighted_overlap_add::WeightedOverlapAdd;
use crate::core::Format;
use crate::dsp::kernels::energy;

/// Blocks by which the filter begins before the echo.
const MARGIN: usize = 1;

/// Blocks by which the echo may begin later than the filter without the filter being moved.
const SLACK: usize = 4;

/// Blocks within which the filter finds an echo by itself.
const REACH: usize = PARTITIONS - 8;

/// Blocks for which the filter adapts after the far end.
const HANGOVER: u32 = 40;

/// Blocks of the far end after which there is no echo, if none is found: at first, and where there was one.
const UNHEARD: [u32; 2] = [120, 500];

/// Blocks of the far end in which an echo that turns out louder than it seemed makes the filter begin anew.
const SETTLING: u32 = 80;

/// Blocks of the far end in which the filter may expect any echo: the return gain is not known yet.
const UNCAPPED: u32 = 25;

/// Share of the energy that a filter in the right place leaves at most.
const WORKS: f32 = 0.25;

/// Blocks of doubt after a change of the delay.
const DOUBT: u32 = 25;

/// Canceller of the echo of one far end, in all channels of a microphone.
pub struct Canceller {
    far: FarHistory,
    search: DelaySearch,
    changes: DelaySearch,
    drift: ClockDrift,
    /// Lag at which the filter begins, in blocks.
    lag: usize,
    located: bool,
    trial: LagTrial,
    /// Powers of far end and microphone, and the gain between them.
    far_power: Bins,
    near_power: Bins,
    return_gain: Bins,
    /// Blocks of the far end since the filter was moved.
    settled: u32,
    /// Sum of the return gains that the filter was last made to expect.
    expected: f32,
    /// Blocks since the far end was last audible.
    quiet: u32,
    /// Blocks of the far end without a sign of its echo.
    unheard: u32,
    /// Blocks for which it is not known yet where the echo is.
    doubt: u32,
    transparent: bool,
    /// Whether the sound passes unchanged.
    idle: bool,
    /// Smoothed energies of the microphone and of what the filter leaves.
    near_energy: f32,
    left_energy: f32,
    channels: Box<[Channel]>,
    residual: ResidualEcho,
    near_end: NearEnd,
    suppressor: Suppressor,
    statistics: Statistics,
    device: Transform,
    core: Transform,
    /// Mean of the microphone's channels, in the last block and this one.
    mono: Box<[f32]>,
    spectrum: Spectrum,
    comfort_noise: ComfortNoise,
}

struct Channel {
    path: EchoPath,
    left: WeightedOverlapAdd,
    echo: WeightedOverlapAdd,
    /// Spectrum of what the filter leaves.
    bins: Box<[Complex32]>,
    /// Echo taken out of the last block.
    taken: Box<[f32]>,
}

impl Canceller {
    /// Canceller for a microphone. Allocates.
    pub fn new(microphone: Format, reference: &EchoReference) -> Self {
        let block = microphone.sample_rate_hz() as usize / 100;
        let channel = |_| Channel {
            path: EchoPath::new(block),
            left: WeightedOverlapAdd::new(block),
            echo: WeightedOverlapAdd::new(block),
            bins: vec![Complex32::ZERO; block + 1].into(),
            taken: vec![0.0; block].into(),
        };
        Self {
            far: FarHistory::new(reference.clone()),
            search: DelaySearch::new(delay_search::SLOW),
            changes: DelaySearch::new(delay_search::FAST),
            drift: ClockDrift::default(),
            lag: 0,
            located: false,
            trial: LagTrial::default(),
            far_power: [1e-6; PADDED],
            near_power: [1e-6; PADDED],
            return_gain: [1.0; PADDED],
            settled: 0,
            expected: f32::MAX,
            quiet: u32::MAX,
            unheard: 0,
            doubt: 0,
            transparent: false,
            idle: true,
            near_energy: 0.0,
            left_energy: 0.0,
            channels: (0..microphone.channels()).map(channel).collect(),
            residual: ResidualEcho::NEW,
            near_end: NearEnd::new(),
            suppressor: Suppressor::NEW,
            statistics: Statistics::default(),
            device: Transform::new(block),
            core: Transform::new(160),
            mono: vec![0.0; 2 * block].into(),
            spectrum: Spectrum::ZERO,
            comfort_noise: ComfortNoise::NEW,
        }
    }

    pub fn reset(&mut self) {
        self.far.reset();
        self.search.reset();
        self.changes.reset();
        self.drift = ClockDrift::default();
        (self.lag, self.located, self.quiet) = (0, false, u32::MAX);
        self.trial = LagTrial::default();
        (self.settled, self.expected) = (0, f32::MAX);
        (self.unheard, self.doubt, self.transparent) = (0, 0, false);
        self.idle = true;
        (self.near_energy, self.left_energy) = (0.0, 0.0);
        (self.far_power, self.near_power, self.return_gain) = ([1e-6; PADDED], [1e-6; PADDED], [1.0; PADDED]);
        for channel in &mut self.channels {
            channel.path.reset();
            channel.left.reset();
            channel.echo.reset();
        }
        self.residual = ResidualEcho::NEW;
        self.near_end.reset();
        self.suppressor = Suppressor::NEW;
        self.statistics = Statistics::default();
        self.mono.fill(0.0);
        self.comfort_noise = ComfortNoise::NEW;
    }

    /// Takes the echo out of a block of all channels.
    pub fn process(&mut self, settings: &EchoCancel, channels: &mut [&mut [f32]]) {
        let longer = self.far.advance(if self.located { self.drift.step() } else { 0.0 });
        if longer != 0 {
            self.search.relabel(longer);
            self.changes.relabel(longer);
            self.lag = self.lag.saturating_add_signed(longer as isize);
            self.trial.relabel(longer);
        }
        let audible = self.far.is_audible();
        self.quiet = if audible { 0 } else { self.quiet.saturating_add(1) };
        if audible && !settings.bypassed {
            self.listen(channels);
            self.locate();
            self.estimate_return_gain();
        }
        if !self.located {
            self.lag = ((settings.delay_hint_ms / 10.0) as usize).saturating_sub(MARGIN);
        }
        let was_idle = self.idle;
        let near = mean_power(channels);
        self.idle = settings.bypassed || self.transparent || self.quiet > self.reach();
        if !(self.idle && was_idle) {
            self.cancel(channels, was_idle);
        }
        if settings.suppression != Suppression::Off {
            self.suppress(settings, channels);
        }
        if self.is_active() && self.far.is_loud() {
            self.statistics.update(self.far.level(self.lag + MARGIN), near, mean_power(channels));
        }
    }

    /// Whether the far end spoke in the last block, and the near end did not.
    pub fn is_far_end_alone(&self) -> bool {
        self.is_active() && self.is_loud() && self.suppressor.is_alone()
    }

    /// Whether something of the far end that the filter spans is loud.
    fn is_loud(&self) -> bool {
        (self.lag..self.lag + PARTITIONS).any(|lag| self.far.level(lag) > LOUD)
    }

    /// Moves on over a time in which the microphone did not hear, in blocks.
    pub fn skip(&mut self, blocks: f64) {
        self.far.skip(blocks);
    }

    /// Blocks after which nothing of the far end is to be heard any more.
    fn reach(&self) -> u32 {
        (self.lag + PARTITIONS) as u32 + HANGOVER
    }

    /// Looks where the echo is, and whether there is one.
    fn locate(&mut self) {
        let slow = self.search.update(&self.far, &self.spectrum);
        let fast = self.changes.update(&self.far, &self.spectrum);
        let works = self.works();
        if slow && !(works && self.located) {
            self.follow();
        }
        if fast
            && !works
            && let Some(found) = self.changes.found()
            && !(self.lag..self.lag + REACH).contains(&found)
        {
            self.search.accept(found);
            self.follow();
        }
        let heard = works
            || self.search.clear().is_some_and(|lag| self.located && (self.lag..=self.lag + SLACK + 1).contains(&lag));
        self.unheard = if heard { 0 } else { self.unheard.saturating_add(u32::from(self.far.is_loud())) };
        let elsewhere = self.changes.clear().is_some_and(|lag| !(self.lag..=self.lag + SLACK + 1).contains(&lag));
        self.doubt = if !self.located || elsewhere && !works { DOUBT } else { self.doubt.saturating_sub(1) };
        let is_transparent = self.unheard > UNHEARD[usize::from(self.located)];
        if is_transparent && !self.transparent {
            self.search.reset();
            self.changes.reset();
            self.located = false;
            self.trial = LagTrial::default();
        }
        self.transparent = is_transparent;
    }

    /// Whether the far end may be heard in this block.
    fn is_active(&self) -> bool {
        !self.idle && self.quiet <= HANGOVER + self.lag as u32
    }

    /// Spectrum of the microphone.
    fn listen(&mut self, channels: &[&mut [f32]]) {
        let block = self.mono.len() / 2;
        self.mono.copy_within(block.., 0);
        let share = 1.0 / channels.len() as f32;
        for (index, sample) in self.mono[block..].iter_mut().enumerate() {
            *sample = channels.iter().map(|channel| channel[index]).sum::<f32>() * share;
        }
        self.device.time().copy_from_slice(&self.mono);
        self.device.forward(&mut self.spectrum);
    }

    /// Moves the filter to where the echo was found.
    fn follow(&mut self) {
        let Some(found) = self.search.found() else { return };
        let wanted = found.saturating_sub(MARGIN);
        if self.located && (self.lag..=self.lag + SLACK).contains(&wanted) {
            return;
        }
        let (moved, is_first) = (wanted as i32 - self.lag as i32, !self.located);
        if self.located && self.trial.begin(self.lag) {
            self.channels.iter_mut().for_each(|channel| channel.path.keep());
        }
        self.lag = wanted;
        self.located = true;
        self.settled = 0;
        self.expected = self.return_gain.iter().sum();
        for channel in &mut self.channels {
            channel.path.change_lag(moved, is_first, &self.return_gain);
        }
    }

    fn estimate_return_gain(&mut self) {
        self.settled = self.settled.saturating_add(1);
        let rate = (1.0 / (self.settled as f32 + 1.0)).max(0.03);
        let far = self.far.power(self.lag + MARGIN);
        for (bin, &far) in far[..BINS].iter().enumerate() {
            self.far_power[bin] += rate * (far - self.far_power[bin]);
            self.near_power[bin] += rate * (self.spectrum.power(bin) - self.near_power[bin]);
            let gain = 4.0 * self.near_power[bin] / (self.far_power[bin] + 1e-7);
            self.return_gain[bin] = gain.clamp(1e-4, 6.0);
        }
        let total: f32 = self.return_gain.iter().sum();
        let louder = self.settled < SETTLING && total > 2.0 * self.expected && !self.works();
        if louder {
            self.expected = total;
        }
        for channel in &mut self.channels {
            if self.settled > UNCAPPED {
                channel.path.cap(&self.return_gain);
            }
            if louder {
                channel.path.expect(&self.return_gain);
            }
        }
    }

    /// Whether the filter takes so much out that it is where it belongs, whatever resembles what.
    fn works(&self) -> bool {
        self.left_energy < WORKS * self.near_energy
    }

    /// Linear part; fades where the canceller was idle or becomes so.
    fn cancel(&mut self, channels: &mut [&mut [f32]], was_idle: bool) {
        let adapt = self.is_active();
        self.drift.rest();
        let kept = self.trial.kept_lag();
        let loud = |lag: usize| self.far.level(lag + MARGIN) > LOUD;
        let is_tried = adapt && self.trial.is_running() && (loud(self.lag) || loud(kept));
        let mut tried = [0.0; 2];
        for (channel, block) in self.channels.iter_mut().zip(channels) {
            channel.taken.copy_from_slice(block);
            self.near_energy += 0.1 * (energy(block) - self.near_energy);
            let (device, core) = (&mut self.device, &mut self.core);
            let diverged = channel.path.process(&self.far, self.lag, adapt, block, device, core);
            if adapt && self.located && self.left_energy < WORKS * self.near_energy {
                self.drift.update(channel.path.timing());
            }
            self.left_energy += 0.1 * (energy(block) - self.left_energy);
            self.statistics.count(diverged);
            if is_tried {
                let energies = channel.path.compare(&self.far, kept, &channel.taken, device);
                tried.iter_mut().zip(energies).for_each(|(sum, energy)| *sum += energy);
            }
            channel.taken.iter_mut().zip(&**block).for_each(|(near, left)| *near -= left);
            if self.idle || was_idle {
                fade(block, &mut channel.taken, was_idle);
            }
            if self.transparent {
                channel.path.reset();
            }
        }
        if is_tried && self.trial.update(tried) {
            self.lag = kept;
            self.search.accept(kept + MARGIN);
            self.channels.iter_mut().for_each(|channel| channel.path.take_back());
        }
    }

    /// Suppressor: one gain for all channels.
    fn suppress(&mut self, settings: &EchoCancel, channels: &mut [&mut [f32]]) {
        if self.idle && self.suppressor.is_open() {
            for (channel, block) in self.channels.iter_mut().zip(channels) {
                channel.left.pass(block);
                channel.echo.reset();
            }
            return;
        }
        let active = self.is_active();
        let share = 1.0 / channels.len() as f32;
        let (mut powers, mut uncertainty) = (Powers::ZERO, [0.0; PADDED]);
        for (channel, block) in self.channels.iter_mut().zip(&*channels) {
            if self.idle {
                channel.taken.fill(0.0);
            }
            channel.left.analyse(block, &mut self.device);
            channel.bins.copy_from_slice(self.device.bins());
            channel.echo.analyse(&channel.taken, &mut self.device);
            channel.path.uncertainty(&self.far, self.lag, &mut uncertainty);
            powers.add(share, &channel.bins, self.device.bins(), &uncertainty);
        }
        self.residual.update(&powers, active);
        if active {
            let far = self.far.power(self.lag + MARGIN);
            self.near_end.listen(&powers, far, &self.residual, !self.is_loud());
        }
        let left = &powers.left;
        if self.doubt > 0 {
            self.residual.doubt(left);
            self.suppressor.doubt();
        }
        if !self.located {
            self.near_end.doubt();
        }
        self.suppressor.update(left, &self.residual, &self.near_end, settings.suppression, active);
        let gains = self.suppressor.gains();
        let high = suppressor::high_gain(left, &powers.echo, gains);
        for (channel, block) in self.channels.iter_mut().zip(channels) {
            let (low, above) = channel.bins.split_at_mut(BINS.min(block.len() + 1));
            for (index, bin) in low.iter_mut().enumerate() {
                *bin *= gains[index];
            }
            above.iter_mut().for_each(|bin| *bin *= high);
            if settings.comfort_noise {
                let noise = self.suppressor.noise();
                let gains = gains[..BINS].iter().zip(&noise[..BINS]);
                self.comfort_noise.add(low, gains);
                self.comfort_noise.add(above, std::iter::repeat((&high, &noise[ABOVE])));
            }
            channel.left.synthesise(&channel.bins, &mut self.device, block);
        }
    }

    /// What the network heard in the last block, or zeros.
    #[cfg(test)]
    pub fn take_powers(&mut self) -> [f32; crate::neural::echo::FEATURES] {
        self.near_end.take_powers()
    }

    pub fn reading(&self) -> EchoCancelReading {
        EchoCancelReading {
            echo_return_loss: self.statistics.echo_return_loss(),
            echo_return_loss_enhancement: self.statistics.echo_return_loss_enhancement(),
            delay_ms: self.search.found().map(|lag| 10.0 * lag as f32),
            divergent_filter_fraction: self.statistics.divergent_fraction(),
            drift_ppm: (self.drift.drift() * 1e6) as f32,
            far_end_active: self.is_active(),
            is_transparent: self.idle,
        }
    }
}

/// Fades the echo out of a block, or back in: what the canceller leaves becomes the microphone, or the other way round.
fn fade(block: &mut [f32], taken: &mut [f32], out: bool) {
    let step = 1.0 / block.len() as f32;
    for (index, (left, taken)) in block.iter_mut().zip(taken).enumerate() {
        let share = (index as f32 + 0.5) * step;
        let kept = if out { share } else { 1.0 - share };
        *left += *taken * (1.0 - kept);
        *taken *= kept;
    }
}

/// Mean power of a sample in all channels.
fn mean_power(channels: &[&mut [f32]]) -> f32 {
    channels.iter().map(|channel| energy(channel) / channel.len() as f32).sum::<f32>() / channels.len() as f32
}
