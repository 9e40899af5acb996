//! `voice-call join`: a native participant, on the crate's `Call`. It has one connection: to the server, or directly to one
//! other user.

mod files;
mod link;
mod media;
#[cfg(feature = "device")]
mod sound_card;

use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::path::PathBuf;
use std::sync::mpsc as sync;
use std::thread;
use std::time::Duration;

use clap::Args;
use futures_util::{SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tracing::{info, warn};
use voxframe::call::ProfileKind;

use self::media::Media;
use crate::media::peer::PeerError;
use crate::signalling::protocol::{ClientMessage, MediaMode, ServerMessage};

/// Seconds between tries to reconnect, as of the page.
const BACK_OFF_S: [u64; 5] = [1, 2, 4, 8, 16];

/// Time between two signs of life.
const PING: Duration = Duration::from_secs(4);

/// Options of `voice-call join`.
#[derive(Args, Clone, Debug)]
pub struct JoinArgs {
    /// Server, as http://127.0.0.1:8080
    url: String,
    /// Room
    room: String,
    /// Name that the others see
    #[arg(long, default_value = "voice-call")]
    name: String,
    /// What is said: a WAV file of any rate and channels [default: silence, or the microphone with the feature `device`]
    #[arg(long)]
    input: Option<PathBuf>,
    /// What is heard: a WAV file, 48 kHz, 16 bit, mono
    #[arg(long)]
    output: Option<PathBuf>,
    /// Says the input again and again
    #[arg(long)]
    repeat: bool,
    /// Seconds after which it leaves [default: at the end of the input, or never]
    #[arg(long)]
    seconds: Option<u64>,
    /// Profile to begin with
    #[arg(long, default_value_t = ProfileKind::Balanced)]
    profile: ProfileKind,
    /// Switches the room to media through the server
    #[arg(long)]
    through_server: bool,
}

/// Error of a native participant.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// URL that cannot be used.
    #[error("{0}: http://HOST:PORT is expected; for https put a proxy in between")]
    Url(String),
    /// Host that has no address, or no way to it.
    #[error("{0}: {1}")]
    Host(String, std::io::Error),
    /// Server that cannot be reached.
    #[error("the server cannot be reached: {0}")]
    Server(String),
    /// Server that refused to let the participant in.
    #[error("the server refused: {0}")]
    Refused(String),
    /// File or device.
    #[error("{0}: {1}")]
    Sound(String, String),
    /// Trouble of voxframe.
    #[error("sound: {0}")]
    Voxframe(#[from] voxframe::Error),
    /// Trouble of the connection.
    #[error(transparent)]
    Peer(#[from] PeerError),
}

/// Joins, and stays until the end of the input, the given time, or `stop`.
///
/// # Errors
/// [`JoinError`].
pub async fn join(args: JoinArgs, stop: impl Future<Output = ()>) -> Result<(), JoinError> {
    let host =
        args.url.trim_end_matches('/').strip_prefix("http://").ok_or_else(|| JoinError::Url(args.url.clone()))?;
    let local = local_address(host)?;
    let socket = UdpSocket::bind((local, 0)).map_err(|error| JoinError::Host(local.to_string(), error))?;
    let (to_media, from_signalling) = sync::channel();
    let (to_signalling, mut from_media) = mpsc::unbounded_channel();
    let (media, sound) = Media::open(&args, socket, from_signalling, to_signalling)?;
    let thread = thread::spawn(move || media.run());

    let session = format!("{:032x}", fastrand::u128(..));
    let url = format!("ws://{host}/ws");
    let mut tries = 0;
    tokio::pin!(stop);
    let result = loop {
        let served = tokio::select! {
            served = serve(&url, &args, &session, &to_media, &mut from_media, &mut tries) => served,
            () = &mut stop => break Ok(()),
        };
        match served {
            Ok(true) => break Ok(()),
            Ok(false) => {}
            Err(JoinError::Server(error)) if tries < BACK_OFF_S.len() => warn!("{error}"),
            Err(error) => break Err(error),
        }
        let Some(&seconds) = BACK_OFF_S.get(tries) else { break Err(JoinError::Server("it is gone".into())) };
        tries += 1;
        info!("trying again in {seconds} s");
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    };
    // The media thread ends with its channel, and the sound with it.
    drop(to_media);
    let ended = tokio::task::spawn_blocking(move || {
        let _ = thread.join();
        sound.finish()
    });
    let finished = ended.await.unwrap_or(Ok(()));
    result.and(finished)
}

/// One connection to the server; whether the media ended it.
async fn serve(
    url: &str,
    args: &JoinArgs,
    session: &str,
    to_media: &sync::Sender<ServerMessage>,
    from_media: &mut mpsc::UnboundedReceiver<ClientMessage>,
    tries: &mut usize,
) -> Result<bool, JoinError> {
    let server = |error: tokio_tungstenite::tungstenite::Error| JoinError::Server(error.to_string());
    let (mut socket, _) = connect_async(url).await.map_err(server)?;
    let (room, name, session) = (args.room.clone(), args.name.clone(), session.to_owned());
    socket.send(text(&ClientMessage::Join { room, name, session })).await.map_err(server)?;
    let mut pings = tokio::time::interval(PING);
    loop {
        let message = tokio::select! {
            received = socket.next() => match received {
                Some(Ok(Message::Text(text))) => {
                    let Ok(message) = serde_json::from_str(&text) else { continue };
                    match &message {
                        ServerMessage::Joined { mode, .. } => {
                            *tries = 0;
                            if args.through_server && *mode == MediaMode::P2p {
                                let mode = ClientMessage::Mode { mode: MediaMode::Server };
                                socket.send(self::text(&mode)).await.map_err(server)?;
                            }
                        }
                        ServerMessage::Error { code, message } if is_final(code) => {
                            return Err(JoinError::Refused(message.clone()));
                        }
                        _ => {}
                    }
                    if to_media.send(message).is_err() {
                        return Ok(true);
                    }
                    continue;
                }
                Some(Ok(_)) => continue,
                Some(Err(error)) => return Err(server(error)),
                None => return Ok(false),
            },
            message = from_media.recv() => message,
            _ = pings.tick() => Some(ClientMessage::Ping),
        };
        let Some(message) = message else {
            // The media has come to its end.
            let _ = socket.send(text(&ClientMessage::Leave)).await;
            let _ = socket.close(None).await;
            return Ok(true);
        };
        socket.send(text(&message)).await.map_err(server)?;
    }
}

fn is_final(code: &str) -> bool {
    matches!(code, "bad-room" | "bad-name" | "room-full" | "too-many-rooms" | "replaced" | "abuse")
}

fn text(message: &ClientMessage) -> Message {
    Message::Text(serde_json::to_string(message).unwrap_or_default().into())
}

/// Address of this machine on the way to `host`; nothing is sent.
fn local_address(host: &str) -> Result<IpAddr, JoinError> {
    let failed = |error| JoinError::Host(host.to_owned(), error);
    let with_port = if host.rsplit(':').next().is_some_and(|port| port.parse::<u16>().is_ok()) {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let remote = with_port.to_socket_addrs().map_err(failed)?.next();
    let remote = remote.ok_or_else(|| failed(std::io::ErrorKind::AddrNotAvailable.into()))?;
    let any: SocketAddr = if remote.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).map_err(failed)?;
    socket.connect(remote).map_err(failed)?;
    Ok(socket.local_addr().map_err(failed)?.ip())
}
