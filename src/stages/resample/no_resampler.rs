//! [`Resample`] where the crate was built without a resampler.

use super::settings::Resample;
use crate::core::unavailable::Unavailable;
use crate::core::{Error, Format, Frame, Result, Stage};

/// Processor of [`Resample`]: never made without the feature `resample`.
pub type ResampleProcessor = Unavailable<Frame, Frame>;

impl Stage for Resample {
    type Processor = ResampleProcessor;

    fn prepare(self, _: Format) -> Result<ResampleProcessor> {
        Err(Error::Unavailable { setting: "Resample", feature: "resample" })
    }
}
