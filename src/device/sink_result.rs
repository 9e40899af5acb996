//! Return values of the closures that take frames and packets.

use crate::core::{Error, Result};

mod sealed {
    pub trait Sealed {}
}

/// Return value of a closure that takes what a [`Capture`](super::Capture) makes: `()`, or `Result<(), E>` where `E` can
/// be made from the crate's [`Error`].
///
/// A closure that ends in a call has the type of that call. One that uses `?` inside must name its error, as any closure
/// must: `|packet| -> std::io::Result<()> { .. }`.
#[diagnostic::on_unimplemented(
    message = "a closure for frames or packets returns `()` or `Result<(), E>`, not `{Self}`",
    note = "`E` must implement `From<voxframe::Error>`, as `anyhow::Error`, `Box<dyn Error>` and `std::io::Error` do"
)]
pub trait SinkResult: sealed::Sealed {
    /// The error: the crate's own for `()`.
    type Error: From<Error>;

    /// The same as a result.
    ///
    /// # Errors
    /// That of the closure.
    fn into_result(self) -> Result<(), Self::Error>;
}

impl sealed::Sealed for () {}

impl SinkResult for () {
    type Error = Error;

    fn into_result(self) -> Result<()> {
        Ok(())
    }
}

impl<E> sealed::Sealed for Result<(), E> {}

impl<E: From<Error>> SinkResult for Result<(), E> {
    type Error = E;

    fn into_result(self) -> Self {
        self
    }
}
