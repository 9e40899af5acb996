//! How to write a stage of your own, by the example of a tremolo: a voice that trembles.
//!
//! A stage is settings (a plain value) and a processor (what runs). To be changed and watched while it runs it also has
//! a reading, and a handle carries both between threads. `cargo run --example custom_stage` shows it at work.

use voxframe::control::{ControlPort, LiveStage};
use voxframe::error::in_range;
use voxframe::{Format, Frame, Gain, Live, Processor, Result, Stage};

/// The settings: public fields, with units in their names.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Tremolo {
    /// How often the sound swells, in Hz, 0.1 to 20.
    rate_hz: f32,
    /// How far it falls in between, 0 (not at all) to 1 (to silence).
    depth: f32,
}

/// What it tells while it runs.
#[derive(Clone, Copy, Default)]
struct TremoloReading {
    gain: f32,
}

impl Stage for Tremolo {
    type Processor = TremoloProcessor;

    fn prepare(self, input: Format) -> Result<TremoloProcessor> {
        self.prepare_with(input, ControlPort::unconnected())
    }
}

impl Live for Tremolo {
    type Reading = TremoloReading;

    /// Called before anything is set: a processor never meets a bad setting.
    fn validate(&self) -> Result<()> {
        in_range("Tremolo::rate_hz", self.rate_hz, 0.1, 20.0)?;
        in_range("Tremolo::depth", self.depth, 0.0, 1.0)
    }
}

impl LiveStage for Tremolo {
    /// Everything is computed and allocated here, where it may take its time.
    fn prepare_with(self, format: Format, port: ControlPort<Self>) -> Result<TremoloProcessor> {
        self.validate()?;
        Ok(TremoloProcessor { format, port, settings: self, depth: self.depth, phase: 0.0 })
    }
}

/// What runs: it owns all the state it will ever need.
struct TremoloProcessor {
    format: Format,
    port: ControlPort<Tremolo>,
    settings: Tremolo,
    /// The depth in force, on its way to that in the settings.
    depth: f32,
    /// Where in the swell it is, 0 to 1.
    phase: f32,
}

impl Processor for TremoloProcessor {
    type Input = Frame;
    type Output = Frame;

    /// Never allocates, locks or waits: a sound card is waiting for it.
    fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Frame>> {
        frame.check_and_sanitize(self.format)?; // the right format, and no NaN
        if let Some(settings) = self.port.changed() {
            self.settings = settings;
        }
        // One cosine at either end of the frame and a straight line between them: no step, whatever is changed.
        let gain = |depth, phase| 1.0 - depth * (0.5 - 0.5 * f32::cos(std::f32::consts::TAU * phase));
        let from = gain(self.depth, self.phase);
        self.phase = (self.phase + self.settings.rate_hz * self.format.frame_ms() as f32 / 1000.0).fract();
        self.depth += 0.5 * (self.settings.depth - self.depth);
        let to = gain(self.depth, self.phase);
        let slope = (to - from) / self.format.samples_per_channel() as f32;
        for channel in frame.channels_mut() {
            channel.iter_mut().enumerate().for_each(|(index, sample)| *sample *= from + slope * index as f32);
        }
        self.port.publish(TremoloReading { gain: to });
        Ok(Some(frame)) // a stage that delays takes its latency off the frame's position, and tells it in `latency`
    }

    fn reset(&mut self) {
        (self.depth, self.phase) = (self.settings.depth, 0.0);
    }

    fn input_format(&self) -> Format {
        self.format
    }
}

fn main() -> Result<()> {
    let (tremolo, control) = Tremolo { rate_hz: 2.0, depth: 1.0 }.live();
    let mut pipeline = Gain::db(-6.0206).then(tremolo).prepare(Format::mono(48_000)?)?;
    let mut frame = Frame::new(pipeline.input_format());
    for ms in (0..1500).step_by(10) {
        if ms == 1250 {
            control.update(|tremolo| tremolo.depth = 0.0)?; // from any thread, while it runs
        }
        frame.samples_mut().fill(1.0);
        if let Some(frame) = pipeline.process(&mut frame)?
            && ms % 50 == 0
        {
            println!("{ms:4} ms |{}", "#".repeat((100.0 * frame.samples()[0]).round() as usize));
        }
    }
    println!("switched off: gain {:.3}", control.reading().gain);
    println!("refused: {}", control.update(|tremolo| tremolo.depth = 2.0).unwrap_err());
    Ok(())
}
