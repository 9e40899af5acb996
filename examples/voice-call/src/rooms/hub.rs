//! Hub: the users connected to this server, by room, and delivery of messages to them.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::RoomLimits;
use crate::limits::{Place, PlacesByAddress};
use crate::signalling::error::Refusal;
use crate::signalling::protocol::{MediaMode, ServerMessage, User};

/// Queue of a connection: messages that wait for a slow client.
pub type Outbox = mpsc::Sender<Outgoing>;

/// What is in that queue.
#[derive(Clone, Debug)]
pub enum Outgoing {
    /// Message for the client.
    Message(ServerMessage),
    /// End of the connection: the same session has joined over another one.
    Replaced,
}

/// Whom a message is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum To {
    /// One user.
    User(String),
    /// All but one.
    Others(String),
    /// All.
    All,
}

/// Connection that joins.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Number of the connection, unlike any other's on any server.
    pub number: u64,
    /// Address it comes from.
    pub address: IpAddr,
    /// Its queue.
    pub outbox: Outbox,
}

/// Room on this server.
#[derive(Debug, Default)]
struct Room {
    mode: MediaMode,
    members: BTreeMap<String, Member>,
    /// Counts for the address that made the room.
    _place: Option<Place>,
}

#[derive(Debug)]
struct Member {
    user: User,
    connection: Connection,
}

/// Hub of one server.
#[derive(Debug)]
pub struct Hub {
    limits: RoomLimits,
    by_address: PlacesByAddress,
    rooms: Mutex<HashMap<String, Room>>,
}

impl Hub {
    /// Empty hub.
    pub fn new(limits: RoomLimits) -> Self {
        Self { limits, by_address: PlacesByAddress::new(limits.rooms_per_address), rooms: Mutex::default() }
    }

    fn rooms(&self) -> MutexGuard<'_, HashMap<String, Room>> {
        // Nothing panics while it holds the lock, and if it did, each change is whole.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a user; mode and other members. Another connection of the same user is closed.
    ///
    /// # Errors
    /// [`Refusal::TooManyRooms`], [`Refusal::RoomFull`].
    pub fn join(&self, room: &str, user: User, connection: Connection) -> Result<(MediaMode, Vec<User>), Refusal> {
        let mut rooms = self.rooms();
        if !rooms.contains_key(room) {
            if rooms.len() >= self.limits.rooms {
                return Err(Refusal::TooManyRooms);
            }
            let place = self.by_address.take(connection.address).ok_or(Refusal::TooManyRooms)?;
            rooms.insert(room.to_owned(), Room { _place: Some(place), ..Room::default() });
        }
        let found = rooms.entry(room.to_owned()).or_default();
        if found.members.len() >= self.limits.members && !found.members.contains_key(&user.id) {
            return Err(Refusal::RoomFull);
        }
        let id = user.id.clone();
        if let Some(before) = found.members.insert(id.clone(), Member { user, connection }) {
            close(&before);
        }
        let others = found.members.values().filter(|member| member.user.id != id);
        Ok((found.mode, others.map(|member| member.user.clone()).collect()))
    }

    /// Removes a user, if it is still this connection that is in the room; whether it was. An empty room is removed.
    pub fn leave(&self, room: &str, id: &str, connection: u64) -> bool {
        let mut rooms = self.rooms();
        let Some(found) = rooms.get_mut(room) else { return false };
        let is_own = found.members.get(id).is_some_and(|member| member.connection.number == connection);
        if is_own {
            found.members.remove(id);
        }
        if found.members.is_empty() {
            rooms.remove(room);
        }
        is_own
    }

    /// Closes other connections of a user than `connection`, which is on another server.
    pub fn replace(&self, room: &str, id: &str, connection: u64) {
        let mut rooms = self.rooms();
        let Some(found) = rooms.get_mut(room) else { return };
        if found.members.get(id).is_some_and(|member| member.connection.number != connection)
            && let Some(member) = found.members.remove(id)
        {
            close(&member);
        }
        if found.members.is_empty() {
            rooms.remove(room);
        }
    }

    /// Puts a message into the queues of those it is for; whether there was anybody. Whoever is so slow that the queue is
    /// full misses the message, and is closed when nothing comes back.
    pub fn deliver(&self, room: &str, to: &To, message: &ServerMessage) -> bool {
        let mut rooms = self.rooms();
        let Some(found) = rooms.get_mut(room) else { return false };
        found.note(message);
        let is_meant = |id: &str| match to {
            To::User(user) => user == id,
            To::Others(user) => user != id,
            To::All => true,
        };
        let mut any = false;
        for (_, member) in found.members.iter().filter(|(id, _)| is_meant(id)) {
            any |= member.connection.outbox.try_send(Outgoing::Message(message.clone())).is_ok();
        }
        any
    }

    /// Rooms with their mode and members.
    pub fn list(&self) -> Vec<(String, MediaMode, Vec<User>)> {
        let rooms = self.rooms();
        rooms.iter().map(|(name, room)| (name.clone(), room.mode, room.users())).collect()
    }

    /// One room.
    pub fn room(&self, name: &str) -> Option<(MediaMode, Vec<User>)> {
        self.rooms().get(name).map(|room| (room.mode, room.users()))
    }
}

impl Room {
    /// Takes over what a message changes for all.
    fn note(&mut self, message: &ServerMessage) {
        match message {
            ServerMessage::Mode { mode, .. } => self.mode = *mode,
            ServerMessage::Muted { id, muted } => {
                if let Some(member) = self.members.get_mut(id) {
                    member.user.muted = *muted;
                }
            }
            _ => {}
        }
    }

    fn users(&self) -> Vec<User> {
        self.members.values().map(|member| member.user.clone()).collect()
    }
}

fn close(member: &Member) {
    // A full queue ends on its own: its client takes nothing.
    let _ = member.connection.outbox.try_send(Outgoing::Replaced);
}
