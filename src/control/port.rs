//! The channel between a handle and one processor: two triple buffers.

use std::sync::{Arc, Weak};

use triple_buffer::{Input, Output, triple_buffer};

use super::Live;
use crate::core::Format;

/// Processor's end of a [`Handle`](super::Handle): the newest settings in, readings out.
///
/// A stage of one's own keeps the port it is given by [`LiveStage::prepare_with`](super::LiveStage::prepare_with). A
/// port whose handle went on to another processor stays usable: no settings arrive any more, and nobody sees its
/// readings.
///
/// # Realtime safety
/// Wait-free: no lock, no allocation, no system call.
pub struct ControlPort<S: Live> {
    settings: Output<S>,
    readings: Input<S::Reading>,
    /// Lets the handle know that a processor runs.
    _running: Arc<()>,
}

impl<S: Live> ControlPort<S> {
    /// The settings, if they were changed since the last call. Always a whole value that [`Live::validate`] accepts.
    pub fn changed(&mut self) -> Option<S> {
        self.settings.update().then(|| *self.settings.output_buffer())
    }

    /// Makes `reading` the one that the handle shows.
    pub fn publish(&mut self, reading: S::Reading) {
        self.readings.write(reading);
    }
}

impl<S: Live> std::fmt::Debug for ControlPort<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ControlPort({:?})", self.settings.output_buffer())
    }
}

/// Handle's end of a [`ControlPort`].
pub(super) struct Link<S: Live> {
    settings: Input<S>,
    readings: Output<S::Reading>,
    running: Weak<()>,
    /// What the processor was prepared for: the settings that are fixed are these.
    pub prepared: S,
    pub format: Format,
}

impl<S: Live> Link<S> {
    /// Both ends, for a processor with these settings.
    pub fn new(prepared: S, format: Format) -> (ControlPort<S>, Self) {
        let (settings_in, settings_out) = triple_buffer(&prepared);
        let (readings_in, readings_out) = triple_buffer(&S::Reading::default());
        let running = Arc::new(());
        let link =
            Self { settings: settings_in, readings: readings_out, running: Arc::downgrade(&running), prepared, format };
        (ControlPort { settings: settings_out, readings: readings_in, _running: running }, link)
    }

    /// Whether the processor still exists.
    pub fn is_running(&self) -> bool {
        self.running.strong_count() > 0
    }

    pub fn send(&mut self, settings: S) {
        self.settings.write(settings);
    }

    pub fn reading(&mut self) -> S::Reading {
        *self.readings.read()
    }
}
