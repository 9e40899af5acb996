//! Session of one client: what it may say, and what is done then. Knows no socket.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use voxframe::call::{ConnectionReport, ProfileKind};

use super::check;
use super::error::Refusal;
use super::protocol::{ClientMessage, SERVER, ServerMessage, User};
use crate::adaptation::Connection as PeerConnection;
use crate::limits::TokenBucket;
use crate::media::MediaCommand;
use crate::rooms::hub::{Connection, Outbox, To};
use crate::state::Server;

/// Messages at once and a second: an ICE gathering sends a dozen at once.
const BURST: f64 = 120.0;
const PER_SECOND: f64 = 30.0;

/// Refusals at once and a second that are borne before the connection is closed.
const REFUSALS: f64 = 20.0;
const REFUSALS_PER_SECOND: f64 = 0.5;

/// Session of a client.
pub struct Session {
    server: Arc<Server>,
    address: IpAddr,
    number: u64,
    outbox: Outbox,
    messages: TokenBucket,
    refusals: TokenBucket,
    joined: Option<Joined>,
}

struct Joined {
    room: String,
    user: User,
    since: Instant,
    /// Connections to other users, for their adaptation.
    peers: HashMap<String, PeerConnection>,
    /// Profile wanted for one's own voice.
    profile: Option<ProfileKind>,
}

/// What follows from a message.
#[derive(Debug)]
pub enum Reply {
    /// Nothing, or what others are told.
    None,
    /// An answer.
    Message(ServerMessage),
    /// An error, after which the connection is closed.
    Close(Refusal),
}

impl Session {
    /// Session of a connection from `address`, whose queue is `outbox`.
    pub fn new(server: Arc<Server>, address: IpAddr, outbox: Outbox) -> Self {
        let now = Instant::now();
        Self {
            server,
            address,
            number: fastrand::u64(1..),
            outbox,
            messages: TokenBucket::new(BURST, PER_SECOND, now),
            refusals: TokenBucket::new(REFUSALS, REFUSALS_PER_SECOND, now),
            joined: None,
        }
    }

    /// Whether it is in a room.
    pub fn has_joined(&self) -> bool {
        self.joined.is_some()
    }

    /// Takes a message as it came.
    pub async fn receive(&mut self, text: &str) -> Reply {
        let result = if !self.messages.take(Instant::now()) {
            Err(Refusal::TooFrequent)
        } else if text.len() > super::protocol::MAX_MESSAGE_BYTES {
            Err(Refusal::TooLarge)
        } else {
            match serde_json::from_str(text) {
                Ok(message) => self.handle(message).await,
                Err(_) => Err(Refusal::Malformed),
            }
        };
        match result {
            Ok(None) => Reply::None,
            Ok(Some(answer)) => Reply::Message(answer),
            Err(refusal) => self.refuse(refusal),
        }
    }

    /// Answers a refusal, and loses patience after many.
    pub fn refuse(&mut self, refusal: Refusal) -> Reply {
        match self.refusals.take(Instant::now()) {
            true => Reply::Message(refusal.into()),
            false => Reply::Close(Refusal::Abuse),
        }
    }

    async fn handle(&mut self, message: ClientMessage) -> Result<Option<ServerMessage>, Refusal> {
        match message {
            ClientMessage::Ping => return Ok(Some(ServerMessage::Pong)),
            ClientMessage::Join { room, name, session } => return self.join(room, &name, &session).await.map(Some),
            _ => {}
        }
        let server = Arc::clone(&self.server);
        let number = self.number;
        let joined = self.joined.as_mut().ok_or(Refusal::NotJoined)?;
        let (room, id) = (joined.room.clone(), joined.user.id.clone());
        match message {
            ClientMessage::Ping | ClientMessage::Join { .. } => {}
            ClientMessage::Leave => {
                self.leave(false).await;
                return Ok(Some(ServerMessage::Left));
            }
            ClientMessage::Offer { to, sdp, restart } => {
                check::sdp(&sdp)?;
                match &*to {
                    SERVER => server.media(&room, MediaCommand::Offer { user: id, sdp, restart }).await?,
                    _ => {
                        let offer = ServerMessage::Offer { from: id, sdp, restart };
                        server.rooms.send(&room, To::User(to), offer).await?;
                    }
                }
            }
            ClientMessage::Answer { to, sdp } => {
                check::sdp(&sdp)?;
                server.rooms.send(&room, To::User(to), ServerMessage::Answer { from: id, sdp }).await?;
            }
            ClientMessage::Candidate { to, candidate } => {
                candidate.as_ref().map_or(Ok(()), check::candidate)?;
                // The media server is lite: it answers checks from wherever they come, and calls no address it is told.
                if to != SERVER {
                    let candidate = ServerMessage::Candidate { from: id, candidate };
                    server.rooms.send(&room, To::User(to), candidate).await?;
                }
            }
            ClientMessage::Mode { mode } => server.rooms.set_mode(&room, mode, &id).await?,
            ClientMessage::Profile { profile } => {
                joined.profile = profile;
                server.media(&room, MediaCommand::Profile { user: id, profile }).await?;
            }
            ClientMessage::Mute { muted } => {
                joined.user.muted = muted;
                server.rooms.set_muted(&room, &joined.user, number).await?;
            }
            ClientMessage::Stats { peer, send, receive } if peer == SERVER => {
                server.media(&room, MediaCommand::Stats { user: id, send, receive }).await?;
            }
            ClientMessage::Stats { peer, send, receive } => {
                return joined.stats(peer, send, receive, server.config.rooms.members).map(Some);
            }
            ClientMessage::IceServers => {
                let ice_servers = server.ice.for_user(&id, SystemTime::now());
                return Ok(Some(ServerMessage::IceServers { ice_servers }));
            }
        }
        Ok(None)
    }

    async fn join(&mut self, room: String, name: &str, session: &str) -> Result<ServerMessage, Refusal> {
        if self.joined.is_some() {
            return Err(Refusal::AlreadyJoined);
        }
        check::room(&room)?;
        let user = User { id: check::identity(session)?, name: check::name(name)?, muted: false };
        let connection = Connection { number: self.number, address: self.address, outbox: self.outbox.clone() };
        let (mode, members) = self.server.rooms.join(&room, user.clone(), connection).await?;
        let (id, ice_servers) = (user.id.clone(), self.server.ice.for_user(&user.id, SystemTime::now()));
        self.joined =
            Some(Joined { room: room.clone(), user, since: Instant::now(), peers: HashMap::new(), profile: None });
        Ok(ServerMessage::Joined { id, room, mode, members, ice_servers })
    }

    /// Leaves the room, if it is in one.
    pub async fn leave(&mut self, lost: bool) {
        let Some(Joined { room, user, .. }) = self.joined.take() else { return };
        self.server.rooms.leave(&room, &user.id, self.number, lost).await;
        // Whoever has come back over another connection keeps the media.
        let is_back = self.server.rooms.room(&room).await.ok().flatten();
        if !is_back.is_some_and(|room| room.users.iter().any(|other| other.id == user.id)) {
            // Where that fails, the media server will notice that nothing comes.
            let _ = self.server.media(&room, MediaCommand::Leave { user: user.id, lost }).await;
        }
    }
}

impl Joined {
    fn stats(
        &mut self,
        peer: String,
        send: Option<ConnectionReport>,
        receive: Option<ConnectionReport>,
        max_peers: usize,
    ) -> Result<ServerMessage, Refusal> {
        if peer.len() != self.user.id.len() || (self.peers.len() >= max_peers && !self.peers.contains_key(&peer)) {
            return Err(Refusal::NoSuchUser);
        }
        let at = self.since.elapsed();
        let connection = self.peers.entry(peer.clone()).or_default();
        connection.send.wish(self.profile);
        match send {
            Some(report) => connection.send.report(at, &report),
            None => connection.send.poll(at),
        };
        match receive {
            Some(report) => connection.receive.report(at, &report),
            None => connection.receive.poll(at),
        };
        let (send, receive) = (connection.send.state().into(), connection.receive.state().into());
        Ok(ServerMessage::Connection { peer, send, receive, server_ms: None })
    }
}
