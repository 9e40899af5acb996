//! Channel between a handle and one processor: two triple buffers.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use triple_buffer::{Input, Output, triple_buffer};

/// Object that a processor shares with the control side, readable without a lock. Both ends hold it, so it tells too whether the
/// processor exists.
type Shared = Arc<OnceLock<Arc<dyn Any + Send + Sync>>>;

/// Processor's end of a [`Handle`](crate::Handle): the newest settings `S` in, readings `R` out.
///
/// A stage of one's own keeps the port it is given by [`LiveStage::prepare_with`](crate::control::LiveStage::prepare_with). A port whose
/// handle went on to another processor stays usable: no settings arrive any more, and nobody sees its readings.
///
/// # Realtime safety
/// Wait-free: no lock, no allocation, no system call.
pub struct Port<S: Send, R: Send> {
    connection: Option<Connection<S, R>>,
    inherited: Option<R>,
}

/// What a [`Link`] is the other end of.
struct Connection<S: Send, R: Send> {
    settings: Output<S>,
    readings: Input<R>,
    shared: Shared,
}

impl<S: Copy + Send, R: Copy + Send> Port<S, R> {
    /// Port of a processor that no handle controls, for [`Stage::prepare`](crate::Stage::prepare) without one. It takes no memory on the heap.
    pub fn unconnected() -> Self {
        Self { connection: None, inherited: None }
    }

    /// New settings, if there were any since the last call. Always a whole value that
    /// [`Live::validate`](crate::Live::validate) accepts.
    pub fn changed(&mut self) -> Option<S> {
        let settings = &mut self.connection.as_mut()?.settings;
        settings.update().then(|| *settings.output_buffer())
    }

    /// Makes `reading` the one that [`Handle::reading`](crate::Handle::reading) returns.
    pub fn publish(&mut self, reading: R) {
        if let Some(connection) = &mut self.connection {
            connection.readings.write(reading);
        }
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
        let first = self.connection.as_ref().is_none_or(|connection| connection.shared.set(object).is_ok());
        debug_assert!(first, "a processor shares one object");
    }
}

impl<S: std::fmt::Debug + Send, R: Send> std::fmt::Debug for Port<S, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.connection {
            Some(connection) => write!(f, "ControlPort({:?})", connection.settings.output_buffer()),
            None => f.write_str("ControlPort(unconnected)"),
        }
    }
}

/// Handle's end of a [`Port`].
pub(super) struct Link<S: Send, R: Send> {
    settings: Input<S>,
    readings: Output<R>,
    shared: Shared,
}

/// Both ends, for a processor with these settings.
pub(super) fn channel<S, R>(settings: S, inherited: Option<R>) -> (Port<S, R>, Link<S, R>)
where
    S: Copy + Send,
    R: Copy + Default + Send,
{
    let (settings_in, settings_out) = triple_buffer(&settings);
    let (readings_in, readings_out) = triple_buffer(&inherited.unwrap_or_default());
    let shared = Shared::default();
    let connection = Connection { settings: settings_out, readings: readings_in, shared: Arc::clone(&shared) };
    let link = Link { settings: settings_in, readings: readings_out, shared };
    (Port { connection: Some(connection), inherited }, link)
}

impl<S: Copy + Send, R: Copy + Send> Link<S, R> {
    /// Whether the processor still exists.
    pub fn is_running(&self) -> bool {
        Arc::strong_count(&self.shared) > 1
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
