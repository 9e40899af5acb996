//! Changing and watching a stage while it runs.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use crate::core::{Format, Result, Stage};

/// The most fields a [`Record`] can have.
pub const MAX_FIELDS: usize = 16;

/// A plain value that travels between threads as atomic words, one a field. [`record!`](crate::record) makes a struct one.
pub trait Record: Copy {
    /// The fields in order.
    fn to_words(&self) -> [u64; MAX_FIELDS];
    /// The value with these fields.
    fn from_words(words: &[u64; MAX_FIELDS]) -> Self;
}

/// A field of a [`Record`]: a number, a switch, two `f32`, or an enum that implements this.
pub trait Word: Copy {
    /// The value as a word.
    fn to_word(self) -> u64;
    /// The value of a word that [`to_word`](Self::to_word) made.
    fn from_word(word: u64) -> Self;
}

macro_rules! words {
    ($($ty:ty: $value:ident => $to:expr, $word:ident => $from:expr;)*) => {$(
        impl Word for $ty {
            fn to_word(self) -> u64 { let $value = self; $to }
            fn from_word($word: u64) -> Self { $from }
        }
    )*};
}

words! {
    f32: v => u64::from(v.to_bits()), w => f32::from_bits(w as u32);
    [f32; 2]: v => u64::from(v[0].to_bits()) | u64::from(v[1].to_bits()) << 32,
        w => [f32::from_bits(w as u32), f32::from_bits((w >> 32) as u32)];
    bool: v => u64::from(v), w => w != 0;
    u8: v => u64::from(v), w => w as u8;
    u32: v => u64::from(v), w => w as u32;
    u64: v => v, w => w;
}

/// Makes a struct a [`Record`](crate::control::Record) of the fields named, which must be all: at most
/// [`MAX_FIELDS`](crate::control::MAX_FIELDS), each a [`Word`](crate::control::Word).
///
/// ```
/// #[derive(Clone, Copy)]
/// struct Tremolo {
///     rate_hz: f32,
///     bypassed: bool,
/// }
/// voxframe::record!(Tremolo { rate_hz, bypassed });
/// ```
#[macro_export]
macro_rules! record {
    ($ty:ident { $($field:ident),* $(,)? }) => {
        impl $crate::control::Record for $ty {
            fn to_words(&self) -> [u64; $crate::control::MAX_FIELDS] {
                let mut words = [0; $crate::control::MAX_FIELDS];
                for (word, field) in words.iter_mut().zip([$($crate::control::Word::to_word(self.$field)),*]) {
                    *word = field;
                }
                words
            }

            fn from_words(words: &[u64; $crate::control::MAX_FIELDS]) -> Self {
                let [$($field,)* ..] = *words;
                Self { $($field: $crate::control::Word::from_word($field)),* }
            }
        }
    };
}
pub(crate) use record;

/// A stage that can be changed and watched while it runs.
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
pub trait Live: Stage + Record + PartialEq {
    /// What the running stage tells.
    type Reading: Record + Default;

    /// Checks the settings, as far as they do not depend on the format.
    ///
    /// # Errors
    /// Names the setting that is out of range.
    fn validate(&self) -> Result<()>;

    /// [`Stage::prepare`] for a processor that obeys `handle` and reports to it.
    ///
    /// # Errors
    /// Those of [`Stage::prepare`].
    fn prepare_with(self, input: Format, handle: Handle<Self>) -> Result<Self::Processor>;

    /// This stage, and a handle to it for other threads.
    fn live(self) -> (WithHandle<Self>, Handle<Self>) {
        let handle = Handle::new(self);
        (handle.stage(), handle)
    }
}

/// A stage with a [`Handle`] to it: the first of the two things that [`Live::live`] returns.
#[derive(Debug)]
pub struct WithHandle<S> {
    handle: Handle<S>,
}

impl<S: Live> Stage for WithHandle<S> {
    type Processor = S::Processor;

    fn prepare(self, input: Format) -> Result<S::Processor> {
        self.handle.settings().prepare_with(input, self.handle)
    }
}

/// Changes the settings of a running stage and reads what it tells, from any thread.
///
/// # Realtime safety
/// Safe on both sides: no lock, no allocation. What is set takes effect with the next frame; the stage smooths it, so
/// that nothing clicks.
#[derive(Debug)]
pub struct Handle<S> {
    shared: Arc<Shared>,
    settings: PhantomData<fn() -> S>,
}

#[derive(Debug, Default)]
struct Shared {
    settings: Slot,
    reading: Slot,
}

#[derive(Debug, Default)]
struct Slot {
    generation: AtomicU32,
    words: [AtomicU64; MAX_FIELDS],
}

impl Slot {
    fn load(&self) -> [u64; MAX_FIELDS] {
        std::array::from_fn(|i| self.words[i].load(Ordering::Acquire))
    }
}

impl<S> Clone for Handle<S> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), settings: PhantomData }
    }
}

impl<S: Live> Handle<S> {
    pub(crate) fn new(settings: S) -> Self {
        let handle = Self { shared: Arc::default(), settings: PhantomData };
        let words = settings.to_words();
        for (slot, word) in handle.shared.settings.words.iter().zip(words) {
            slot.store(word, Ordering::Release);
        }
        handle.shared.publish(&S::Reading::default());
        handle
    }

    /// A stage that obeys this handle and reports to it. One at a time: two would overwrite each other's readings.
    pub(crate) fn stage(&self) -> WithHandle<S> {
        WithHandle { handle: self.clone() }
    }

    /// The settings in force.
    pub fn settings(&self) -> S {
        S::from_words(&self.shared.settings.load())
    }

    /// Changes some settings. Changes to other fields made by other threads at the same time are kept.
    ///
    /// A setting that is fixed once the stage runs (its doc says so) keeps its old effect.
    ///
    /// # Errors
    /// A setting out of range; then nothing is changed.
    pub fn update(&self, change: impl FnOnce(&mut S)) -> Result<()> {
        let before = self.settings();
        let mut after = before;
        change(&mut after);
        after.validate()?;
        let slot = &self.shared.settings;
        for ((word, before), after) in slot.words.iter().zip(before.to_words()).zip(after.to_words()) {
            if before != after {
                word.store(after, Ordering::Release);
            }
        }
        slot.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// What the stage told last: all of it from the same frame.
    pub fn reading(&self) -> S::Reading {
        let slot = &self.shared.reading;
        let mut words = slot.load();
        // The stage writes for some nanoseconds every 10 ms. The bound is for a writer put to sleep in the middle.
        for _ in 0..1000 {
            let before = slot.generation.load(Ordering::Acquire);
            words = slot.load();
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && before == slot.generation.load(Ordering::Relaxed) {
                break;
            }
            std::hint::spin_loop();
        }
        S::Reading::from_words(&words)
    }
}

impl Shared {
    fn publish(&self, reading: &impl Record) {
        let slot = &self.reading;
        let generation = slot.generation.load(Ordering::Relaxed) & !1;
        slot.generation.store(generation.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        for (slot, word) in slot.words.iter().zip(reading.to_words()) {
            slot.store(word, Ordering::Relaxed);
        }
        slot.generation.store(generation.wrapping_add(2), Ordering::Release);
    }
}

/// The processor's end of a [`Handle`]: what a stage of your own needs to be [`Live`].
///
/// # Realtime safety
/// Safe: no lock, no allocation.
#[derive(Debug)]
pub struct ControlPort<S> {
    handle: Handle<S>,
    seen: u32,
}

impl<S: Live> ControlPort<S> {
    /// The other end of `handle`.
    pub fn new(handle: Handle<S>) -> Self {
        let seen = handle.shared.settings.generation.load(Ordering::Acquire);
        Self { handle, seen }
    }

    /// The settings, if they may have changed since the last call.
    pub fn changed(&mut self) -> Option<S> {
        let generation = self.handle.shared.settings.generation.load(Ordering::Acquire);
        if generation == self.seen {
            return None;
        }
        self.seen = generation;
        Some(self.handle.settings())
    }

    /// Lets the handle read this from now on.
    pub fn publish(&self, reading: S::Reading) {
        self.handle.shared.publish(&reading);
    }
}

#[cfg(test)]
mod tests {
    use crate::control::Live;
    use crate::core::{Error, Format, Frame, Processor, Stage};
    use crate::stages::gain::Gain;

    #[test]
    fn threads_change_different_settings_of_one_stage() {
        let (gain, control) = Gain::db(0.0).live();
        let mut gain = gain.prepare(Format::mono(48_000).unwrap()).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| (0..1000).for_each(|i| control.update(|g| g.gain_db = -(i % 7) as f32).unwrap()));
            scope.spawn(|| (0..1000).for_each(|i| control.update(|g| g.ramp_ms = 1.0 + (i % 3) as f32).unwrap()));
            let mut frame = Frame::new(gain.input_format());
            for _ in 0..200 {
                gain.process(&mut frame).unwrap();
                let reading = control.reading();
                assert!((-6.01..=0.01).contains(&reading.gain_db), "{reading:?}");
            }
        });
        assert_eq!(control.settings(), Gain { gain_db: -5.0, muted: false, ramp_ms: 1.0 });
    }

    #[test]
    fn a_bad_setting_changes_nothing() {
        let (_, control) = Gain::db(3.0).live();
        let refused = control.update(|gain| *gain = Gain { gain_db: f32::NAN, muted: true, ..*gain });
        assert!(matches!(refused, Err(Error::OutOfRange { setting: "Gain::gain_db", .. })));
        assert_eq!(control.settings(), Gain::db(3.0));
    }
}
