//! Connection monitor: smoothed metrics, and a quality that steps down soon, up late, and never flaps.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use super::counters::{Counters, Interval};
use super::quality::{ConnectionMetric, ConnectionQuality, ConnectionReason, ConnectionThresholds, Metrics};
use super::{ConnectionReport, mean_opinion_score};
use crate::core::Result;

/// Window over which metrics are smoothed. Reports farther apart stand alone.
const WINDOW: Duration = Duration::from_secs(5);

/// Reports kept in the window at most: one each 20 ms.
const MAX_REPORTS: usize = 250;

/// Time for which the quality must be worse, or better, before it steps (those of videocall-rs).
const WORSE_FOR: Duration = Duration::from_millis(1500);
const BETTER_FOR: Duration = Duration::from_secs(5);

/// A step up that is taken back within this time was one too early: the next takes twice as long, up to a limit.
const RELAPSE: Duration = Duration::from_secs(30);
const MAX_BETTER_FOR: Duration = Duration::from_secs(40);

/// Shortest time between two steps (ditto).
const BETWEEN_STEPS: Duration = Duration::from_secs(3);

/// Share of a threshold that a metric must be below to count as better: noise around a threshold is no change.
const BETTER_FACTOR: f32 = 0.9;

/// Time without a report after which the connection is poor: RTCP comes every 5 s.
const MAX_SILENCE: Duration = Duration::from_secs(12);

/// State of a connection, as a [`ConnectionMonitor`] sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ConnectionReading {
    /// Quality; excellent before anything is known.
    pub quality: ConnectionQuality,
    /// Reason for the quality; `None` before anything is known.
    pub reason: Option<ConnectionReason>,
    /// When the quality became what it is.
    pub since: Duration,
    /// Share of packets lost in the last 5 s, 0 to 1.
    pub loss: Option<f32>,
    /// Mean round-trip time of the last 5 s, in ms.
    pub round_trip_time_ms: Option<f32>,
    /// Mean interarrival jitter of the last 5 s, in ms.
    pub jitter_ms: Option<f32>,
    /// Newest estimate of the available bit rate, in bits/s.
    pub estimate_bps: Option<u32>,
    /// Mean opinion score, 1 to 4.4 (ITU-T G.107): see [`mean_opinion_score`].
    pub mean_opinion_score: Option<f32>,
}

/// Connection monitor: from reports of loss, round-trip time and jitter to a quality with a reason.
///
/// Metrics are smoothed over 5 s. The worst one decides. The quality steps down when it has been worse for 1.5 s, up when it
/// has been better for 5 s with a tenth to spare, and not within 3 s of a step. A step up that is taken back within 30 s
/// makes the next one take twice as long, up to 40 s: so it does not flap. After 12 s without a
/// report it is poor. Time is an argument: there is no clock inside.
///
/// ```
/// use std::time::Duration;
/// use voxframe::call::{ConnectionMonitor, ConnectionQuality, ConnectionReport};
/// let mut monitor = ConnectionMonitor::default();
/// for second in 0..4 {
///     let at = Duration::from_secs(second);
///     let report = ConnectionReport { at, loss: Some(0.061), round_trip_time_ms: Some(40.0), ..Default::default() };
///     if let Some(changed) = monitor.report(&report) {
///         assert_eq!((second, changed.quality), (2, ConnectionQuality::Poor));
///         assert_eq!(changed.reason.unwrap().to_string(), "loss 6.1 % > 5 %");
///     }
/// }
/// # assert_eq!(monitor.reading().quality, ConnectionQuality::Poor);
/// ```
///
/// For an application's threads, not for a realtime one: a callback may do anything.
pub struct ConnectionMonitor {
    thresholds: ConnectionThresholds,
    window: VecDeque<Sample>,
    counters: Option<Counters>,
    last_report: Option<Duration>,
    pending: Option<Pending>,
    last_step: Option<Duration>,
    last_step_up: Option<Duration>,
    /// Time for which the quality must be better, now.
    better_for: Duration,
    reading: ConnectionReading,
    on_change: Option<Callback>,
}

type Callback = Box<dyn FnMut(&ConnectionReading) + Send>;

/// What one report said.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Duration,
    /// Time since the report before.
    elapsed: Duration,
    interval: Option<Interval>,
    loss: Option<f32>,
    round_trip_time_ms: Option<f32>,
    jitter_ms: Option<f32>,
}

/// A step that waits for its time.
#[derive(Clone, Copy, Debug)]
struct Pending {
    is_worse: bool,
    since: Duration,
    /// The quality nearest to the present one since then, and its reason.
    quality: ConnectionQuality,
    reason: Option<ConnectionReason>,
}

impl Default for ConnectionMonitor {
    fn default() -> Self {
        Self::with_thresholds(ConnectionThresholds::default())
    }
}

impl ConnectionMonitor {
    /// Monitor with thresholds of its own.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) for thresholds that do not rise.
    pub fn new(thresholds: ConnectionThresholds) -> Result<Self> {
        thresholds.check()?;
        Ok(Self::with_thresholds(thresholds))
    }

    fn with_thresholds(thresholds: ConnectionThresholds) -> Self {
        Self {
            thresholds,
            window: VecDeque::with_capacity(MAX_REPORTS),
            counters: None,
            last_report: None,
            pending: None,
            last_step: None,
            last_step_up: None,
            better_for: BETTER_FOR,
            reading: ConnectionReading::default(),
            on_change: None,
        }
    }

    /// Calls `callback` at each change of the quality, from within [`report`](Self::report) and [`poll`](Self::poll).
    pub fn on_change(&mut self, callback: impl FnMut(&ConnectionReading) + Send + 'static) {
        self.on_change = Some(Box::new(callback));
    }

    /// Takes a report; the reading, where the quality has changed. A report before the last counts as one of that time.
    /// Values that are no numbers or below 0 are left out.
    pub fn report(&mut self, report: &ConnectionReport) -> Option<ConnectionReading> {
        let at = self.last_report.map_or(report.at, |last| last.max(report.at));
        let number = |value: Option<f32>| value.filter(|value| value.is_finite() && *value >= 0.0);
        let counters = report.packets_lost.zip(report.packets_received);
        let counters = counters.map(|(lost, received)| Counters { lost, received });
        let interval = counters.zip(self.counters).and_then(|(now, before)| now.since(before));
        self.counters = counters.or(self.counters);
        if self.window.len() == MAX_REPORTS {
            self.window.pop_front();
        }
        self.window.push_back(Sample {
            at,
            elapsed: at - self.last_report.unwrap_or(at),
            interval,
            loss: number(report.loss).filter(|loss| *loss <= 1.0),
            round_trip_time_ms: number(report.round_trip_time_ms),
            jitter_ms: number(report.jitter_ms),
        });
        while self.window.front().is_some_and(|oldest| at - oldest.at >= WINDOW) {
            self.window.pop_front();
        }
        self.last_report = Some(at);
        self.reading.estimate_bps = report.estimate_bps.or(self.reading.estimate_bps);
        self.smooth();
        let Metrics { loss, round_trip_time_ms, jitter_ms } = self.metrics();
        self.reading.mean_opinion_score =
            (loss.is_some() || round_trip_time_ms.is_some() || jitter_ms.is_some()).then(|| {
                mean_opinion_score(loss.unwrap_or(0.0), round_trip_time_ms.unwrap_or(0.0), jitter_ms.unwrap_or(0.0))
            });
        self.evaluate(at)
    }

    /// Lets time go on between reports; the reading, where the quality has changed.
    pub fn poll(&mut self, at: Duration) -> Option<ConnectionReading> {
        self.evaluate(self.last_report.map_or(at, |last| last.max(at)))
    }

    /// State of the connection now.
    pub fn reading(&self) -> ConnectionReading {
        self.reading
    }

    fn metrics(&self) -> Metrics {
        let ConnectionReading { loss, round_trip_time_ms, jitter_ms, .. } = self.reading;
        Metrics { loss, round_trip_time_ms, jitter_ms }
    }

    /// Means over the window; what no report of it says stays as it was.
    fn smooth(&mut self) {
        let mean = |value: fn(&Sample) -> Option<f32>| {
            let (sum, count) =
                self.window.iter().filter_map(value).fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
            (count > 0.0).then(|| sum / count)
        };
        let (round_trip_time_ms, jitter_ms) = (mean(|s| s.round_trip_time_ms), mean(|s| s.jitter_ms));
        let loss = self.loss();
        let reading = &mut self.reading;
        reading.round_trip_time_ms = round_trip_time_ms.or(reading.round_trip_time_ms);
        reading.jitter_ms = jitter_ms.or(reading.jitter_ms);
        reading.loss = loss.or(reading.loss);
    }

    /// Share of packets lost, by the counters; where they say nothing, the mean of the shares reported, each as long as its
    /// interval.
    fn loss(&self) -> Option<f32> {
        let intervals = self.window.iter().filter_map(|sample| sample.interval);
        let (lost, received) =
            intervals.fold((0, 0), |(lost, received), interval| (lost + interval.lost, received + interval.received));
        let lost = lost.max(0);
        if lost + received > 0 {
            return Some(lost as f32 / (lost + received) as f32);
        }
        let shares = self.window.iter().filter_map(|sample| {
            // The first report has no interval.
            sample.loss.map(|loss| (loss, sample.elapsed.as_secs_f32().max(1e-3)))
        });
        let (sum, weight) = shares.fold((0.0, 0.0), |(sum, weight), (loss, w)| (sum + loss * w, weight + w));
        (weight > 0.0).then(|| sum / weight)
    }

    fn evaluate(&mut self, at: Duration) -> Option<ConnectionReading> {
        let metrics = self.metrics();
        let (mut worst, mut reason) = self.thresholds.classify(&metrics, 1.0);
        let (mut spare, mut spare_reason) = self.thresholds.classify(&metrics, BETTER_FACTOR);
        let silence = at - self.last_report?;
        if silence > MAX_SILENCE {
            let ms = |duration: Duration| duration.as_secs_f32() * 1e3;
            let (value, threshold) = (ms(silence), ms(MAX_SILENCE));
            reason = Some(ConnectionReason { metric: ConnectionMetric::Silence, value, threshold });
            (worst, spare, spare_reason) = (ConnectionQuality::Poor, ConnectionQuality::Poor, reason);
        }
        let now = self.reading.quality;
        let is_worse = worst < now;
        let (quality, reason) = if is_worse {
            (worst, reason)
        } else if spare > now {
            (spare, reason.filter(|_| worst == spare).or(spare_reason))
        } else {
            self.pending = None;
            if worst == now {
                self.reading.reason = reason;
            }
            return None;
        };
        let pending = match self.pending {
            Some(pending) if pending.is_worse == is_worse => {
                // Nearest to the present one: larger where it gets worse.
                let is_nearer = if is_worse { quality >= pending.quality } else { quality <= pending.quality };
                if is_nearer { Pending { quality, reason, ..pending } } else { pending }
            }
            _ => Pending { is_worse, since: at, quality, reason },
        };
        self.pending = Some(pending);
        let wait = if is_worse { WORSE_FOR } else { self.better_for };
        if at - pending.since < wait || self.last_step.is_some_and(|last| at - last < BETWEEN_STEPS) {
            return None;
        }
        self.pending = None;
        self.last_step = Some(at);
        if is_worse {
            let is_relapse = self.last_step_up.is_some_and(|up| at - up < RELAPSE);
            self.better_for = if is_relapse { (self.better_for * 2).min(MAX_BETTER_FOR) } else { BETTER_FOR };
        } else {
            self.last_step_up = Some(at);
        }
        (self.reading.quality, self.reading.reason, self.reading.since) = (pending.quality, pending.reason, at);
        if let Some(callback) = &mut self.on_change {
            callback(&self.reading);
        }
        Some(self.reading)
    }
}

impl fmt::Debug for ConnectionMonitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectionMonitor({})", self.reading.quality)
    }
}
