//! Switch from one running pipeline to another.

mod latency_pad;

use std::sync::{Arc, Weak};

use triple_buffer::{Input, Output, TripleBuffer};

use self::latency_pad::LatencyPad;
use crate::core::{Error, Format, Frame, Pipeline, Processor, Result};
use crate::dsp::kernels;
use crate::dsp::ramp::{GainCurve, Ramp};

/// Time for which a new pipeline that is warm waits for a pause, at most, in ms. Where latencies differ, sound is left out
/// or heard twice, and in a pause nobody hears that.
const MAX_WAIT_MS: u32 = 1000;

/// Length of the cross-fade in ms. Over a shorter one a sine of 100 Hz would be steeper by more than 1 % where the
/// pipelines differ in phase.
const FADE_MS: f32 = 40.0;

/// Time after a switch for which a lower latency is padded, in ms: from one switch to the next nothing leaps.
const PADDED_MS: u32 = 5000;

/// Power of a pause, relative to the loudest of late (−20 dB), and fall of that loudness with each frame (3 dB/s at 10 ms).
const PAUSE: f32 = 0.01;
const FALL: f32 = 0.993;

/// What is handed over: a new pipeline on its way to the audio thread, or the old one on its way back.
type Mail = Option<Box<Running>>;

/// Pipeline with all that is needed to take it in.
struct Running {
    pipeline: Pipeline,
    /// Copy of the input.
    frame: Frame,
    /// Share of this pipeline in what is heard.
    share: Ramp,
    pad: LatencyPad,
    warm_up_ms: u32,
}

impl Running {
    fn new(pipeline: Pipeline, warm_up_ms: u32) -> Box<Self> {
        let output = pipeline.output_format();
        Box::new(Self {
            frame: Frame::new(pipeline.input_format()),
            share: Ramp::new(0.0, output.samples_in_ms(FADE_MS)),
            pad: LatencyPad::new(output, FADE_MS),
            pipeline,
            warm_up_ms,
        })
    }

    fn latency(&self) -> usize {
        self.pipeline.latency() + self.pad.samples()
    }
}

/// Switch from one running pipeline to another, for control threads: the other end of a [`SwitchProcessor`].
///
/// The new pipeline is built on the control thread and handed over without a lock. It runs beside the one that is heard
/// until it is warm, waits up to 1 s for a pause, and is faded in over 40 ms. The old one is dropped on a control
/// thread, at the next switches, or with the processor. Of pipelines handed over in the meantime the last one counts.
///
/// A lower latency than before is padded, up to 100 ms, so that switches to and fro leave nothing out. 5 s after the last
/// switch, in a pause, the padding is left out. A higher latency repeats as much sound at once.
///
/// ```
/// use voxframe::call::switch;
/// use voxframe::{Format, Frame, Gain, Pipeline, Processor};
/// let format = Format::mono(48_000)?;
/// let (mut processor, mut switch) = switch(Pipeline::new(format));
/// let mut louder = Pipeline::new(format);
/// louder.push("gain", Gain::db(6.0))?;
/// switch.to(louder, 300)?;
/// let mut frame = Frame::new(format);
/// for _ in 0..140 {
///     frame.samples_mut().fill(0.1);
///     processor.process(&mut frame)?;
/// }
/// assert!((frame.samples()[0] - 0.2).abs() < 1e-3);
/// # Ok::<(), voxframe::Error>(())
/// ```
pub struct PipelineSwitch {
    mail: Input<Mail>,
    input: Format,
    output: Format,
    running: Weak<()>,
}

/// Processor that runs `pipeline`, and the switch to others.
pub fn switch(pipeline: Pipeline) -> (SwitchProcessor, PipelineSwitch) {
    let (mail_in, mail_out) = TripleBuffer::<Mail>::default().split();
    let running = Arc::new(());
    let (input, output) = (pipeline.input_format(), pipeline.output_format());
    let switch = PipelineSwitch { mail: mail_in, input, output, running: Arc::downgrade(&running) };
    let processor = SwitchProcessor {
        heard: Running::new(pipeline, 0),
        incoming: None,
        waited_ms: 0,
        loudness: 0.0,
        shift: 0,
        mail: mail_out,
        _running: running,
    };
    (processor, switch)
}

impl PipelineSwitch {
    /// Makes `pipeline` the one that is heard, after `warm_up_ms` in which its filters and networks settle on the
    /// sound. Let that be longer than its latency.
    ///
    /// # Errors
    /// [`Error::WrongFormat`] for a pipeline from or to another format than the first one had. Nothing is changed.
    pub fn to(&mut self, pipeline: Pipeline, warm_up_ms: u32) -> Result<()> {
        for (expected, actual) in [(self.input, pipeline.input_format()), (self.output, pipeline.output_format())] {
            if expected != actual {
                return Err(Error::WrongFormat { expected, actual });
            }
        }
        self.mail.write(Some(Running::new(pipeline, warm_up_ms)));
        Ok(())
    }

    /// Whether the processor exists.
    pub fn is_running(&self) -> bool {
        self.running.strong_count() > 0
    }

    /// Format of the frames that go in.
    pub fn input_format(&self) -> Format {
        self.input
    }
}

impl std::fmt::Debug for PipelineSwitch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PipelineSwitch({} to {})", self.input, self.output)
    }
}

/// Processor that runs a pipeline, until another is handed over by its [`PipelineSwitch`]; made by [`switch`](switch()).
///
/// Positions count on over a switch. They stay those of the capture, but for the difference between the latency of the
/// first pipeline and the one now.
///
/// Latency: that of the pipeline that is heard, and its padding.
///
/// # Realtime safety
/// Safe. While a new pipeline gets ready, a frame takes the time of both.
pub struct SwitchProcessor {
    heard: Box<Running>,
    incoming: Mail,
    /// Time since there is an incoming pipeline, or since the one that is heard is that, in ms.
    waited_ms: u32,
    /// Highest power of late.
    loudness: f32,
    /// What is added to the positions of the pipeline that is heard.
    shift: i64,
    mail: Output<Mail>,
    _running: Arc<()>,
}

impl SwitchProcessor {
    /// Takes the pipeline that was handed over last, once the one before is heard.
    fn look_for_mail(&mut self) {
        if self.incoming.is_none() && self.mail.update() {
            self.incoming = self.mail.output_buffer_mut().take();
            if let Some(incoming) = &mut self.incoming {
                let missing = self.heard.latency().saturating_sub(incoming.pipeline.latency());
                incoming.pad.set(missing, incoming.pipeline.output_format());
            }
            self.waited_ms = 0;
        }
    }

    /// Makes the incoming pipeline the one that is heard, and sends the other back.
    fn finish(&mut self) {
        if let Some(incoming) = self.incoming.take() {
            // Nothing is freed here: what was in this buffer has been taken out.
            *self.mail.output_buffer_mut() = Some(std::mem::replace(&mut self.heard, incoming));
            self.waited_ms = 0;
        }
    }
}

impl Processor for SwitchProcessor {
    type Input = Frame;
    type Output = Frame;

    fn process<'a>(&'a mut self, frame: &'a mut Frame) -> Result<Option<&'a mut Frame>> {
        if self.incoming.as_ref().is_some_and(|incoming| incoming.share.value() == 1.0) {
            self.finish();
        }
        self.look_for_mail();
        // What fails in the new pipeline makes no difference to what is heard.
        let new = self.incoming.as_deref_mut().and_then(|Running { pipeline, frame: copy, share, pad, warm_up_ms }| {
            copy.copy_from(frame).ok()?;
            let new = pipeline.process(copy).ok()??;
            pad.process(new);
            Some((new, share, *warm_up_ms))
        });
        let Running { pipeline, pad, .. } = &mut *self.heard;
        let Some(out) = pipeline.process(frame)? else { return Ok(None) };
        let is_padded = pad.samples() > 0;
        if new.is_none() && !is_padded {
            out.set_position(out.position() + self.shift);
            return Ok(Some(out));
        }
        let loud = new.as_ref().map_or(0.0, |(new, ..)| power(new)).max(power(out));
        self.loudness = loud.max(self.loudness * FALL);
        self.waited_ms = self.waited_ms.saturating_add(out.format().frame_ms());
        let is_pause = loud <= PAUSE * self.loudness;

        let padding = pad.samples() as i64;
        pad.process(out);
        let position = out.position() + self.shift;
        if let Some((new, share, warm_up_ms)) = new {
            if self.waited_ms > warm_up_ms + if is_pause { 0 } else { MAX_WAIT_MS } {
                share.set(1.0, out.format().samples_in_ms(FADE_MS));
            }
            if let GainCurve::Moving(shares) = share.advance(out.format().samples_per_channel()) {
                out.channels_mut().zip(new.channels()).for_each(|(old, new)| shares.blend(old, new));
            }
            if share.value() == 1.0 {
                self.shift = position - new.position();
            }
        } else if is_pause && self.waited_ms > PADDED_MS {
            pad.release();
        }
        if pad.samples() == 0 {
            self.shift -= padding;
        }
        out.set_position(position);
        Ok(Some(out))
    }

    fn reset(&mut self) {
        self.finish();
        self.heard.pipeline.reset();
        self.heard.pad.clear();
        (self.shift, self.loudness) = (0, 0.0);
    }

    fn input_format(&self) -> Format {
        self.heard.pipeline.input_format()
    }

    fn output_format(&self) -> Format {
        self.heard.pipeline.output_format()
    }

    fn latency(&self) -> usize {
        self.heard.latency()
    }

    fn latency_ms(&self) -> f64 {
        self.heard.pipeline.latency_ms() + self.output_format().ms(self.heard.pad.samples())
    }
}

fn power(frame: &Frame) -> f32 {
    kernels::energy(frame.samples()) / frame.samples().len() as f32
}

impl std::fmt::Debug for SwitchProcessor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SwitchProcessor").field(&self.heard.pipeline).finish()
    }
}
