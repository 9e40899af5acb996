//! State that all connections share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use crate::config::Config;
use crate::limits::PlacesByAddress;
use crate::media::{MediaCommand, MediaEvent, MediaServer};
use crate::rooms::{RedisError, Rooms};
use crate::signalling::error::Refusal;
use crate::turn::IceServers;

/// Commands from other servers that wait for the media server.
const REMOTE_COMMANDS: usize = 1024;

/// Server: rooms, media, limits.
#[derive(Debug)]
pub struct Server {
    /// Settings.
    pub config: Config,
    /// Rooms.
    pub rooms: Arc<Rooms>,
    /// STUN and TURN servers.
    pub ice: IceServers,
    /// Connections by address.
    pub connections: PlacesByAddress,
    media: MediaServer,
    started: Instant,
    stop: watch::Sender<bool>,
}

impl Server {
    /// Server with these settings. Needs a runtime.
    ///
    /// # Errors
    /// [`RedisError`] where there should be a Redis and is none.
    pub async fn start(config: Config) -> Result<Arc<Self>, RedisError> {
        let (events, told) = mpsc::unbounded_channel();
        let (commands, commanded) = mpsc::channel(REMOTE_COMMANDS);
        let rooms = match &config.redis {
            Some(url) => Rooms::in_redis(config.rooms, url, commands).await?,
            None => Arc::new(Rooms::in_memory(config.rooms)),
        };
        let server = Arc::new(Self {
            rooms,
            ice: config.ice.clone(),
            connections: PlacesByAddress::new(config.connections_per_address),
            media: MediaServer::new(config.media.clone(), events),
            started: Instant::now(),
            stop: watch::channel(false).0,
            config,
        });
        tokio::spawn(tell(Arc::clone(&server), told));
        tokio::spawn(obey(Arc::clone(&server), commanded));
        Ok(server)
    }

    /// Gives a command to the media server of a room, here or elsewhere.
    ///
    /// # Errors
    /// Those of [`MediaServer::command`] and [`Rooms::route_media`].
    pub async fn media(&self, room: &str, command: MediaCommand) -> Result<(), Refusal> {
        match self.rooms.route_media(room, &command).await? {
            true => self.media.command(room, command),
            false => Ok(()),
        }
    }

    /// Rooms whose media goes through this server.
    pub fn media_rooms(&self) -> usize {
        self.media.rooms()
    }

    /// Time since the start.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Tells all connections to end, so that their clients go to another server.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until [`stop`](Self::stop).
    pub async fn stopping(&self) {
        // An error means that the server is gone, and so are its connections.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }
}

/// Passes on what the media server tells.
async fn tell(server: Arc<Server>, mut events: mpsc::UnboundedReceiver<MediaEvent>) {
    while let Some(event) = events.recv().await {
        match event {
            MediaEvent::Message { room, to, message } => {
                // Whoever has just left misses nothing.
                let _ = server.rooms.send(&room, to, message).await;
            }
            MediaEvent::Ended { room } => server.rooms.release_media(&room).await,
        }
    }
}

/// Passes commands on that came from other servers.
async fn obey(server: Arc<Server>, mut commands: mpsc::Receiver<(String, MediaCommand)>) {
    while let Some((room, command)) = commands.recv().await {
        let user = match &command {
            MediaCommand::Offer { user, .. } => Some(user.clone()),
            _ => None,
        };
        if let Err(refusal) = server.media.command(&room, command)
            && let Some(user) = user
        {
            let _ = server.rooms.send(&room, crate::rooms::hub::To::User(user), refusal.into()).await;
        }
    }
}
