//! Messages of the signalling protocol: JSON over a web socket, one object a message, told apart by `type`.

use serde::{Deserialize, Serialize};
use voxframe::call::{ConnectionReport, ProfileKind};

/// Name under which the media server is addressed, as if it were a user.
pub const SERVER: &str = "server";

/// Longest message in bytes: an SDP of one audio track has 2 to 5 kB.
pub const MAX_MESSAGE_BYTES: usize = 16 << 10;

/// Longest message that is read at all, in bytes; a longer one closes the connection before it is received.
pub const MAX_FRAME_BYTES: usize = 64 << 10;

/// Way of the media in a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MediaMode {
    /// From browser to browser.
    #[default]
    P2p,
    /// Through the server, which cleans and mixes.
    Server,
}

/// User in a room, as the others see them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// Public name of the session, made by the server from its secret.
    pub id: String,
    /// Display name.
    pub name: String,
    /// Whether the user has muted the microphone.
    #[serde(default)]
    pub muted: bool,
}

/// ICE candidate, as `RTCIceCandidate.toJSON()` gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IceCandidate {
    /// The candidate attribute, `candidate:…`; empty at the end of the candidates.
    pub candidate: String,
    /// Media section by its name.
    #[serde(default)]
    pub sdp_mid: Option<String>,
    /// Media section by its number.
    #[serde(default)]
    pub sdp_m_line_index: Option<u16>,
    /// ICE generation.
    #[serde(default)]
    pub username_fragment: Option<String>,
}

/// STUN or TURN server, as `RTCConfiguration.iceServers` takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceServer {
    /// Addresses: `stun:…`, `turn:…`.
    pub urls: Vec<String>,
    /// User name of a TURN server: the time at which the credential ends, and the user.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub username: Option<String>,
    /// HMAC of the user name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub credential: Option<String>,
}

/// Message of a client.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum ClientMessage {
    /// Enters a room, which is made where there is none. The first message.
    Join {
        /// Room.
        room: String,
        /// Display name.
        name: String,
        /// Secret of the client, 16 to 64 characters: whoever joins with it again is the same user, on any server.
        session: String,
    },
    /// Leaves the room.
    Leave,
    /// SDP offer.
    Offer {
        /// User, or [`SERVER`].
        to: String,
        /// Session description.
        sdp: String,
        /// Whether it restarts ICE of a connection that there was.
        #[serde(default)]
        restart: bool,
    },
    /// SDP answer.
    Answer {
        /// User.
        to: String,
        /// Session description.
        sdp: String,
    },
    /// ICE candidate; `null` after the last one.
    Candidate {
        /// User, or [`SERVER`].
        to: String,
        /// The candidate.
        candidate: Option<IceCandidate>,
    },
    /// Way of the media, for the whole room.
    Mode {
        /// The way.
        mode: MediaMode,
    },
    /// Profile wanted for one's own voice; `null`: what the connection allows.
    Profile {
        /// The profile.
        profile: Option<ProfileKind>,
    },
    /// Microphone muted or not, for the others to see.
    Mute {
        /// Whether it is.
        muted: bool,
    },
    /// Statistics of the connection to a user or the server, once or twice a second.
    Stats {
        /// User, or [`SERVER`].
        peer: String,
        /// What the far side reports of the media sent to it.
        #[serde(default)]
        send: Option<ConnectionReport>,
        /// What is received.
        #[serde(default)]
        receive: Option<ConnectionReport>,
    },
    /// Wish for new TURN credentials.
    IceServers,
    /// Sign of life; answered with `pong`.
    Ping,
}

/// State of one direction of a connection, and what is advised for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DirectionState {
    /// excellent, good, fair or poor.
    pub quality: String,
    /// Why, as `loss 6.1 % > 5 %`.
    pub reason: Option<String>,
    /// Share of packets lost, 0 to 1.
    pub loss: Option<f32>,
    /// Round-trip time in ms.
    pub round_trip_time_ms: Option<f32>,
    /// Interarrival jitter in ms.
    pub jitter_ms: Option<f32>,
    /// Mean opinion score, 1 to 4.4.
    pub mean_opinion_score: Option<f32>,
    /// Bit rate in bits/s.
    pub bitrate_bps: u32,
    /// Forward error correction.
    pub fec: bool,
    /// Packet length in ms.
    pub packet_ms: f32,
    /// Profile.
    pub profile: ProfileKind,
    /// Reasons of the decisions above: `bit rate 32000: poor connection (…)`.
    pub reasons: Vec<String>,
}

/// Message of the server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum ServerMessage {
    /// Answer to `join`.
    Joined {
        /// Own user.
        id: String,
        /// Room.
        room: String,
        /// Way of the media.
        mode: MediaMode,
        /// The others.
        members: Vec<User>,
        /// STUN and TURN servers.
        ice_servers: Vec<IceServer>,
    },
    /// Answer to `leave`.
    Left,
    /// Somebody has entered the room, or has come back to it.
    UserJoined {
        /// Who.
        user: User,
    },
    /// Somebody has left the room.
    UserLeft {
        /// Who.
        id: String,
        /// Whether the connection to the server broke, and the user may come back.
        lost: bool,
    },
    /// SDP offer.
    Offer {
        /// User, or [`SERVER`].
        from: String,
        /// Session description.
        sdp: String,
        /// Whether it restarts ICE.
        restart: bool,
    },
    /// SDP answer.
    Answer {
        /// User, or [`SERVER`].
        from: String,
        /// Session description.
        sdp: String,
    },
    /// ICE candidate.
    Candidate {
        /// User.
        from: String,
        /// The candidate; `null` after the last one.
        candidate: Option<IceCandidate>,
    },
    /// The way of the media has changed.
    Mode {
        /// The way.
        mode: MediaMode,
        /// User who changed it.
        by: String,
    },
    /// Somebody has muted the microphone, or not any more.
    Muted {
        /// Who.
        id: String,
        /// Whether it is muted.
        muted: bool,
    },
    /// State of a connection and advice for it, as answer to `stats`.
    Connection {
        /// User, or [`SERVER`].
        peer: String,
        /// From the client to the peer.
        send: Box<DirectionState>,
        /// From the peer to the client.
        receive: Box<DirectionState>,
        /// Delay in the server in ms, from a packet that arrives to a packet with the same sound; none directly.
        server_ms: Option<f64>,
    },
    /// Levels of the users' voices behind the cleaning, five times a second.
    Levels {
        /// Level in dBFS by user.
        levels: Vec<(String, f32)>,
        /// Who speaks.
        speaker: Option<String>,
    },
    /// Answer to `ice-servers`.
    IceServers {
        /// STUN and TURN servers.
        ice_servers: Vec<IceServer>,
    },
    /// Answer to `ping`.
    Pong,
    /// A message that was refused, or trouble.
    Error {
        /// What went wrong, for programs.
        code: String,
        /// The same for people.
        message: String,
    },
}
