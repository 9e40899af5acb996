//! Participant of a mixed room: its peer, its voice, and the adaptation of both directions.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use voxframe::call::{ConnectionReport, MixBus, ProfileKind};

use super::network::Datagram;
use super::peer::{Peer, PeerError, PeerOutput};
use super::voice::Voice;
use crate::adaptation::Connection;
use crate::signalling::protocol::{SERVER, ServerMessage};

/// Time without a packet after which a participant is gone.
const SILENCE: Duration = Duration::from_secs(30);

/// Participant.
pub struct Participant {
    /// Its user.
    pub user: String,
    /// Its place on the mix bus.
    pub place: usize,
    peer: Peer,
    voice: Voice,
    connection: Connection,
    /// What the page said last of what it sends and receives.
    page: (Option<ConnectionReport>, Option<ConnectionReport>),
    /// Interarrival jitter of what is received, in ms.
    jitter_ms: Option<f32>,
    /// Loss and round-trip time of what is sent, from receiver reports.
    sent: (Option<f32>, Option<f32>),
    start: Instant,
    heard: Instant,
    adapted: Instant,
    next_timeout: Instant,
}

impl Participant {
    /// Participant that answers an offer, and the answer.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn new(
        user: String,
        place: usize,
        offer: &str,
        local: SocketAddr,
        now: Instant,
    ) -> Result<(Self, String), PeerError> {
        let (peer, answer) = Peer::answer(offer, local, true, now)?;
        let participant = Self {
            user,
            place,
            peer,
            voice: Voice::new()?,
            connection: Connection::default(),
            page: (None, None),
            jitter_ms: None,
            sent: (None, None),
            start: now,
            heard: now,
            adapted: now,
            next_timeout: now,
        };
        Ok((participant, answer))
    }

    /// Takes an offer that restarts ICE; the answer.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn restart(&mut self, offer: &str, now: Instant) -> Result<String, PeerError> {
        self.heard = now;
        self.peer.accept_offer(offer)
    }

    /// Whether a datagram is this participant's.
    pub fn accepts(&self, now: Instant, source: SocketAddr, bytes: &[u8]) -> bool {
        self.peer.accepts(now, source, bytes)
    }

    /// Takes a datagram.
    ///
    /// # Errors
    /// [`PeerError`] where the connection cannot go on.
    pub fn receive(&mut self, now: Instant, source: SocketAddr, bytes: &[u8]) -> Result<(), PeerError> {
        self.peer.receive(now, source, bytes)
    }

    /// When it wants to be polled next.
    pub fn next_timeout(&self) -> Instant {
        self.next_timeout
    }

    /// Lets time go on, and gives out what is to be sent.
    ///
    /// # Errors
    /// [`PeerError`] where the connection cannot go on.
    pub fn poll(&mut self, now: Instant, mut send: impl FnMut(Datagram)) -> Result<(), PeerError> {
        if now >= self.next_timeout {
            self.peer.advance(now)?;
        }
        let Self { peer, voice, heard, sent, jitter_ms, user, .. } = self;
        self.next_timeout = peer.poll(|output| match output {
            PeerOutput::Transmit { to, bytes } => {
                send(Datagram { is_incoming: false, remote: to, bytes: bytes.to_vec() });
            }
            PeerOutput::Rtp { sequence, timestamp, ssrc, payload } => {
                *heard = now;
                // What is refused is counted by the jitter buffer.
                let _ = voice.incoming.push(sequence, timestamp, ssrc, payload);
            }
            PeerOutput::Sent { loss, round_trip_time_ms } => {
                *sent = (loss.or(sent.0), round_trip_time_ms.or(sent.1));
            }
            PeerOutput::Received { jitter_ms: jitter } => *jitter_ms = Some(jitter),
            PeerOutput::Connected => tracing::info!("{user}: connected"),
            PeerOutput::Disconnected => tracing::info!("{user}: disconnected"),
        })?;
        Ok(())
    }

    /// Whether it is gone.
    pub fn is_gone(&self, now: Instant) -> bool {
        self.peer.is_closed() || now.saturating_duration_since(self.heard) > SILENCE
    }

    /// Adds the next frame of its voice to the mix.
    ///
    /// # Errors
    /// Those of the stages.
    pub fn speak(&mut self, bus: &mut MixBus) -> voxframe::Result<()> {
        bus.add(self.place, self.voice.pull()?)
    }

    /// Sends the next frame of what the others say.
    ///
    /// # Errors
    /// [`PeerError`].
    pub fn listen(&mut self, bus: &mut MixBus, now: Instant) -> Result<(), PeerError> {
        match self.voice.encode(bus.output(self.place)?)? {
            Some(packet) => self.peer.send(now, packet),
            None => Ok(()),
        }
    }

    /// Takes what the page says of the connection.
    pub fn stats(&mut self, send: Option<ConnectionReport>, receive: Option<ConnectionReport>) {
        self.page = (send.or(self.page.0), receive.or(self.page.1));
    }

    /// Sets the profile that is wanted for its voice.
    pub fn wish(&mut self, profile: Option<ProfileKind>) {
        self.connection.send.wish(profile);
    }

    /// When it was adapted last.
    pub fn adapted(&self) -> Instant {
        self.adapted
    }

    /// Adapts both directions; the message about it.
    ///
    /// # Errors
    /// Those of the stages and the encoder.
    pub fn adapt(&mut self, now: Instant) -> voxframe::Result<ServerMessage> {
        self.adapted = now;
        let at = now.saturating_duration_since(self.start);
        let (page_sends, page_receives) = (self.page.0.take(), self.page.1.take());
        let buffer = self.voice.downlink.jitter_buffer.reading();
        let round_trip_time_ms = page_sends.and_then(|report| report.round_trip_time_ms).or(self.sent.1);

        // What comes from the page is counted here, what goes to it there.
        let advice = self.connection.send.report(
            at,
            &ConnectionReport {
                packets_lost: i64::try_from(buffer.packets_lost).ok(),
                packets_received: Some(buffer.packets_received),
                jitter_ms: self.jitter_ms,
                round_trip_time_ms,
                ..ConnectionReport::default()
            },
        );
        let profile = advice.profile.value;
        let receives = page_receives.unwrap_or_default();
        let advice = self.connection.receive.report(
            at,
            &ConnectionReport {
                loss: receives.loss.or(self.sent.0.take()),
                round_trip_time_ms: receives.round_trip_time_ms.or(round_trip_time_ms),
                ..receives
            },
        );
        self.voice.follow(advice)?;
        self.voice.set_profile(profile)?;
        let (send, receive) = (self.connection.send.state().into(), self.connection.receive.state().into());
        Ok(ServerMessage::Connection { peer: SERVER.into(), send, receive, server_ms: Some(self.voice.latency_ms()) })
    }

    /// Profile of the cleaning.
    pub fn profile(&self) -> ProfileKind {
        self.voice.profile()
    }
}
