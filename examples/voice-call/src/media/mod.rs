//! Media server: the rooms whose sound goes through this server, each on a thread of its own.

pub mod network;
mod participant;
pub mod peer;
mod room;
pub mod voice;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedSender;
use tracing::{info, warn};
use voxframe::call::{ConnectionReport, ProfileKind};

use self::network::{Datagram, NetworkCondition};
use self::room::MediaRoom;
use crate::rooms::hub::To;
use crate::signalling::error::Refusal;
use crate::signalling::protocol::ServerMessage;

/// What waits for a room at most: a second of datagrams of eight participants.
const INPUTS: usize = 1024;

/// Longest datagram: that of Ethernet.
const DATAGRAM: usize = 1500;

/// What the media server is told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum MediaCommand {
    /// Offer of a user.
    Offer {
        /// Who.
        user: String,
        /// Session description.
        sdp: String,
        /// Whether it restarts ICE.
        restart: bool,
    },
    /// What the user's page knows of the connection.
    Stats {
        /// Who.
        user: String,
        /// Of what it sends.
        send: Option<ConnectionReport>,
        /// Of what it receives.
        receive: Option<ConnectionReport>,
    },
    /// Profile wanted for the user's voice.
    Profile {
        /// Who.
        user: String,
        /// Which; `None`: what the connection allows.
        profile: Option<ProfileKind>,
    },
    /// The user has left.
    Leave {
        /// Who.
        user: String,
        /// Whether the connection broke, and the user may come back.
        lost: bool,
    },
    /// Condition of the simulated network.
    Network(NetworkCondition),
}

/// What the media server tells.
#[derive(Debug)]
pub enum MediaEvent {
    /// Message for users.
    Message {
        /// Room.
        room: String,
        /// Whom it is for.
        to: To,
        /// The message.
        message: ServerMessage,
    },
    /// The room has no participants any more.
    Ended {
        /// Which.
        room: String,
    },
}

/// What a room's thread takes.
enum RoomInput {
    Datagram(Datagram),
    Command(MediaCommand),
}

/// Settings of the media server.
#[derive(Clone, Debug)]
pub struct MediaConfig {
    /// Address that sockets are bound to.
    pub bind: IpAddr,
    /// Address that pages are told.
    pub public: IpAddr,
    /// Ports, one for each room; 0 is any.
    pub ports: RangeInclusive<u16>,
    /// Rooms at most.
    pub rooms: usize,
    /// Participants in a room at most.
    pub participants: usize,
}

/// Media server.
#[derive(Debug)]
pub struct MediaServer {
    config: MediaConfig,
    events: UnboundedSender<MediaEvent>,
    rooms: Arc<Mutex<HashMap<String, SyncSender<RoomInput>>>>,
}

type RoomMap = HashMap<String, SyncSender<RoomInput>>;

impl MediaServer {
    /// Media server without rooms, which tells what happens through `events`.
    pub fn new(config: MediaConfig, events: UnboundedSender<MediaEvent>) -> Self {
        Self { config, events, rooms: Arc::default() }
    }

    /// Gives a command to a room. An offer opens a room where there is none.
    ///
    /// # Errors
    /// [`Refusal::NoSession`] where there is no room; [`Refusal::Unavailable`] where none can be opened, or the room does
    /// not keep up.
    pub fn command(&self, room: &str, command: MediaCommand) -> Result<(), Refusal> {
        let mut rooms = lock(&self.rooms);
        let is_restart = matches!(command, MediaCommand::Offer { restart: true, .. });
        let opens = matches!(command, MediaCommand::Offer { .. }) && !is_restart;
        let mut input = RoomInput::Command(command);
        if let Some(found) = rooms.get(room) {
            match found.try_send(input) {
                Ok(()) => return Ok(()),
                Err(TrySendError::Full(_)) => return Err(Refusal::Unavailable),
                // Its thread ended without a word.
                Err(TrySendError::Disconnected(back)) => input = back,
            }
            rooms.remove(room);
        }
        if !opens {
            return if is_restart { Err(Refusal::NoSession) } else { Ok(()) };
        }
        if rooms.len() >= self.config.rooms {
            return Err(Refusal::TooManyRooms);
        }
        let opened = self.open(room).map_err(|error| {
            warn!("{room}: {error}");
            Refusal::Unavailable
        })?;
        opened.try_send(input).map_err(|_| Refusal::Unavailable)?;
        rooms.insert(room.to_owned(), opened);
        Ok(())
    }

    /// Rooms that are open.
    pub fn rooms(&self) -> usize {
        lock(&self.rooms).len()
    }

    fn open(&self, name: &str) -> io::Result<SyncSender<RoomInput>> {
        let socket = bind(self.config.bind, self.config.ports.clone())?;
        let address = SocketAddr::new(self.config.public, socket.local_addr()?.port());
        let (sender, inputs) = sync_channel(INPUTS);
        let (events, places) = (self.events.clone(), self.config.participants);
        let receiving = socket.try_clone()?;
        let room = MediaRoom::new(name.into(), socket, address, inputs, events.clone(), places);
        let mut room = room.map_err(io::Error::other)?;

        let ended = Arc::new(AtomicBool::new(false));
        let (is_over, datagrams) = (Arc::clone(&ended), sender.clone());
        thread::Builder::new().name("media-receive".into()).spawn(move || receive(&receiving, &datagrams, &is_over))?;
        let (rooms, name) = (Arc::clone(&self.rooms), name.to_owned());
        thread::Builder::new().name("media-room".into()).spawn(move || {
            info!("{name}: media on {address}");
            loop {
                room.run();
                // Whoever has sent an offer in this moment shall be heard: the lock keeps others from it.
                let mut rooms = lock(&rooms);
                if !room.has_more() {
                    rooms.remove(&name);
                    break;
                }
            }
            ended.store(true, Relaxed);
            info!("{name}: media ended");
            let _ = events.send(MediaEvent::Ended { room: name });
        })?;
        Ok(sender)
    }
}

fn lock(rooms: &Mutex<RoomMap>) -> MutexGuard<'_, RoomMap> {
    rooms.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bind(address: IpAddr, ports: RangeInclusive<u16>) -> io::Result<UdpSocket> {
    let mut error = io::Error::other("no port");
    for port in ports {
        match UdpSocket::bind((address, port)) {
            Ok(socket) => return Ok(socket),
            Err(found) => error = found,
        }
    }
    Err(error)
}

/// Hands what a socket receives to a room, until that is over.
fn receive(socket: &UdpSocket, room: &SyncSender<RoomInput>, is_over: &AtomicBool) {
    let mut buffer = [0; DATAGRAM];
    // So that the end is noticed.
    let _ = socket.set_read_timeout(Some(Duration::from_secs(1)));
    while !is_over.load(Relaxed) {
        // An error is that of one datagram (ICMP), or the timeout.
        let Ok((length, remote)) = socket.recv_from(&mut buffer) else { continue };
        let bytes = buffer[..length].to_vec();
        // A full queue loses datagrams, as a full socket would.
        let _ = room.try_send(RoomInput::Datagram(Datagram { is_incoming: true, remote, bytes }));
    }
}
