//! Rooms shared by several servers over Redis.
//!
//! | key | holds |
//! | --- | --- |
//! | `voxframe:server:SERVER` | sign of life of a server; expires |
//! | `voxframe:rooms` | names of the rooms |
//! | `voxframe:room:ROOM` | members: user → `{user, server, connection}`; expires with the last server that has one |
//! | `voxframe:mode:ROOM` | way of the media; expires likewise |
//! | `voxframe:media:ROOM` | server whose media server has the room; expires |
//!
//! Messages travel over the channel `voxframe:news`. What a server has in Redis is written again with each sign of life,
//! so that a Redis that was restarted knows it again.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncCommands, Client, Script};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tracing::warn;

use super::hub::To;
use super::{RoomLimits, RoomSummary, Rooms};
use crate::media::MediaCommand;
use crate::signalling::error::Refusal;
use crate::signalling::protocol::{MediaMode, ServerMessage, User};

const CHANNEL: &str = "voxframe:news";
const ROOMS: &str = "voxframe:rooms";

/// Time between two signs of life, and that after which a server without one is dead.
const SIGN_OF_LIFE: Duration = Duration::from_secs(3);
const DEAD_AFTER_S: u64 = 10;

/// Time that a command may take.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Puts a member into a room: the mode, and the others whose server lives; or `full`.
const JOIN: &str = "
local others = {}
for _, text in ipairs(redis.call('HVALS', KEYS[2])) do
  local member = cjson.decode(text)
  if redis.call('EXISTS', 'voxframe:server:' .. member.server) == 0 then
    redis.call('HDEL', KEYS[2], member.user.id)
  elseif member.user.id ~= ARGV[2] then
    others[#others + 1] = text
  end
end
if #others >= tonumber(ARGV[4]) then return {'full'} end
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
redis.call('EXPIRE', KEYS[2], ARGV[5])
return {'ok', redis.call('GET', KEYS[3]) or '', unpack(others)}";

/// Takes a member out of a room, if it is still that connection; whether it was.
const LEAVE: &str = "
local text = redis.call('HGET', KEYS[2], ARGV[2])
if not text then return 0 end
local member = cjson.decode(text)
if member.server ~= ARGV[3] or member.connection ~= ARGV[4] then return 0 end
redis.call('HDEL', KEYS[2], ARGV[2])
if redis.call('HLEN', KEYS[2]) == 0 then
  redis.call('SREM', KEYS[1], ARGV[1])
  redis.call('DEL', KEYS[3])
end
return 1";

/// Server that has the media of a room: the one there is and lives, or this one.
const CLAIM: &str = "
local owner = redis.call('GET', KEYS[1])
if owner and redis.call('EXISTS', 'voxframe:server:' .. owner) == 1 then return owner end
if ARGV[3] == '0' then return '' end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return ARGV[1]";

/// Gives the media of a room up, if it is this server's.
const RELEASE: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/// Redis that is out of reach, or no Redis.
#[derive(Debug, thiserror::Error)]
#[error("Redis: {0}")]
pub struct RedisError(#[from] redis::RedisError);

/// Member, as it is in Redis.
#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    user: User,
    server: String,
    /// As text: Lua's numbers have 53 bits.
    connection: String,
}

/// What travels between servers.
#[derive(Debug, Serialize, Deserialize)]
enum News {
    Message { room: String, connection: u64, to: To, message: ServerMessage },
    Media { server: String, room: String, command: MediaCommand },
}

/// This server's place in Redis.
pub struct RedisRooms {
    server: String,
    connection: ConnectionManager,
    limits: RoomLimits,
    /// What is written again with each sign of life.
    own: Mutex<Own>,
}

#[derive(Default)]
struct Own {
    members: HashMap<(String, String), String>,
    modes: HashMap<String, MediaMode>,
    media: BTreeSet<String>,
}

impl std::fmt::Debug for RedisRooms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RedisRooms({})", self.server)
    }
}

fn room_key(room: &str) -> String {
    format!("voxframe:room:{room}")
}

fn mode_key(room: &str) -> String {
    format!("voxframe:mode:{room}")
}

fn media_key(room: &str) -> String {
    format!("voxframe:media:{room}")
}

fn refused(error: redis::RedisError) -> Refusal {
    warn!("Redis: {error}");
    Refusal::Unavailable
}

impl RedisRooms {
    pub(super) async fn open(url: &str, limits: RoomLimits) -> Result<(Self, Client), RedisError> {
        let client = Client::open(url)?;
        let config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(TIMEOUT))
            .set_connection_timeout(Some(TIMEOUT))
            .set_number_of_retries(2);
        let connection = ConnectionManager::new_with_config(client.clone(), config).await?;
        let server = format!("{:016x}", fastrand::u64(..));
        let rooms = Self { server, connection, limits, own: Mutex::default() };
        rooms.live().await?;
        Ok((rooms, client))
    }

    fn own(&self) -> std::sync::MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a sign of life, and writes again what is this server's.
    async fn live(&self) -> redis::RedisResult<()> {
        let mut pipe = redis::pipe();
        pipe.set_ex(format!("voxframe:server:{}", self.server), 1, DEAD_AFTER_S).ignore();
        {
            let own = self.own();
            for ((room, id), entry) in &own.members {
                pipe.sadd(ROOMS, room).ignore();
                pipe.hset_nx(room_key(room), id, entry).ignore();
                pipe.expire(room_key(room), DEAD_AFTER_S as i64).ignore();
            }
            for (room, mode) in &own.modes {
                let text = serde_json::to_string(mode).unwrap_or_default();
                pipe.cmd("SET").arg(mode_key(room)).arg(text).arg("NX").arg("EX").arg(DEAD_AFTER_S).ignore();
                pipe.expire(mode_key(room), DEAD_AFTER_S as i64).ignore();
            }
            for room in &own.media {
                pipe.cmd("SET").arg(media_key(room)).arg(&self.server).arg("NX").arg("EX").arg(DEAD_AFTER_S).ignore();
                pipe.expire(media_key(room), DEAD_AFTER_S as i64).ignore();
            }
        }
        pipe.query_async(&mut self.connection.clone()).await
    }

    fn entry(&self, user: &User, connection: u64) -> String {
        let entry = Entry { user: user.clone(), server: self.server.clone(), connection: connection.to_string() };
        serde_json::to_string(&entry).unwrap_or_default()
    }

    pub(super) async fn join(
        &self,
        room: &str,
        user: &User,
        connection: u64,
    ) -> Result<(MediaMode, Vec<User>), Refusal> {
        let entry = self.entry(user, connection);
        let found: Vec<String> = Script::new(JOIN)
            .key(ROOMS)
            .key(room_key(room))
            .key(mode_key(room))
            .arg(room)
            .arg(&user.id)
            .arg(&entry)
            .arg(self.limits.members)
            .arg(DEAD_AFTER_S)
            .invoke_async(&mut self.connection.clone())
            .await
            .map_err(refused)?;
        let [status, mode, others @ ..] = &found[..] else { return Err(Refusal::RoomFull) };
        debug_assert_eq!(status, "ok");
        let mode = serde_json::from_str(mode).unwrap_or_default();
        {
            let mut own = self.own();
            own.members.insert((room.to_owned(), user.id.clone()), entry);
            own.modes.insert(room.to_owned(), mode);
        }
        let others = others.iter().filter_map(|text| serde_json::from_str::<Entry>(text).ok());
        Ok((mode, others.map(|entry| entry.user).collect()))
    }

    /// Writes a member again that has changed.
    pub(super) async fn put(&self, room: &str, user: &User, connection: u64) -> Result<(), Refusal> {
        let entry = self.entry(user, connection);
        self.own().members.insert((room.to_owned(), user.id.clone()), entry.clone());
        self.connection.clone().hset(room_key(room), &user.id, entry).await.map_err(refused)
    }

    pub(super) async fn leave(&self, room: &str, id: &str, connection: u64) -> Result<bool, Refusal> {
        self.forget(room, id, connection);
        Script::new(LEAVE)
            .key(ROOMS)
            .key(room_key(room))
            .key(mode_key(room))
            .arg(room)
            .arg(id)
            .arg(&self.server)
            .arg(connection.to_string())
            .invoke_async(&mut self.connection.clone())
            .await
            .map_err(refused)
    }

    /// Takes a connection out of what is written again.
    fn forget(&self, room: &str, id: &str, connection: u64) {
        let mut own = self.own();
        let key = (room.to_owned(), id.to_owned());
        let is_own = own.members.get(&key).and_then(|text| serde_json::from_str::<Entry>(text).ok());
        if is_own.is_some_and(|entry| entry.connection == connection.to_string()) {
            own.members.remove(&key);
        }
        if !own.members.keys().any(|(other, _)| other == room) {
            own.modes.remove(room);
        }
    }

    pub(super) async fn has(&self, room: &str, id: &str) -> Result<bool, Refusal> {
        self.connection.clone().hexists(room_key(room), id).await.map_err(refused)
    }

    pub(super) async fn publish(
        &self,
        room: &str,
        connection: u64,
        to: To,
        message: ServerMessage,
    ) -> Result<(), Refusal> {
        self.tell(&News::Message { room: room.to_owned(), connection, to, message }).await
    }

    async fn tell(&self, news: &News) -> Result<(), Refusal> {
        let text = serde_json::to_string(news).map_err(|_| Refusal::Malformed)?;
        self.connection.clone().publish(CHANNEL, text).await.map_err(refused)
    }

    pub(super) async fn set_mode(&self, room: &str, mode: MediaMode) -> Result<(), Refusal> {
        let text = serde_json::to_string(&mode).unwrap_or_default();
        self.connection.clone().set_ex(mode_key(room), text, DEAD_AFTER_S).await.map_err(refused)
    }

    pub(super) async fn route_media(&self, room: &str, command: &MediaCommand) -> Result<bool, Refusal> {
        let claims = matches!(command, MediaCommand::Offer { .. });
        let owner: String = Script::new(CLAIM)
            .key(media_key(room))
            .arg(&self.server)
            .arg(DEAD_AFTER_S)
            .arg(u8::from(claims))
            .invoke_async(&mut self.connection.clone())
            .await
            .map_err(refused)?;
        if owner == self.server {
            self.own().media.insert(room.to_owned());
            return Ok(true);
        }
        if !owner.is_empty() {
            self.tell(&News::Media { server: owner, room: room.to_owned(), command: command.clone() }).await?;
        }
        Ok(false)
    }

    pub(super) async fn release_media(&self, room: &str) {
        self.own().media.remove(room);
        let mut connection = self.connection.clone();
        let released: Result<u32, _> =
            Script::new(RELEASE).key(media_key(room)).arg(&self.server).invoke_async(&mut connection).await;
        // It expires anyway.
        let _ = released.map_err(refused);
    }

    pub(super) async fn list(&self) -> Result<Vec<RoomSummary>, Refusal> {
        let mut connection = self.connection.clone();
        let names: Vec<String> = connection.smembers(ROOMS).await.map_err(refused)?;
        let mut rooms = Vec::new();
        for id in names {
            match self.room(&id).await? {
                Some((mode, users)) => rooms.push(RoomSummary { id, mode, users }),
                // Its servers are dead.
                None => connection.srem(ROOMS, &id).await.map_err(refused)?,
            }
        }
        Ok(rooms)
    }

    pub(super) async fn room(&self, name: &str) -> Result<Option<(MediaMode, Vec<User>)>, Refusal> {
        let mut connection = self.connection.clone();
        let members: Vec<String> = connection.hvals(room_key(name)).await.map_err(refused)?;
        let mode: Option<String> = connection.get(mode_key(name)).await.map_err(refused)?;
        let mode = mode.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        let mut users = Vec::new();
        for entry in members.iter().filter_map(|text| serde_json::from_str::<Entry>(text).ok()) {
            let lives: bool = connection.exists(format!("voxframe:server:{}", entry.server)).await.map_err(refused)?;
            users.extend(lives.then_some(entry.user));
        }
        users.sort_by(|a, b| a.id.cmp(&b.id));
        Ok((!users.is_empty()).then_some((mode, users)))
    }

    pub(super) async fn ping(&self) -> bool {
        redis::cmd("PING").query_async::<String>(&mut self.connection.clone()).await.is_ok()
    }
}

/// Hears what other servers tell, and gives signs of life, until the rooms are gone.
pub(super) fn listen(rooms: &Arc<Rooms>, client: Client, media: mpsc::Sender<(String, MediaCommand)>) {
    let living = Arc::downgrade(rooms);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(SIGN_OF_LIFE).await;
            let Some(rooms) = living.upgrade() else { break };
            if let Some(Err(error)) = match &rooms.shared {
                Some(shared) => Some(shared.live().await),
                None => None,
            } {
                warn!("Redis: {error}");
            }
        }
    });
    let hearing = Arc::downgrade(rooms);
    tokio::spawn(async move {
        while hearing.strong_count() > 0 {
            if let Err(error) = hear(&hearing, &client, &media).await {
                warn!("Redis: {error}; trying again");
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
}

async fn hear(
    rooms: &std::sync::Weak<Rooms>,
    client: &Client,
    media: &mpsc::Sender<(String, MediaCommand)>,
) -> redis::RedisResult<()> {
    let mut channel = client.get_async_pubsub().await?;
    channel.subscribe(CHANNEL).await?;
    let mut news = channel.into_on_message();
    while let Some(message) = news.next().await {
        let Some(rooms) = rooms.upgrade() else { break };
        let Some(shared) = &rooms.shared else { break };
        match message.get_payload::<String>().ok().and_then(|text| serde_json::from_str(&text).ok()) {
            Some(News::Message { room, connection, to, message }) => {
                match &message {
                    ServerMessage::UserJoined { user } => rooms.hub.replace(&room, &user.id, connection),
                    ServerMessage::Mode { mode, .. } => {
                        shared.own().modes.entry(room.clone()).and_modify(|own| *own = *mode);
                    }
                    _ => {}
                }
                rooms.hub.deliver(&room, &to, &message);
            }
            Some(News::Media { server, room, command }) if server == shared.server => {
                // A full queue means that the media server is too slow; the page tries again.
                let _ = media.try_send((room, command));
            }
            Some(News::Media { .. }) => {}
            None => warn!("Redis: news that this server does not understand"),
        }
    }
    Ok(())
}
