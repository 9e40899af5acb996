//! Profiles and the uplinks built from them, downlinks, mixing.

#[cfg(feature = "opus")]
mod downlink;
mod mixer;
mod profile;
#[cfg(feature = "serde")]
mod saved;
mod uplink;

#[cfg(feature = "opus")]
pub use downlink::{Downlink, DownlinkControls, DownlinkOutput};
pub use mixer::{MixBus, Mixer};
pub use profile::{Profile, ProfileKind};
pub use uplink::{Controls, UplinkProcessor};
