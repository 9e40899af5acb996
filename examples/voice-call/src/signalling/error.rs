//! Refusals: what a client is told of a message that was not accepted.

use super::check::{MAX_NAME, MAX_ROOM};
use super::protocol::{MAX_MESSAGE_BYTES, ServerMessage};

/// Reason for which a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No JSON, or no message of the protocol.
    #[error("this is no message of the protocol")]
    Malformed,
    /// Longer than [`MAX_MESSAGE_BYTES`].
    #[error("the message has more than {MAX_MESSAGE_BYTES} bytes")]
    TooLarge,
    /// More messages a second than allowed.
    #[error("too many messages: wait a second")]
    TooFrequent,
    /// Name of a room with other characters, or too long.
    #[error("a room's name has 1 to {MAX_ROOM} letters, digits, - and _")]
    BadRoom,
    /// Display name with characters that do not show, or too long.
    #[error("a name has 1 to {MAX_NAME} visible characters")]
    BadName,
    /// Secret of a session of another form.
    #[error("a session has 16 to 64 letters and digits")]
    BadSession,
    /// No session description of one audio track.
    #[error("this is no description of an audio session")]
    BadSdp,
    /// No ICE candidate that anybody could have.
    #[error("this is no candidate of a page")]
    BadCandidate,
    /// Message that needs a room, before there is one.
    #[error("join a room first")]
    NotJoined,
    /// A second room.
    #[error("leave the room first: a user is in one room at a time")]
    AlreadyJoined,
    /// Message to a user who is not in the room.
    #[error("no such user in this room")]
    NoSuchUser,
    /// Restart of a connection that the media server does not have.
    #[error("the server has no such connection any more: make a new one")]
    NoSession,
    /// Room with as many users as allowed.
    #[error("the room is full")]
    RoomFull,
    /// As many rooms as allowed, in all or from one address.
    #[error("too many rooms")]
    TooManyRooms,
    /// The same session has joined over another connection.
    #[error("you have joined from another window")]
    Replaced,
    /// Too many refused messages.
    #[error("too many refused messages: good-bye")]
    Abuse,
    /// The shared directory of rooms, or the media server, is out of reach.
    #[error("the server cannot do this now: try again later")]
    Unavailable,
}

impl Refusal {
    /// Code for programs.
    pub fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too-large",
            Self::TooFrequent => "too-frequent",
            Self::BadRoom => "bad-room",
            Self::BadName => "bad-name",
            Self::BadSession => "bad-session",
            Self::BadSdp => "bad-sdp",
            Self::BadCandidate => "bad-candidate",
            Self::NotJoined => "not-joined",
            Self::AlreadyJoined => "already-joined",
            Self::NoSuchUser => "no-such-user",
            Self::NoSession => "no-session",
            Self::RoomFull => "room-full",
            Self::TooManyRooms => "too-many-rooms",
            Self::Replaced => "replaced",
            Self::Abuse => "abuse",
            Self::Unavailable => "unavailable",
        }
    }
}

impl From<Refusal> for ServerMessage {
    fn from(refusal: Refusal) -> Self {
        Self::Error { code: refusal.code().into(), message: refusal.to_string() }
    }
}
