//! Handles, and what can have one.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::port::{Link, Port, channel};
use crate::core::{Format, Result, Stage};

/// Settings that can be changed, and whose processor can be watched, while it runs: those of every stage, and of the
/// [`JitterBuffer`](crate::JitterBuffer).
///
/// Settings and readings are plain `Copy` values of any size and any fields. A stage of one's own implements
/// [`LiveStage`] too.
///
/// ```
/// use voxframe::{Format, Frame, Gain, Live, Processor, Stage};
/// let (gain, control) = Gain::db(0.0).live();
/// let mut gain = gain.prepare(Format::mono(48_000)?)?;
/// std::thread::spawn(move || control.update(|gain| gain.muted = true)).join().unwrap()?;
/// let mut frame = Frame::new(gain.input_format());
/// frame.samples_mut().fill(0.5);
/// let faded = gain.process(&mut frame)?.unwrap();
/// assert!(faded.samples()[0] > 0.49 && faded.samples()[479] == 0.0);
/// # Ok::<(), voxframe::Error>(())
/// ```
pub trait Live: Copy + Debug + PartialEq + Send {
    /// State of the processor, for meters and displays.
    type Reading: Copy + Default + Send;

    /// Checks the settings, as far as they do not depend on the format. [`error::in_range`](crate::error::in_range)
    /// helps.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) and the like, for the first setting that is refused.
    fn validate(&self) -> Result<()>;

    /// Checks whether a processor that was prepared with `prepared` for `format` can take these settings while it runs.
    /// By default it can. [`error::fixed`](crate::error::fixed) helps.
    ///
    /// # Errors
    /// [`Error::Fixed`](crate::Error::Fixed) for a setting that only a new processor can take; others for a setting
    /// that does not go with the format.
    fn validate_change(&self, prepared: &Self, format: Format) -> Result<()> {
        let _ = (prepared, format);
        Ok(())
    }

    /// These settings, and a handle to them for other threads. Short for [`Handle::new`] and [`Handle::attach`].
    fn live(self) -> (WithHandle<Self>, Handle<Self>) {
        let handle = Handle::new(self);
        (handle.attach(), handle)
    }
}

/// [`Stage`] whose processor a [`Handle`] controls.
pub trait LiveStage: Stage + Live {
    /// [`Stage::prepare`] for a processor that takes its settings from `port` and publishes its readings there.
    ///
    /// # Errors
    /// Those of [`Stage::prepare`].
    fn prepare_with(self, input: Format, port: ControlPort<Self>) -> Result<Self::Processor>;
}

/// Port of a processor with the settings `S`: what [`LiveStage::prepare_with`] is given.
pub type ControlPort<S> = Port<S, <S as Live>::Reading>;

/// Handle to a stage or a jitter buffer: changes its settings and reads its state from any control thread.
///
/// A handle outlives the processors it controls. Each processor prepared from [`attach`](Self::attach) takes over from
/// the one before, with the settings the handle holds. Settings made while no processor exists wait for the next one.
/// The output of a jitter buffer counts as a processor.
///
/// # Changes
/// [`update`](Self::update) commits a whole value or nothing, whoever else writes. What was committed takes effect with
/// the next frame, smoothed, so that nothing clicks.
///
/// One rule holds for all stages: a change that the running processor cannot take is refused. Nothing is accepted that
/// has no effect, or that makes `process` fail later.
/// - [`Error::Fixed`](crate::Error::Fixed): the setting fixes latency, buffers or a network when the processor is
///   prepared. These are `lookahead_ms` of `Limiter` and `NoiseGate`, `dual_mono` of `LoudnessMeter`, and whether
///   `suppression` of `EchoCancel` is `Off`. Prepare a new processor with [`attach_with`](Self::attach_with). A handle
///   without a processor takes
///   every valid setting.
/// - [`Error::OutOfRange`](crate::Error::OutOfRange): the setting does not go with the format of the running processor.
///   This is `packet_ms` of `OpusEncode` at 10 ms, in frames of 20 ms.
///
/// # Realtime safety
/// For control threads. A call may wait for another control thread that uses the same handle; it never makes the
/// audio thread wait.
pub struct Handle<S: Live> {
    state: Arc<Mutex<State<S>>>,
}

struct State<S: Live> {
    settings: S,
    /// Processor attached last.
    attached: Option<Attached<S>>,
}

struct Attached<S: Live> {
    link: Link<S, S::Reading>,
    /// Settings and format that the processor was prepared with.
    prepared: S,
    format: Format,
}

impl<S: Live> State<S> {
    fn validate(&self, settings: &S) -> Result<()> {
        settings.validate()?;
        match self.attached.as_ref().filter(|attached| attached.link.is_running()) {
            Some(attached) => settings.validate_change(&attached.prepared, attached.format),
            None => Ok(()),
        }
    }
}

impl<S: Live> Handle<S> {
    /// Handle to no processor yet. Settings out of range are reported by [`Stage::prepare`].
    pub fn new(settings: S) -> Self {
        Self { state: Arc::new(Mutex::new(State { settings, attached: None })) }
    }

    /// Stage whose processor this handle controls.
    ///
    /// The processor takes over when it is prepared: the one before keeps the settings it has, and is no longer read.
    /// If preparing fails, nothing changes.
    pub fn attach(&self) -> WithHandle<S> {
        WithHandle { handle: self.clone(), settings: None }
    }

    /// As [`attach`](Self::attach), with other settings: they become the handle's when the processor takes over.
    pub fn attach_with(&self, settings: S) -> WithHandle<S> {
        WithHandle { handle: self.clone(), settings: Some(settings) }
    }

    /// Whether a processor that this handle controls exists.
    pub fn is_attached(&self) -> bool {
        self.state().attached.as_ref().is_some_and(|attached| attached.link.is_running())
    }

    /// Settings in force, or waiting for the next processor.
    pub fn settings(&self) -> S {
        self.state().settings
    }

    /// Changes the settings: `change` is given the newest value, and what it leaves is committed as a whole.
    ///
    /// `change` must not use this handle.
    ///
    /// # Errors
    /// Those of [`Live::validate`] and, while a processor exists, of [`Live::validate_change`]; then nothing is
    /// changed.
    pub fn update(&self, change: impl FnOnce(&mut S)) -> Result<()> {
        let mut state = self.state();
        let mut settings = state.settings;
        change(&mut settings);
        state.validate(&settings)?;
        state.settings = settings;
        if let Some(attached) = &mut state.attached {
            attached.link.send(settings);
        }
        Ok(())
    }

    /// Newest reading, all of it from the same frame. The default before the first frame.
    pub fn reading(&self) -> S::Reading {
        self.state().attached.as_mut().map(|attached| attached.link.reading()).unwrap_or_default()
    }

    /// Object that the processor attached last shares, if it is a `T`.
    #[cfg_attr(not(feature = "spectrum"), allow(dead_code))]
    pub(crate) fn shared<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.state().attached.as_ref()?.link.shared()
    }

    /// A panic in `change` leaves the state as it was, so a poisoned lock is as good as any.
    fn state(&self) -> MutexGuard<'_, State<S>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Live> Clone for Handle<S> {
    fn clone(&self) -> Self {
        Self { state: Arc::clone(&self.state) }
    }
}

impl<S: Live> Debug for Handle<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Handle({:?})", self.settings())
    }
}

/// Settings with a [`Handle`]: what [`Handle::attach`] returns. A [`Stage`] where the settings are one.
#[derive(Debug)]
pub struct WithHandle<S: Live> {
    handle: Handle<S>,
    /// Settings that are to become the handle's.
    settings: Option<S>,
}

impl<S: Live> WithHandle<S> {
    /// Makes a processor from the newest settings and a port, and attaches it to the handle.
    pub(crate) fn take_over<T>(
        self,
        format: Format,
        mut make: impl FnMut(S, ControlPort<S>) -> Result<T>,
    ) -> Result<T> {
        loop {
            let prepared = self.settings.unwrap_or_else(|| self.handle.settings());
            let inherited = self.handle.state().attached.as_mut().map(|attached| attached.link.reading());
            let (port, mut link) = channel(prepared, inherited);
            let made = make(prepared, port)?;

            let mut state = self.handle.state();
            let newest = if self.settings.is_some() { prepared } else { state.settings };
            if newest != prepared {
                // Changed meanwhile: what was made can take that, or must be made again.
                if newest.validate_change(&prepared, format).is_err() {
                    continue;
                }
                link.send(newest);
            }
            state.settings = newest;
            state.attached = Some(Attached { link, prepared, format });
            return Ok(made);
        }
    }
}

impl<S: LiveStage> Stage for WithHandle<S> {
    type Processor = S::Processor;

    fn prepare(self, input: Format) -> Result<S::Processor> {
        self.take_over(input, |settings, port| settings.prepare_with(input, port))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::core::error::in_range;
    use crate::core::{Error, Frame, Processor};

    fn format() -> Format {
        Format::mono(48_000).unwrap()
    }

    /// A stage whose settings constrain each other, with more fields than any stage of the crate.
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Wide {
        low: [i64; 20],
        high: [i64; 20],
        fixed: u8,
    }

    #[derive(Clone, Copy)]
    struct WideReading([u64; 40]);

    impl Default for WideReading {
        fn default() -> Self {
            Self([0; 40])
        }
    }

    struct WideProcessor {
        format: Format,
        port: ControlPort<Wide>,
        seen: Wide,
        frames: u64,
    }

    impl Stage for Wide {
        type Processor = WideProcessor;

        fn prepare(self, input: Format) -> Result<WideProcessor> {
            self.prepare_with(input, ControlPort::unconnected())
        }
    }

    impl Live for Wide {
        type Reading = WideReading;

        fn validate(&self) -> Result<()> {
            let widest = self.low.iter().zip(&self.high).map(|(low, high)| high - low).min().unwrap_or(0);
            in_range("Wide::high - low", widest as f32, 5.0, f32::MAX)
        }

        fn validate_change(&self, prepared: &Self, _: Format) -> Result<()> {
            if self.fixed == prepared.fixed { Ok(()) } else { Err(Error::Fixed { setting: "Wide::fixed" }) }
        }
    }

    impl LiveStage for Wide {
        fn prepare_with(self, format: Format, port: ControlPort<Self>) -> Result<WideProcessor> {
            self.validate()?;
            Ok(WideProcessor { format, port, seen: self, frames: 0 })
        }
    }

    impl Processor for WideProcessor {
        type Input = Frame;
        type Output = Frame;

        fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Frame>> {
            if let Some(settings) = self.port.changed() {
                settings.validate()?;
                self.seen = settings;
            }
            self.frames += 1;
            self.port.publish(WideReading([self.frames; 40]));
            Ok(Some(frame))
        }

        fn reset(&mut self) {}

        fn input_format(&self) -> Format {
            self.format
        }
    }

    const WIDE: Wide = Wide { low: [0; 20], high: [5; 20], fixed: 0 };

    #[test]
    fn a_million_updates_from_four_threads_are_whole_and_valid() {
        let handle = Handle::new(WIDE);
        let mut processor = handle.attach().prepare(format()).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..4i64)
                .map(|writer| {
                    let handle = &handle;
                    scope.spawn(move || {
                        for step in 0..250_000i64 {
                            let to = (step * 7 + writer * 3) % 50;
                            // Each moves one side only, so that a mixture of two valid values is often invalid.
                            let refused = handle.update(|wide| {
                                if writer % 2 == 0 { wide.low = [to; 20] } else { wide.high = [to + 5; 20] }
                            });
                            assert!(matches!(refused, Ok(()) | Err(Error::OutOfRange { .. })));
                            let reading = handle.reading().0;
                            assert!(reading.iter().all(|&word| word == reading[0]), "torn: {reading:?}");
                        }
                    })
                })
                .collect();
            let done = &done;
            let audio = scope.spawn(move || {
                let mut frame = Frame::new(format());
                while !done.load(Ordering::Relaxed) {
                    processor.process(&mut frame).unwrap();
                }
                processor.process(&mut frame).unwrap();
                processor.seen
            });
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            done.store(true, Ordering::Relaxed);
            assert_eq!(audio.join().unwrap(), handle.settings(), "the last update has arrived");
        });
    }

    #[test]
    fn without_a_handle_a_processor_keeps_its_settings() {
        let mut processor = WIDE.prepare(format()).unwrap();
        processor.process(&mut Frame::new(format())).unwrap();
        assert_eq!((processor.seen, processor.frames), (WIDE, 1));
        assert!(processor.port.inherited().is_none());
        // A handle that is dropped leaves its port what it was.
        let mut processor = WIDE.live().0.prepare(format()).unwrap();
        processor.process(&mut Frame::new(format())).unwrap();
        assert_eq!((processor.seen, processor.frames), (WIDE, 1));
    }

    #[test]
    fn what_is_fixed_can_change_only_between_processors() {
        let handle = Handle::new(WIDE);
        let running = handle.attach().prepare(format()).unwrap();
        assert_eq!(handle.update(|wide| wide.fixed = 1), Err(Error::Fixed { setting: "Wide::fixed" }));
        assert_eq!(handle.settings(), WIDE);
        drop(running);
        handle.update(|wide| wide.fixed = 1).unwrap();
        assert_eq!(handle.attach().prepare(format()).unwrap().seen.fixed, 1);
    }

    #[test]
    fn a_bad_setting_changes_nothing() {
        let handle = Handle::new(WIDE);
        let refused = handle.update(|wide| (wide.low[19], wide.high[0]) = (1, 100));
        assert!(matches!(refused, Err(Error::OutOfRange { .. })));
        assert_eq!(handle.settings(), WIDE);
    }

    #[test]
    fn a_panic_in_a_change_leaves_the_handle_usable() {
        let handle = Handle::new(WIDE);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = handle.update(|wide| {
                wide.high = [9; 20];
                panic!("in the application");
            });
        }));
        assert!(panicked.is_err());
        assert_eq!(handle.settings(), WIDE);
        handle.update(|wide| wide.high = [8; 20]).unwrap();
    }
}
