//! Mixed room: a thread with a socket, a mix bus, and the participants. Every 10 ms each is heard by all others.

use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;
use tracing::{info, warn};
use voxframe::Format;
use voxframe::call::MixBus;

use super::network::{Datagram, SimulatedNetwork};
use super::participant::Participant;
use super::peer::PeerError;
use super::voice::RATE_HZ;
use super::{MediaCommand, MediaEvent, RoomInput};
use crate::rooms::hub::To;
use crate::signalling::error::Refusal;
use crate::signalling::protocol::{SERVER, ServerMessage};

/// Length of a frame.
const FRAME: Duration = Duration::from_millis(10);

/// Time by which the sound may be late before it is given up and begins anew: as long as the far ends' buffers bear.
const MAX_LATE: Duration = Duration::from_millis(200);

/// Time between two reports on levels; longest time between two on a connection, whose page says nothing.
const LEVELS: Duration = Duration::from_millis(200);
const ADAPT: Duration = Duration::from_millis(1500);

/// Time for which an empty room stays.
const EMPTY: Duration = Duration::from_secs(10);

/// Room of the media server.
pub struct MediaRoom {
    name: String,
    socket: UdpSocket,
    /// Address of the socket, as others see it.
    address: SocketAddr,
    inputs: Receiver<RoomInput>,
    events: UnboundedSender<MediaEvent>,
    network: SimulatedNetwork,
    bus: MixBus,
    participants: Vec<Participant>,
}

impl MediaRoom {
    /// Room on a socket that has the address `address` for others. `inputs` has what the socket receives, and commands.
    ///
    /// # Errors
    /// Those of [`MixBus::new`].
    pub fn new(
        name: String,
        socket: UdpSocket,
        address: SocketAddr,
        inputs: Receiver<RoomInput>,
        events: UnboundedSender<MediaEvent>,
        places: usize,
    ) -> voxframe::Result<Self> {
        let bus = MixBus::new(Format::mono(RATE_HZ)?, places)?;
        let (network, participants) = (SimulatedNetwork::default(), Vec::new());
        Ok(Self { name, socket, address, inputs, events, network, bus, participants })
    }

    /// Runs until nobody has been there for a while.
    pub fn run(&mut self) {
        let mut now = Instant::now();
        let (mut frame, mut levels, mut occupied) = (now, now, now);
        loop {
            let wake = self.participants.iter().map(Participant::next_timeout).chain(self.network.next_arrival());
            let wake = wake.min().map_or(frame, |wake| wake.min(frame));
            match self.inputs.recv_timeout(wake.saturating_duration_since(Instant::now())) {
                Ok(input) => self.take(input),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            // All that is there, so that packets that came together are there together.
            while let Ok(input) = self.inputs.try_recv() {
                self.take(input);
            }
            now = Instant::now();
            if now.saturating_duration_since(frame) > MAX_LATE {
                warn!("{}: the sound is late by {:?}", self.name, now - frame);
                frame = now;
            }
            while now >= frame {
                self.mix(now);
                frame += FRAME;
            }
            if now >= levels {
                self.report_levels();
                self.adapt_overdue(now);
                levels = now + LEVELS;
            }
            self.pass_datagrams(now);
            self.participants.retain(|participant| !participant.is_gone(now));
            if !self.participants.is_empty() {
                occupied = now;
            } else if now - occupied > EMPTY {
                return;
            }
        }
    }

    fn take(&mut self, input: RoomInput) {
        let now = Instant::now();
        match input {
            RoomInput::Datagram(datagram) if self.network.is_clean() => self.receive(now, &datagram),
            RoomInput::Datagram(datagram) => self.network.send(now, datagram),
            RoomInput::Command(command) => self.obey(command, now),
        }
    }

    fn receive(&mut self, now: Instant, datagram: &Datagram) {
        let Datagram { remote, bytes, .. } = datagram;
        let to = self.participants.iter().position(|participant| participant.accepts(now, *remote, bytes));
        let Some(index) = to else { return };
        let participant = &mut self.participants[index];
        // Each datagram is taken to its end before the next, as the stack wants it.
        let result = participant.receive(now, *remote, bytes);
        let result = result.and_then(|()| poll(participant, &mut self.network, &self.socket, now));
        if let Err(error) = result {
            warn!("{}: {} is taken out: {error}", self.name, participant.user);
            self.participants.remove(index);
        }
    }

    fn obey(&mut self, command: MediaCommand, now: Instant) {
        let find = |participants: &mut Vec<Participant>, user: &str| {
            participants.iter().position(|participant| participant.user == user)
        };
        match command {
            MediaCommand::Offer { user, sdp, restart } => {
                let result = self.offer(&user, &sdp, restart, now);
                let message = match result {
                    Ok(sdp) => ServerMessage::Answer { from: SERVER.into(), sdp },
                    Err(refusal) => refusal.into(),
                };
                self.tell(To::User(user), message);
            }
            MediaCommand::Stats { user, send, receive } => {
                if let Some(index) = find(&mut self.participants, &user) {
                    self.participants[index].stats(send, receive);
                    self.adapt(index, now);
                }
            }
            MediaCommand::Profile { user, profile } => {
                if let Some(index) = find(&mut self.participants, &user) {
                    self.participants[index].wish(profile);
                }
            }
            // Whoever is only lost may come back, and has then lost no sound.
            MediaCommand::Leave { lost: true, .. } => {}
            MediaCommand::Leave { user, .. } => self.participants.retain(|participant| participant.user != user),
            MediaCommand::Network(condition) => self.network.set(condition),
        }
    }

    /// Takes an offer; the answer.
    fn offer(&mut self, user: &str, sdp: &str, restart: bool, now: Instant) -> Result<String, Refusal> {
        let found = self.participants.iter().position(|participant| participant.user == user);
        let log = |error| {
            warn!("{}: {user}: {error}", self.name);
            Refusal::BadSdp
        };
        if restart {
            let index = found.ok_or(Refusal::NoSession)?;
            return self.participants[index].restart(sdp, now).map_err(log);
        }
        let taken = |place: &usize| {
            let mut others = self.participants.iter().filter(|participant| participant.user != user);
            others.any(|participant| participant.place == *place)
        };
        let place = (0..self.bus.participants()).find(|place| !taken(place)).ok_or(Refusal::RoomFull)?;
        let (participant, answer) = Participant::new(user.into(), place, sdp, self.address, now).map_err(log)?;
        self.participants.retain(|participant| participant.user != user);
        self.participants.push(participant);
        info!("{}: {user} joins the mix", self.name);
        Ok(answer)
    }

    /// One frame: everyone speaks, everyone hears the others.
    fn mix(&mut self, now: Instant) {
        self.bus.begin();
        for participant in &mut self.participants {
            if let Err(error) = participant.speak(&mut self.bus) {
                warn!("{}: {}: {error}", self.name, participant.user);
            }
        }
        for participant in &mut self.participants {
            if let Err(error) = participant.listen(&mut self.bus, now) {
                warn!("{}: {}: {error}", self.name, participant.user);
            }
        }
    }

    /// Takes out of the simulated network what has arrived, and lets all participants send.
    fn pass_datagrams(&mut self, now: Instant) {
        while let Some(datagram) = self.network.receive(now) {
            match datagram.is_incoming {
                true => self.receive(now, &datagram),
                false => send(&self.socket, &datagram),
            }
        }
        let Self { participants, network, socket, name, .. } = self;
        participants.retain_mut(|participant| {
            let result = poll(participant, network, socket, now);
            if let Err(error) = &result {
                warn!("{name}: {} is taken out: {error}", participant.user);
            }
            result.is_ok()
        });
    }

    /// Adapts a connection with what its page has just said, and tells it.
    fn adapt(&mut self, index: usize, now: Instant) {
        let participant = &mut self.participants[index];
        let before = participant.profile();
        let result = participant.adapt(now);
        let (user, after) = (participant.user.clone(), participant.profile());
        if after != before {
            info!("{}: {user}: {before} to {after}", self.name);
        }
        match result {
            Ok(message) => self.tell(To::User(user), message),
            Err(error) => warn!("{}: {user}: {error}", self.name),
        }
    }

    fn adapt_overdue(&mut self, now: Instant) {
        for index in 0..self.participants.len() {
            if now.saturating_duration_since(self.participants[index].adapted()) > ADAPT {
                self.adapt(index, now);
            }
        }
    }

    fn report_levels(&mut self) {
        if self.participants.is_empty() {
            return;
        }
        let place = self.bus.active_speaker();
        let levels = self.participants.iter().map(|who| (who.user.clone(), self.bus.level_dbfs(who.place)));
        let levels = levels.map(|(user, dbfs)| (user, dbfs.max(-120.0).round())).collect();
        let speaker = self.participants.iter().find(|who| Some(who.place) == place).map(|who| who.user.clone());
        self.tell(To::All, ServerMessage::Levels { levels, speaker });
    }

    fn tell(&self, to: To, message: ServerMessage) {
        // Without a receiver the server is about to end.
        let _ = self.events.send(MediaEvent::Message { room: self.name.clone(), to, message });
    }

    /// Takes what came too late for [`run`](Self::run); whether there was anything.
    pub fn has_more(&mut self) -> bool {
        let mut any = false;
        while let Ok(input) = self.inputs.try_recv() {
            any |= matches!(input, RoomInput::Command(MediaCommand::Offer { .. }));
            self.take(input);
        }
        any
    }
}

/// Lets a participant send, through the simulated network where there is one.
fn poll(
    participant: &mut Participant,
    network: &mut SimulatedNetwork,
    socket: &UdpSocket,
    now: Instant,
) -> Result<(), PeerError> {
    participant.poll(now, |datagram| match network.is_clean() {
        true => send(socket, &datagram),
        false => network.send(now, datagram),
    })
}

fn send(socket: &UdpSocket, datagram: &Datagram) {
    // A datagram that cannot be sent is a lost one.
    let _ = socket.send_to(&datagram.bytes, datagram.remote);
}
