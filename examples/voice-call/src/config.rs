//! Settings of the server, from the command line or the environment.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::time::Duration;

use axum::http::HeaderMap;
use clap::Args;

use crate::media::MediaConfig;
use crate::rooms::RoomLimits;
use crate::turn::IceServers;

/// Options of `voice-call serve`.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// Address and port for page, REST and web socket
    #[arg(long, env = "VOICE_CALL_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Address that media sockets are bound to
    #[arg(long, env = "VOICE_CALL_MEDIA_ADDRESS", default_value = "0.0.0.0")]
    pub media_address: IpAddr,
    /// Address for media that pages are told [default: that of this machine]
    #[arg(long, env = "VOICE_CALL_PUBLIC_ADDRESS")]
    pub public_address: Option<IpAddr>,
    /// UDP ports for media, one a room, as 40000-40099 [default: any]
    #[arg(long, env = "VOICE_CALL_MEDIA_PORTS", value_parser = parse_ports)]
    pub media_ports: Option<RangeInclusive<u16>>,
    /// STUN servers, as stun:example.org:3478
    #[arg(long, env = "VOICE_CALL_STUN", value_delimiter = ',')]
    pub stun: Vec<String>,
    /// TURN servers, as turn:example.org:3478?transport=udp
    #[arg(long, env = "VOICE_CALL_TURN", value_delimiter = ',', requires = "turn_secret")]
    pub turn: Vec<String>,
    /// coturn's static-auth-secret
    #[arg(long, env = "VOICE_CALL_TURN_SECRET", hide_env_values = true)]
    pub turn_secret: Option<String>,
    /// Seconds for which TURN credentials are valid
    #[arg(long, env = "VOICE_CALL_TURN_SECONDS", default_value_t = 3600)]
    pub turn_seconds: u64,
    /// Redis that several servers share their rooms over, as redis://127.0.0.1/
    #[arg(long, env = "VOICE_CALL_REDIS", hide_env_values = true)]
    pub redis: Option<String>,
    /// Rooms at most
    #[arg(long, env = "VOICE_CALL_ROOMS", default_value_t = 1000)]
    pub rooms: usize,
    /// Users in a room at most
    #[arg(long, env = "VOICE_CALL_USERS", default_value_t = 8)]
    pub users: usize,
    /// Rooms made from one address at most
    #[arg(long, env = "VOICE_CALL_ROOMS_PER_ADDRESS", default_value_t = 50)]
    pub rooms_per_address: usize,
    /// Connections from one address at most
    #[arg(long, env = "VOICE_CALL_CONNECTIONS_PER_ADDRESS", default_value_t = 300)]
    pub connections_per_address: usize,
    /// Trust X-Forwarded-For: only behind a proxy that sets it
    #[arg(long, env = "VOICE_CALL_TRUST_PROXY")]
    pub trust_proxy: bool,
    /// Let anybody simulate a bad network, for tests
    #[arg(long, env = "VOICE_CALL_SIMULATION")]
    pub simulation: bool,
}

/// Settings of the server.
#[derive(Clone, Debug)]
pub struct Config {
    /// Limits of rooms.
    pub rooms: RoomLimits,
    /// Media server.
    pub media: MediaConfig,
    /// STUN and TURN servers.
    pub ice: IceServers,
    /// Redis, where rooms are shared.
    pub redis: Option<String>,
    /// Connections from one address at most.
    pub connections_per_address: usize,
    /// Whether X-Forwarded-For is believed.
    pub trust_proxy: bool,
    /// Whether a bad network may be simulated.
    pub simulation: bool,
}

impl From<ServeArgs> for Config {
    fn from(args: ServeArgs) -> Self {
        let public = args.public_address.unwrap_or_else(|| own_address(args.media_address));
        Self {
            rooms: RoomLimits { rooms: args.rooms, rooms_per_address: args.rooms_per_address, members: args.users },
            media: MediaConfig {
                bind: args.media_address,
                public,
                ports: args.media_ports.unwrap_or(0..=0),
                rooms: args.rooms,
                participants: args.users,
            },
            ice: IceServers {
                stun: args.stun,
                turn: args.turn,
                secret: args.turn_secret.unwrap_or_default(),
                valid_for: Duration::from_secs(args.turn_seconds),
            },
            redis: args.redis,
            connections_per_address: args.connections_per_address,
            trust_proxy: args.trust_proxy,
            simulation: args.simulation,
        }
    }
}

impl Config {
    /// Address of a client: that of the connection, or the last one that the own proxy has noted.
    pub fn address_of(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let noted = headers.get_all("x-forwarded-for").iter().next_back().and_then(|value| value.to_str().ok());
        let noted = noted.and_then(|list| list.rsplit(',').next()).and_then(|last| last.trim().parse().ok());
        noted.filter(|_| self.trust_proxy).unwrap_or(peer)
    }
}

/// Address of this machine from which it would reach others; nothing is sent.
fn own_address(bind: IpAddr) -> IpAddr {
    if !bind.is_unspecified() {
        return bind;
    }
    let somewhere = (Ipv4Addr::new(192, 0, 2, 1), 9);
    let found = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        socket.connect(somewhere)?;
        socket.local_addr()
    });
    found.map_or(Ipv4Addr::LOCALHOST.into(), |address| address.ip())
}

fn parse_ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let parse = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let range = text.split_once('-').and_then(|(first, last)| Some(parse(first)?..=parse(last)?));
    range.filter(|range| !range.is_empty()).ok_or_else(|| "two ports are expected, as 40000-40099".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        serve: ServeArgs,
    }

    fn config(args: &[&str]) -> Result<Config, clap::Error> {
        Command::try_parse_from([&["test"], args].concat()).map(|command| command.serve.into())
    }

    #[test]
    fn an_address_is_the_proxys_word_only_where_it_is_trusted() {
        let peer: IpAddr = "192.0.2.1".parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", "6.6.6.6, 198.51.100.7".parse().unwrap());
        assert_eq!(config(&[]).unwrap().address_of(peer, &headers), peer);
        let trusting = config(&["--trust-proxy"]).unwrap();
        assert_eq!(trusting.address_of(peer, &headers).to_string(), "198.51.100.7");
        assert_eq!(trusting.address_of(peer, &HeaderMap::new()), peer);
        headers.insert("x-forwarded-for", "what?".parse().unwrap());
        assert_eq!(trusting.address_of(peer, &headers), peer);
    }

    #[test]
    fn options_are_checked() {
        assert_eq!(config(&["--media-ports", "40000-40002"]).unwrap().media.ports, 40_000..=40_002);
        for bad in ["40000", "5-4", "0-9", "a-b", "1-99999"] {
            assert!(config(&["--media-ports", bad]).is_err(), "{bad}");
        }
        assert!(config(&["--turn", "turn:a"]).is_err(), "a TURN server needs its secret");
        assert!(!config(&["--media-address", "0.0.0.0"]).unwrap().media.public.is_unspecified());
    }
}
