//! Channel between a handle and one processor: two triple buffers.

use std::any::Any;
use std::sync::{Arc, OnceLock, Weak};

use triple_buffer::{Input, Output, triple_buffer};

/// Object that a processor shares with the control side, readable without a lock.
type Shared = Arc<OnceLock<Arc<dyn Any + Send + Sync>>>;

/// Processor's end of a [`Handle`](crate::Handle): the newest settings `S` in, readings `R` out.
///
/// A stage of one's own keeps the port it is given by [`LiveStage::prepare_with`](crate::control::LiveStage::prepare_with). A port whose
/// handle went on to another processor stays usable: no settings arrive any more, and nobody sees its readings.
///
/// # Realtime safety
/// Wait-free: no lock, no allocation, no system call.
pub struct Port<S: Send, R: Send> {
    settings: Output<S>,
    readings: Input<R>,
    inherited: Option<R>,
    shared: Shared,
    /// Lets the handle know that the processor exists.
    _running: Arc<()>,
}

impl<S: Copy + Send, R: Copy + Send> Port<S, R> {
    /// New settings, if there were any since the last call. Always a whole value that
    /// [`Live::validate`](crate::Live::validate) accepts.
    pub fn changed(&mut self) -> Option<S> {
        self.settings.update().then(|| *self.settings.output_buffer())
    }

    /// Makes `reading` the one that [`Handle::reading`](crate::Handle::reading) returns.
    pub fn publish(&mut self, reading: R) {
        self.readings.write(reading);
    }

    /// Last reading of the processor that the handle controlled before, if there was one: for a stage that is to go on with
    /// what that one knew.
    pub fn inherited(&self) -> Option<R> {
        self.inherited
    }

    /// Shares an object with the control side, for what is too large for a reading. Once, when the processor is
    /// prepared.
    #[cfg_attr(not(feature = "spectrum"), allow(dead_code))]
    pub(crate) fn share(&self, object: Arc<dyn Any + Send + Sync>) {
        let first = self.shared.set(object).is_ok();
        debug_assert!(first, "a processor shares one object");
    }
}

impl<S: std::fmt::Debug + Send, R: Send> std::fmt::Debug for Port<S, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ControlPort({:?})", self.settings.output_buffer())
    }
}

/// Handle's end of a [`Port`].
pub(super) struct Link<S: Send, R: Send> {
    settings: Input<S>,
    readings: Output<R>,
    shared: Shared,
    running: Weak<()>,
}

/// Both ends, for a processor with these settings.
pub(super) fn channel<S, R>(settings: S, inherited: Option<R>) -> (Port<S, R>, Link<S, R>)
where
    S: Copy + Send,
    R: Copy + Default + Send,
{
    let (settings_in, settings_out) = triple_buffer(&settings);
    let (readings_in, readings_out) = triple_buffer(&inherited.unwrap_or_default());
    let (running, shared) = (Arc::new(()), Shared::default());
    let link = Link {
        settings: settings_in,
        readings: readings_out,
        shared: Arc::clone(&shared),
        running: Arc::downgrade(&running),
    };
    (Port { settings: settings_out, readings: readings_in, inherited, shared, _running: running }, link)
}

impl<S: Copy + Send, R: Copy + Send> Link<S, R> {
    /// Whether the processor still exists.
    pub fn is_running(&self) -> bool {
        self.running.strong_count() > 0
    }

    pub fn send(&mut self, settings: S) {
        self.settings.write(settings);
    }

    pub fn reading(&mut self) -> R {
        *self.readings.read()
    }

    /// Object that the processor shares, if it is a `T`.
    #[cfg_attr(not(feature = "spectrum"), allow(dead_code))]
    pub fn shared<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.shared.get().cloned()?.downcast().ok()
    }
}
