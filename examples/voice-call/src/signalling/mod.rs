//! Signalling: a web socket for each user, on which sessions are agreed upon.

pub mod check;
pub mod error;
pub mod protocol;
mod session;
mod socket;

pub use socket::upgrade;
