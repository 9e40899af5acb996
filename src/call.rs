//! Profiles, and the uplinks built from them.

mod mixer;
mod profile;
#[cfg(feature = "serde")]
mod saved;
mod uplink;

pub use mixer::{MixBus, Mixer};
pub use profile::{Profile, ProfileKind};
pub use uplink::{Controls, UplinkProcessor};
