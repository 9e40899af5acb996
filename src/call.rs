//! What a call is made of: profiles and uplinks.

mod profile;

#[cfg(feature = "opus")]
pub use profile::Uplink;
pub use profile::{Controls, LiveProfile, Profile, ProfileKind};
