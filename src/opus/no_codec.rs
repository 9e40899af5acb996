//! [`OpusEncode`] and [`OpusDecode`] where the crate was built without a codec.

use super::settings::{OpusDecode, OpusDecodeReading, OpusEncode, OpusEncodeReading};
use crate::control::{ControlPort, Live, LiveStage};
use crate::core::unavailable::Unavailable;
use crate::core::{Error, Format, Frame, Packet, Result, Stage};

/// Processor of [`OpusEncode`]: never made without the feature `opus`.
pub type OpusEncodeProcessor = Unavailable<Frame, Packet>;

/// Processor of [`OpusDecode`]: never made without the feature `opus`.
pub type OpusDecodeProcessor = Unavailable<Packet, Frame>;

impl Stage for OpusEncode {
    type Processor = OpusEncodeProcessor;

    fn prepare(self, input: Format) -> Result<OpusEncodeProcessor> {
        self.prepare_with(input, ControlPort::unconnected())
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

impl Stage for OpusDecode {
    type Processor = OpusDecodeProcessor;

    fn prepare(self, output: Format) -> Result<OpusDecodeProcessor> {
        self.prepare_with(output, ControlPort::unconnected())
    }
}

impl Live for OpusDecode {
    type Reading = OpusDecodeReading;

    fn validate(&self) -> Result<()> {
        self.check()
    }
}

impl LiveStage for OpusDecode {
    fn prepare_with(self, _: Format, _: ControlPort<Self>) -> Result<OpusDecodeProcessor> {
        Err(Error::Unavailable { setting: "OpusDecode", feature: "opus" })
    }
}
