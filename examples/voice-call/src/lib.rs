//! A voice call between browsers and Rust, on voxframe: signalling, media server, page and native participant.
//!
//! ```text
//! page ──web socket──► signalling ──► rooms (memory, or Redis)      who is where, and sessions agreed upon
//!   │                      └────────► media ──► room thread         one for each room whose sound goes through the server
//!   └──────ICE, DTLS, SRTP──────────► peer ─► voice ─► mix bus ─► voice ─► peer
//! ```

#![deny(unsafe_code)]

pub mod adaptation;
pub mod config;
pub mod join;
pub mod limits;
pub mod media;
pub mod rest;
pub mod rooms;
pub mod serve;
pub mod signalling;
pub mod state;
pub mod turn;
