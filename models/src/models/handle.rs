//! Handles: settings are whole, valid and none is lost; readings are whole and never go back.

use loom::thread;

use super::Model;
use crate::control::{ControlPort, Handle, Live, LiveStage};
use crate::core::{Error, Format, Result, Stage};

/// Two writers, a processor and a reader.
pub const WRITERS_PROCESSOR_READER: Model =
    Model { name: "handle: two writers, a processor, a reader", preemptions: Some(4), body: writers_processor_reader };

/// One control thread and a processor, for so long that every buffer between them is used again.
pub const LONG: Model =
    Model { name: "handle: a control thread and a processor, for long", preemptions: Some(4), body: long };

/// A processor takes over from one that runs, while settings change.
pub const TAKE_OVER: Model = Model { name: "handle: a processor takes over", preemptions: None, body: take_over };

/// A setting that only a new processor can take changes while that is prepared.
pub const FIXED: Model = Model { name: "handle: a fixed setting changes", preemptions: None, body: fixed };

#[derive(Clone, Copy, Debug, PartialEq)]
struct Settings {
    low: u32,
    /// More than `low`.
    high: u32,
    /// For new processors only.
    fixed: bool,
}

const SETTINGS: Settings = Settings { low: 0, high: 1, fixed: false };

/// A number, twice.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Reading([u32; 2]);

impl Reading {
    fn whole(self) -> u32 {
        assert_eq!(self.0[0], self.0[1]);
        self.0[0]
    }
}

impl Live for Settings {
    type Reading = Reading;

    fn validate(&self) -> Result<()> {
        if self.low < self.high { Ok(()) } else { Err(Error::OutOfRange) }
    }

    fn validate_change(&self, prepared: &Self, _: Format) -> Result<()> {
        if self.fixed == prepared.fixed { Ok(()) } else { Err(Error::Fixed) }
    }
}

struct Processor {
    port: ControlPort<Settings>,
    prepared: Settings,
    seen: Settings,
    frames: u32,
}

impl Stage for Settings {
    type Processor = Processor;

    fn prepare(self, input: Format) -> Result<Processor> {
        self.prepare_with(input, ControlPort::unconnected())
    }
}

impl LiveStage for Settings {
    fn prepare_with(self, _: Format, port: ControlPort<Self>) -> Result<Processor> {
        let frames = port.inherited().unwrap_or_default().whole();
        Ok(Processor { port, prepared: self, seen: self, frames })
    }
}

impl Processor {
    fn process(&mut self) {
        if let Some(settings) = self.port.changed() {
            assert_eq!(settings.validate(), Ok(()));
            assert!(settings.low >= self.seen.low && settings.high >= self.seen.high, "{settings:?}, {:?}", self.seen);
            self.seen = settings;
        }
        self.frames += 1;
        self.port.publish(Reading([self.frames; 2]));
    }
}

fn writers_processor_reader() {
    let (stage, handle) = SETTINGS.live();
    let mut processor = stage.prepare(Format).unwrap();
    let writer = |change: fn(&mut Settings)| {
        let handle = handle.clone();
        thread::spawn(move || handle.update(change))
    };
    // Refused while the other has not written yet: then it must be as if it had not been tried.
    let lower = writer(|settings| settings.low += 1);
    let higher = writer(|settings| settings.high += 2);
    let audio = thread::spawn(move || {
        (0..2).for_each(|_| processor.process());
        processor
    });
    let first = handle.reading().whole();
    let second = handle.reading().whole();
    assert!(first <= second && second <= 2);
    let low = lower.join().unwrap().map_or(0, |()| 1);
    higher.join().unwrap().unwrap();
    let mut processor = audio.join().unwrap();
    assert_eq!(handle.settings(), Settings { low, high: 3, fixed: false });
    assert_eq!(handle.reading().whole(), 2);
    processor.process();
    assert_eq!(processor.seen, handle.settings(), "the last update has arrived");
}

fn long() {
    let (stage, handle) = SETTINGS.live();
    let mut processor = stage.prepare(Format).unwrap();
    let audio = thread::spawn(move || {
        (0..3).for_each(|_| processor.process());
        processor
    });
    let mut newest = 0;
    for _ in 0..4 {
        handle.update(|settings| (settings.low, settings.high) = (settings.high, settings.high + 1)).unwrap();
        let reading = handle.reading().whole();
        assert!(reading >= newest);
        newest = reading;
    }
    let mut processor = audio.join().unwrap();
    processor.process();
    assert_eq!(processor.seen, handle.settings());
    assert_eq!(handle.reading().whole(), 4);
}

fn take_over() {
    let (stage, handle) = SETTINGS.live();
    let mut before = stage.prepare(Format).unwrap();
    let audio = thread::spawn(move || {
        before.process();
        before.frames
    });
    let writer = thread::spawn({
        let handle = handle.clone();
        move || {
            handle.update(|settings| settings.high += 1).unwrap();
            handle.update(|settings| settings.low += 1).unwrap();
        }
    });
    let mut processor = handle.attach().prepare(Format).unwrap();
    processor.process();
    writer.join().unwrap();
    let before = audio.join().unwrap();
    assert!((1..=1 + before).contains(&processor.frames), "goes on with what the one before had published, or nothing");
    processor.process();
    assert_eq!(handle.settings(), Settings { low: 1, high: 2, fixed: false });
    assert_eq!(processor.seen, handle.settings());
    assert_eq!(handle.reading().whole(), processor.frames);
}

fn fixed() {
    let handle = Handle::new(SETTINGS);
    let writer = thread::spawn({
        let handle = handle.clone();
        move || handle.update(|settings| settings.fixed = true)
    });
    let mut processor = handle.attach().prepare(Format).unwrap();
    processor.process();
    let changed = writer.join().unwrap();
    processor.process();
    assert!(matches!(changed, Ok(()) | Err(Error::Fixed)));
    assert_eq!(handle.settings().fixed, changed.is_ok());
    assert_eq!(processor.prepared.fixed, changed.is_ok(), "what runs was prepared with what is in force");
    assert_eq!(processor.seen, handle.settings());
}
