//! [`OpusEncode`] where the crate was built without a codec.

use super::settings::{OpusEncode, OpusEncodeReading};
use crate::control::{ControlPort, Live, LiveStage};
use crate::core::unavailable::Unavailable;
use crate::core::{Error, Format, Frame, Packet, Result, Stage};

/// Processor of [`OpusEncode`]: never made without the feature `opus`.
pub type OpusEncodeProcessor = Unavailable<Frame, Packet>;

impl Stage for OpusEncode {
    type Processor = OpusEncodeProcessor;

    fn prepare(self, input: Format) -> Result<OpusEncodeProcessor> {
        self.live().0.prepare(input)
    }
}

impl Live for OpusEncode {
    type Reading = OpusEncodeReading;

    fn validate(&self) -> Result<()> {
        self.check()
    }
}

impl LiveStage for OpusEncode {
    fn prepare_with(self, _: Format, _: ControlPort<Self>) -> Result<OpusEncodeProcessor> {
        Err(Error::Unavailable { setting: "OpusEncode", feature: "opus" })
    }
}
