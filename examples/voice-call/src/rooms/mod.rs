//! Rooms: who is where. In the memory of one server, or in a Redis that several servers share.

pub mod hub;
mod redis;

use serde::Serialize;
use tokio::sync::mpsc;

use self::hub::{Connection, Hub, To};
pub use self::redis::RedisError;
use self::redis::RedisRooms;
use crate::media::MediaCommand;
use crate::signalling::error::Refusal;
use crate::signalling::protocol::{MediaMode, ServerMessage, User};

/// Limits of rooms.
#[derive(Clone, Copy, Debug)]
pub struct RoomLimits {
    /// Rooms in all, on this server.
    pub rooms: usize,
    /// Rooms made from one address, on this server.
    pub rooms_per_address: usize,
    /// Users in a room.
    pub members: usize,
}

/// Room, as the REST interface shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoomSummary {
    /// Name.
    pub id: String,
    /// Way of the media.
    pub mode: MediaMode,
    /// Users.
    pub users: Vec<User>,
}

/// Rooms of this server, and those of its neighbours where there is a Redis.
#[derive(Debug)]
pub struct Rooms {
    hub: Hub,
    shared: Option<RedisRooms>,
}

impl Rooms {
    /// Rooms in memory.
    pub fn in_memory(limits: RoomLimits) -> Self {
        Self { hub: Hub::new(limits), shared: None }
    }

    /// Rooms shared over Redis. What other servers want of this one's media server goes into `media`.
    ///
    /// # Errors
    /// [`RedisError`] where Redis is out of reach.
    pub async fn in_redis(
        limits: RoomLimits,
        url: &str,
        media: mpsc::Sender<(String, MediaCommand)>,
    ) -> Result<std::sync::Arc<Self>, RedisError> {
        let (shared, news) = RedisRooms::open(url, limits).await?;
        let rooms = std::sync::Arc::new(Self { hub: Hub::new(limits), shared: Some(shared) });
        redis::listen(&rooms, news, media);
        Ok(rooms)
    }

    /// Adds a user to a room, and tells the others.
    ///
    /// # Errors
    /// [`Refusal::TooManyRooms`], [`Refusal::RoomFull`], [`Refusal::Unavailable`].
    pub async fn join(
        &self,
        room: &str,
        user: User,
        connection: Connection,
    ) -> Result<(MediaMode, Vec<User>), Refusal> {
        let number = connection.number;
        let mut joined = self.hub.join(room, user.clone(), connection)?;
        if let Some(shared) = &self.shared {
            match shared.join(room, &user, number).await {
                Ok(everywhere) => joined = everywhere,
                Err(refusal) => {
                    self.hub.leave(room, &user.id, number);
                    return Err(refusal);
                }
            }
        }
        let others = To::Others(user.id.clone());
        self.send_as(room, number, others, ServerMessage::UserJoined { user }).await?;
        Ok(joined)
    }

    /// Removes a user from a room, if no other connection has taken its place, and tells the others.
    pub async fn leave(&self, room: &str, id: &str, connection: u64, lost: bool) {
        let mut was_there = self.hub.leave(room, id, connection);
        if let Some(shared) = &self.shared {
            was_there = shared.leave(room, id, connection).await.unwrap_or(was_there);
        }
        if was_there {
            let left = ServerMessage::UserLeft { id: id.to_owned(), lost };
            // Where that fails, the shared directory is gone, and with it who would hear.
            let _ = self.send(room, To::All, left).await;
        }
    }

    /// Sends a message to users of a room, wherever they are.
    ///
    /// # Errors
    /// [`Refusal::NoSuchUser`], [`Refusal::Unavailable`].
    pub async fn send(&self, room: &str, to: To, message: ServerMessage) -> Result<(), Refusal> {
        self.send_as(room, 0, to, message).await
    }

    async fn send_as(&self, room: &str, connection: u64, to: To, message: ServerMessage) -> Result<(), Refusal> {
        let Some(shared) = &self.shared else {
            let heard = self.hub.deliver(room, &to, &message);
            return if heard || !matches!(to, To::User(_)) { Ok(()) } else { Err(Refusal::NoSuchUser) };
        };
        // Over Redis even to a user of this server, so that all messages keep their order.
        if let To::User(id) = &to
            && !shared.has(room, id).await?
        {
            return Err(Refusal::NoSuchUser);
        }
        shared.publish(room, connection, to, message).await
    }

    /// Sets the way of the media of a room, and tells all.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`].
    pub async fn set_mode(&self, room: &str, mode: MediaMode, by: &str) -> Result<(), Refusal> {
        if let Some(shared) = &self.shared {
            shared.set_mode(room, mode).await?;
        }
        self.send(room, To::All, ServerMessage::Mode { mode, by: by.to_owned() }).await
    }

    /// Marks a user as muted or not, and tells the others.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`].
    pub async fn set_muted(&self, room: &str, user: &User, connection: u64) -> Result<(), Refusal> {
        if let Some(shared) = &self.shared {
            shared.put(room, user, connection).await?;
        }
        self.send(room, To::All, ServerMessage::Muted { id: user.id.clone(), muted: user.muted }).await
    }

    /// Whether this server's media server is the one for a room; it becomes that where there is none. Otherwise the
    /// command has gone to the one that is.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`].
    pub async fn route_media(&self, room: &str, command: &MediaCommand) -> Result<bool, Refusal> {
        match &self.shared {
            Some(shared) => shared.route_media(room, command).await,
            None => Ok(true),
        }
    }

    /// Gives the media of a room up, so that another server may take it.
    pub async fn release_media(&self, room: &str) {
        if let Some(shared) = &self.shared {
            shared.release_media(room).await;
        }
    }

    /// All rooms.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`].
    pub async fn list(&self) -> Result<Vec<RoomSummary>, Refusal> {
        let mut rooms = match &self.shared {
            Some(shared) => shared.list().await?,
            None => self.hub.list().into_iter().map(|(id, mode, users)| RoomSummary { id, mode, users }).collect(),
        };
        rooms.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(rooms)
    }

    /// A room.
    ///
    /// # Errors
    /// [`Refusal::Unavailable`].
    pub async fn room(&self, id: &str) -> Result<Option<RoomSummary>, Refusal> {
        let found = match &self.shared {
            Some(shared) => shared.room(id).await?,
            None => self.hub.room(id),
        };
        Ok(found.map(|(mode, users)| RoomSummary { id: id.to_owned(), mode, users }))
    }

    /// Whether the shared directory answers; `true` where there is none.
    pub async fn is_reachable(&self) -> bool {
        match &self.shared {
            Some(shared) => shared.ping().await,
            None => true,
        }
    }
}
