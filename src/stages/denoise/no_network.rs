//! [`Denoise`] where the crate was built without a network.

use super::settings::{Denoise, DenoiseReading};
use crate::control::{ControlPort, Live, LiveStage};
use crate::core::unavailable::Unavailable;
use crate::core::{Error, Format, Frame, Result, Stage};

/// Processor of [`Denoise`]: never made without the feature `denoise`.
pub type DenoiseProcessor = Unavailable<Frame, Frame>;

impl Stage for Denoise {
    type Processor = DenoiseProcessor;

    fn prepare(self, input: Format) -> Result<DenoiseProcessor> {
        self.prepare_with(input, ControlPort::unconnected())
    }
}

impl Live for Denoise {
    type Reading = DenoiseReading;

    fn validate(&self) -> Result<()> {
        self.check()
    }
}

impl LiveStage for Denoise {
    fn prepare_with(self, _: Format, _: ControlPort<Self>) -> Result<DenoiseProcessor> {
        Err(Error::Unavailable { setting: "Denoise", feature: "denoise" })
    }
}
