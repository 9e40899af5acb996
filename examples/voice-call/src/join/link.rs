//! Link of a native participant: to whom it is connected, and who offers.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Instant;

use tracing::info;

use crate::media::peer::{Peer, PeerError};
use crate::signalling::protocol::{ClientMessage, MediaMode, SERVER, ServerMessage};

/// The one connection, and what is known of the room.
pub struct Link {
    local: SocketAddr,
    id: String,
    mode: MediaMode,
    users: BTreeSet<String>,
    peer: Option<(String, Peer)>,
}

impl Link {
    /// Link without a connection, from this address.
    pub fn new(local: SocketAddr) -> Self {
        Self { local, id: String::new(), mode: MediaMode::default(), users: BTreeSet::new(), peer: None }
    }

    /// The connection.
    pub fn peer(&mut self) -> Option<&mut Peer> {
        self.peer.as_mut().map(|(_, peer)| peer)
    }

    /// With whom it is: a user or [`SERVER`].
    pub fn peer_name(&self) -> Option<&str> {
        self.peer.as_ref().map(|(name, _)| &**name)
    }

    /// Takes a message of the server; what is to be answered.
    ///
    /// # Errors
    /// [`PeerError`]; the connection is then dropped.
    pub fn take(&mut self, message: ServerMessage, now: Instant) -> Result<Option<ClientMessage>, PeerError> {
        let result = self.follow(message, now);
        if result.is_err() {
            self.peer = None;
        }
        result
    }

    fn follow(&mut self, message: ServerMessage, now: Instant) -> Result<Option<ClientMessage>, PeerError> {
        match message {
            ServerMessage::Joined { id, mode, members, .. } => {
                self.id = id;
                self.mode = mode;
                self.users = members.into_iter().map(|user| user.id).collect();
                // Whoever comes later offers. The server may have forgotten the connection there was.
                self.peer = None;
                self.offer(true, now)
            }
            ServerMessage::Mode { mode, .. } if mode != self.mode => {
                self.mode = mode;
                self.peer = None;
                self.offer(false, now)
            }
            ServerMessage::UserJoined { user } => {
                info!("{} is in the room", user.name);
                self.users.insert(user.id);
                Ok(None)
            }
            ServerMessage::UserLeft { id, .. } => {
                self.users.remove(&id);
                if self.peer_name() == Some(&id) {
                    self.peer = None;
                }
                Ok(None)
            }
            ServerMessage::Offer { from, sdp, .. } if self.mode == MediaMode::P2p => self.answer(from, &sdp, now),
            ServerMessage::Answer { from, sdp } if self.peer_name() == Some(&from) => {
                self.peer().map_or(Ok(()), |peer| peer.accept_answer(&sdp)).map(|()| None)
            }
            ServerMessage::Candidate { from, candidate: Some(candidate) } if self.peer_name() == Some(&from) => {
                if let Some(peer) = self.peer() {
                    peer.add_candidate(&candidate.candidate);
                }
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    fn answer(&mut self, from: String, sdp: &str, now: Instant) -> Result<Option<ClientMessage>, PeerError> {
        // A new description of the connection there is, or a new connection.
        let known = match &mut self.peer {
            Some((name, peer)) if *name == from => peer.accept_offer(sdp).ok(),
            // With another user already.
            Some(_) => return Ok(None),
            None => None,
        };
        let sdp = match known {
            Some(answer) => answer,
            None => {
                let (peer, answer) = Peer::answer(sdp, self.local, false, now)?;
                self.peer = Some((from.clone(), peer));
                answer
            }
        };
        Ok(Some(ClientMessage::Answer { to: from, sdp }))
    }

    fn offer(&mut self, is_last: bool, now: Instant) -> Result<Option<ClientMessage>, PeerError> {
        let to = match self.mode {
            MediaMode::Server => SERVER.to_owned(),
            MediaMode::P2p => {
                let mut users = self.users.iter().filter(|user| is_last || self.id > **user);
                let Some(user) = users.next() else { return Ok(None) };
                user.clone()
            }
        };
        let (peer, sdp) = Peer::offer(self.local, now)?;
        self.peer = Some((to.clone(), peer));
        Ok(Some(ClientMessage::Offer { to, sdp, restart: false }))
    }
}
