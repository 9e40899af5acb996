//! Web socket of one client: reads, writes, signs of life, and the end.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_tungstenite::tungstenite;
use tracing::debug;

use super::error::Refusal;
use super::protocol::{MAX_FRAME_BYTES, ServerMessage};
use super::session::{Reply, Session};
use crate::limits::Place;
use crate::rooms::hub::Outgoing;
use crate::state::Server;

/// Messages that wait for a slow client.
const OUTBOX: usize = 256;

/// Time between two pings, and that after which a client that says nothing is gone.
const PING: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(20);

/// Time in which a room must be joined.
const JOIN: Duration = Duration::from_secs(30);

/// Time that a message may take to be written.
const WRITE: Duration = Duration::from_secs(5);

/// Takes a web socket, if its address has not too many.
pub async fn upgrade(
    State(server): State<Arc<Server>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let address = server.config.address_of(peer.ip(), &headers);
    let Some(place) = server.connections.take(address) else {
        return (StatusCode::TOO_MANY_REQUESTS, "too many connections from this address").into_response();
    };
    upgrade
        .max_message_size(MAX_FRAME_BYTES)
        .max_frame_size(MAX_FRAME_BYTES)
        .max_write_buffer_size(1 << 20)
        .on_upgrade(move |socket| run(socket, server, address, place))
}

async fn run(mut socket: WebSocket, server: Arc<Server>, address: IpAddr, _place: Place) {
    let (outbox, mut outgoing) = mpsc::channel(OUTBOX);
    let mut session = Session::new(Arc::clone(&server), address, outbox);
    let mut left = false;
    let goodbye = serve(&mut socket, &mut session, &mut outgoing, &server, &mut left).await;
    session.leave(!left).await;
    if let Some(refusal) = goodbye {
        let _ = write(&mut socket, &refusal.into()).await;
        let code = if refusal == Refusal::TooLarge { close_code::SIZE } else { close_code::POLICY };
        let close = Message::Close(Some(CloseFrame { code, reason: refusal.code().into() }));
        let _ = timeout(WRITE, socket.send(close)).await;
    }
}

/// Serves until the end; why the server ended it, if it did. `left` is whether the client said good-bye.
async fn serve(
    socket: &mut WebSocket,
    session: &mut Session,
    outgoing: &mut mpsc::Receiver<Outgoing>,
    server: &Server,
    left: &mut bool,
) -> Option<Refusal> {
    let (start, mut heard) = (Instant::now(), Instant::now());
    let mut pings = interval(PING);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let message = tokio::select! {
            received = socket.recv() => {
                heard = Instant::now();
                let reply = match received {
                    Some(Ok(Message::Text(text))) => session.receive(&text).await,
                    Some(Ok(Message::Binary(_))) => session.refuse(Refusal::Malformed),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => Reply::None,
                    Some(Ok(Message::Close(close))) => {
                        // 1001: the page is left. Other ends may be those of the network.
                        *left = close.is_some_and(|close| matches!(close.code, close_code::NORMAL | close_code::AWAY));
                        return None;
                    }
                    Some(Err(error)) if is_too_large(&error) => return Some(Refusal::TooLarge),
                    Some(Err(error)) => {
                        debug!("web socket: {error}");
                        return None;
                    }
                    None => return None,
                };
                match reply {
                    Reply::None => continue,
                    Reply::Message(message) => message,
                    Reply::Close(refusal) => return Some(refusal),
                }
            }
            queued = outgoing.recv() => match queued {
                Some(Outgoing::Message(message)) => message,
                Some(Outgoing::Replaced) => return Some(Refusal::Replaced),
                None => return None,
            },
            now = pings.tick() => {
                let is_late = !session.has_joined() && now - start > JOIN;
                if now - heard > SILENCE || is_late {
                    return Some(Refusal::NotJoined).filter(|_| is_late);
                }
                match timeout(WRITE, socket.send(Message::Ping(Vec::new().into()))).await {
                    Ok(Ok(())) => continue,
                    _ => return None,
                }
            }
            () = server.stopping() => return Some(Refusal::Unavailable),
        };
        if !write(socket, &message).await {
            return None;
        }
    }
}

/// Writes a message; whether that was possible.
async fn write(socket: &mut WebSocket, message: &ServerMessage) -> bool {
    let Ok(text) = serde_json::to_string(message) else { return false };
    matches!(timeout(WRITE, socket.send(Message::Text(text.into()))).await, Ok(Ok(())))
}

fn is_too_large(error: &axum::Error) -> bool {
    let source = std::error::Error::source(error);
    let error = source.and_then(|source| source.downcast_ref::<tungstenite::Error>());
    matches!(error, Some(tungstenite::Error::Capacity(_)))
}
