//! Load monitor: how much of its time a frame takes, and whether a cheaper profile is needed.

use std::time::Duration;

use super::adaptation::DeviceCapability;

/// Buckets of the load histogram: 64 of them, a factor of 2^¼ apart, from 0.1 % of the frame length to 5 600 %.
const BUCKETS: usize = 64;
const BUCKETS_PER_OCTAVE: f32 = 4.0;
const MIN_LOAD: f32 = 0.001;

/// Time constants of mean and histogram, in frames: 1 s and 10 s of 10 ms frames.
const MEAN_FRAMES: f32 = 100.0;
const HISTOGRAM_FRAMES: f32 = 1000.0;

/// Frames over which deadline misses are counted together, 10 s, and how many are too many.
const MISS_WINDOW_FRAMES: u32 = 1000;
const MAX_MISSES: u32 = 5;

/// Time without a miss before it is safe to go back, in frames: 60 s. And the 99th percentile below which it is: half of
/// what would be a miss, so that there is room for what a costlier profile takes.
const SAFE_FRAMES: u32 = 6000;
const SAFE_P99: f32 = 0.25;

/// Load of a pipeline or stage: time it takes, as a share of the frame length.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LoadReading {
    /// Exponential mean over 1 s of 10 ms frames.
    pub mean: f32,
    /// 99th percentile of the last 10 s or so, rounded up by at most a fifth.
    pub p99: f32,
    /// Largest load so far.
    pub max: f32,
    /// Frames so far.
    pub frames: u64,
    /// Frames that took longer than they last.
    pub deadline_misses: u64,
}

/// Advice of a [`LoadMonitor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub enum LoadAdvice {
    /// Too many deadlines were missed: take a cheaper profile.
    Cheaper,
    /// No deadline was missed for a minute, and frames take less than a quarter of their time: a costlier profile may be
    /// tried.
    Costlier,
}

/// Load monitor of a pipeline or of a stage: takes the time of each frame, and says when a cheaper profile is needed and
/// when it is safe to go back.
///
/// Five deadlines missed within 10 s are too many. There is no clock inside: time the call of
/// [`process`](crate::Processor::process) with [`Instant`](std::time::Instant), on the thread that makes it.
///
/// ```
/// use std::time::Duration;
/// use voxframe::call::{LoadAdvice, LoadMonitor};
/// let mut load = LoadMonitor::new(Duration::from_millis(10));
/// let advice: Vec<_> = (0..5).filter_map(|_| load.record(Duration::from_millis(12))).collect();
/// assert_eq!(advice, [LoadAdvice::Cheaper]);
/// assert_eq!(load.reading().deadline_misses, 5);
/// ```
///
/// # Realtime safety
/// Safe.
#[derive(Clone, Debug)]
pub struct LoadMonitor {
    frame: Duration,
    reading: LoadReading,
    /// Share of frames by their load.
    histogram: [f32; BUCKETS],
    window_frames: u32,
    window_misses: u32,
    frames_without_miss: u32,
}

impl LoadMonitor {
    /// Monitor of frames of this length.
    pub fn new(frame: Duration) -> Self {
        Self {
            frame: frame.max(Duration::from_nanos(1)),
            reading: LoadReading::default(),
            histogram: [0.0; BUCKETS],
            window_frames: 0,
            window_misses: 0,
            frames_without_miss: 0,
        }
    }

    /// Takes note of a frame that took so long; advice, where it has come to that. After it the count begins anew.
    pub fn record(&mut self, elapsed: Duration) -> Option<LoadAdvice> {
        let load = elapsed.as_secs_f32() / self.frame.as_secs_f32();
        let reading = &mut self.reading;
        reading.frames += 1;
        let count = reading.frames as f32;
        reading.mean += (load - reading.mean) / count.min(MEAN_FRAMES);
        reading.max = reading.max.max(load);

        let bucket = ((load / MIN_LOAD).max(1.0).log2() * BUCKETS_PER_OCTAVE).ceil() as usize;
        let weight = 1.0 / count.min(HISTOGRAM_FRAMES);
        self.histogram.iter_mut().for_each(|share| *share *= 1.0 - weight);
        self.histogram[bucket.min(BUCKETS - 1)] += weight;
        let mut beyond = 1.0;
        let p99 = self.histogram.iter().position(|share| {
            beyond -= share;
            beyond < 0.01
        });
        reading.p99 = MIN_LOAD * (p99.unwrap_or(BUCKETS - 1) as f32 / BUCKETS_PER_OCTAVE).exp2();

        let missed = elapsed > self.frame;
        reading.deadline_misses += u64::from(missed);
        self.window_frames += 1;
        self.window_misses += u32::from(missed);
        self.frames_without_miss = if missed { 0 } else { self.frames_without_miss + 1 };
        let advice = if self.window_misses >= MAX_MISSES {
            Some(LoadAdvice::Cheaper)
        } else if self.frames_without_miss >= SAFE_FRAMES && reading.p99 < SAFE_P99 {
            Some(LoadAdvice::Costlier)
        } else {
            None
        };
        if self.window_frames >= MISS_WINDOW_FRAMES || advice.is_some() {
            (self.window_frames, self.window_misses) = (0, 0);
        }
        if advice.is_some() {
            self.frames_without_miss = 0;
        }
        advice
    }

    /// Load so far.
    pub fn reading(&self) -> LoadReading {
        self.reading
    }

    /// Capability of the device, from the load of the balanced profile: high where its 99th percentile is below 10 % of a
    /// frame, so that the high-quality profile, of several times the work, has room beside the rest of a call; low where it
    /// is above 50 %. Medium before a hundred frames.
    pub fn capability(&self) -> DeviceCapability {
        match self.reading {
            LoadReading { frames: ..100, .. } => DeviceCapability::Medium,
            LoadReading { p99: ..0.1, .. } => DeviceCapability::High,
            LoadReading { p99: 0.5.., .. } => DeviceCapability::Low,
            _ => DeviceCapability::Medium,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn monitor() -> LoadMonitor {
        LoadMonitor::new(Duration::from_millis(10))
    }

    #[test]
    fn loads_are_shares_of_a_frame() {
        let mut load = monitor();
        for frame in 0..1000 {
            load.record(Duration::from_micros(if frame % 50 == 49 { 3000 } else { 400 }));
        }
        let reading = load.reading();
        assert!((reading.mean - 0.0452).abs() < 0.003 && (reading.max - 0.3).abs() < 1e-6, "{reading:?}");
        assert!((0.3..0.36).contains(&reading.p99), "{reading:?}");
        assert_eq!((reading.frames, reading.deadline_misses, load.capability()), (1000, 0, DeviceCapability::Medium));
        (0..9000).for_each(|_| _ = load.record(Duration::from_micros(400)));
        assert!((0.04..0.05).contains(&load.reading().p99), "{:?}", load.reading());
        assert_eq!(load.capability(), DeviceCapability::High);
        load.record(Duration::MAX);
        load.record(Duration::ZERO);
        assert!(load.reading().mean.is_finite());
    }

    #[test]
    fn misses_ask_for_a_cheaper_profile_and_a_minute_of_ease_for_a_costlier_one() {
        let mut load = monitor();
        // One a second is none too many.
        let advice: Vec<_> = (0..6000)
            .filter_map(|frame| load.record(Duration::from_millis(if frame % 400 == 0 { 11 } else { 1 })))
            .collect();
        assert_eq!(advice, []);
        let advice: Vec<_> = (0..20).filter_map(|_| load.record(Duration::from_millis(11))).collect();
        assert_eq!(advice, [LoadAdvice::Cheaper; 4]);
        let mut frames = 0;
        let found = (0..20_000).find_map(|frame| {
            frames = frame;
            load.record(Duration::from_millis(1))
        });
        assert_eq!((found, frames), (Some(LoadAdvice::Costlier), 5999));
        // Without misses, but with no room.
        assert!((0..20_000).all(|_| load.record(Duration::from_millis(6)) != Some(LoadAdvice::Cheaper)));
    }
}
