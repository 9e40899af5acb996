//! Profiles, and the uplinks built from them.

mod profile;
#[cfg(feature = "serde")]
mod saved;
mod uplink;

pub use profile::{Profile, ProfileKind};
pub use uplink::{Controls, UplinkProcessor};
