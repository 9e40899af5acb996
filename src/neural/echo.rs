//! Network of the echo suppressor: gains of 32 bands, and whether the near end speaks.

mod network;

pub use network::{BANDS, Estimate, FEATURES, GROUPS, State};
