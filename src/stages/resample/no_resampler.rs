//! [`Resample`] without the feature `resample`: cannot be prepared.

use super::settings::Resample;
use crate::core::unavailable::Unavailable;
use crate::core::{Error, Format, Frame, Result, Stage};

/// Processor of [`Resample`]. It cannot exist without the feature `resample`.
pub type ResampleProcessor = Unavailable<Frame, Frame>;

impl Stage for Resample {
    type Processor = ResampleProcessor;

    fn prepare(self, _: Format) -> Result<ResampleProcessor> {
        Err(Error::Unavailable { setting: "Resample", feature: "resample" })
    }
}
