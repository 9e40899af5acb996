//! Profiles and the uplinks built from them, downlinks, mixing; the quality of a connection, and adaptation to it.

mod adaptation;
mod connection;
mod constraints;
mod controls;
#[cfg(feature = "opus")]
mod downlink;
#[cfg(feature = "opus")]
mod duplex;
mod load;
mod mixer;
mod profile;
#[cfg(feature = "serde")]
mod saved;
mod switch;
mod uplink;

pub use adaptation::{Adaptation, Advice, Decision, DecisionReason, DeviceCapability, recommended_profile};
pub use connection::{
    ConnectionMetric, ConnectionMonitor, ConnectionQuality, ConnectionReading, ConnectionReason, ConnectionReport,
    ConnectionThresholds, mean_opinion_score,
};
pub use constraints::{Constrained, Constraint, ConstraintName, Constraints};
pub use controls::Controls;
#[cfg(feature = "opus")]
pub use downlink::{Downlink, DownlinkControls, DownlinkOutput};
#[cfg(feature = "opus")]
pub use duplex::{Call, CallControls, CallNetwork, Device, Loudspeaker, Microphone, OpenCall};
pub use load::{LoadAdvice, LoadMonitor, LoadReading};
pub use mixer::{MixBus, Mixer};
pub use profile::{Profile, ProfileKind};
pub use switch::{PipelineSwitch, SwitchProcessor, switch};
pub use uplink::UplinkProcessor;
