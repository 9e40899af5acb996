//! Checks of what clients send: names, session descriptions and ICE candidates.

use std::net::IpAddr;

use sha2::{Digest, Sha256};

use super::error::Refusal;
use super::protocol::IceCandidate;

/// Longest name of a room, in characters.
pub const MAX_ROOM: usize = 64;

/// Longest display name, in characters.
pub const MAX_NAME: usize = 40;

/// Longest ICE candidate, in bytes.
const MAX_CANDIDATE: usize = 512;

/// Name of a room: letters, digits, `-` and `_`.
pub fn room(name: &str) -> Result<(), Refusal> {
    let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    match (1..=MAX_ROOM).contains(&name.len()) && name.chars().all(is_good) {
        true => Ok(()),
        false => Err(Refusal::BadRoom),
    }
}

/// Display name without the white space around it: any characters that show.
pub fn name(name: &str) -> Result<String, Refusal> {
    let name = name.trim();
    // Direction marks and the like would turn the text around them.
    let hides = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    match (1..=MAX_NAME).contains(&name.chars().count()) && !name.chars().any(hides) {
        true => Ok(name.to_owned()),
        false => Err(Refusal::BadName),
    }
}

/// Public identity of a session: nobody can find the secret from it, or take another's identity without the secret.
pub fn identity(session: &str) -> Result<String, Refusal> {
    let is_good = (16..=64).contains(&session.len()) && session.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !is_good {
        return Err(Refusal::BadSession);
    }
    let digest = Sha256::digest(session.as_bytes());
    Ok(digest[..8].iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Session description: one of audio, and nothing but it.
pub fn sdp(sdp: &str) -> Result<(), Refusal> {
    let is_sdp = sdp.starts_with("v=0") && sdp.chars().all(|c| !c.is_control() || matches!(c, '\r' | '\n'));
    let mut media = sdp.lines().filter_map(|line| line.strip_prefix("m="));
    let is_audio = media.next().is_some_and(|first| first.starts_with("audio ")) && media.next().is_none();
    let candidates =
        sdp.lines().filter_map(|line| line.strip_prefix("a=")).filter(|line| line.starts_with("candidate:"));
    match is_sdp && is_audio && candidates.into_iter().all(|line| attribute(line).is_some()) {
        true => Ok(()),
        false => Err(Refusal::BadSdp),
    }
}

/// ICE candidate of a page. The address is a unicast one, or an mDNS name.
pub fn candidate(candidate: &IceCandidate) -> Result<(), Refusal> {
    let short = |text: &Option<String>| text.as_ref().is_none_or(|text| text.len() <= 256);
    let is_end = candidate.candidate.is_empty();
    let is_good = is_end || attribute(&candidate.candidate).is_some();
    match is_good && short(&candidate.sdp_mid) && short(&candidate.username_fragment) {
        true => Ok(()),
        false => Err(Refusal::BadCandidate),
    }
}

/// Candidate attribute (RFC 8839, section 5.1):
/// `candidate:FOUNDATION COMPONENT TRANSPORT PRIORITY ADDRESS PORT typ TYPE …`
fn attribute(text: &str) -> Option<()> {
    if text.len() > MAX_CANDIDATE || text.chars().any(char::is_control) {
        return None;
    }
    let mut fields = text.strip_prefix("candidate:")?.split(' ');
    let mut next = || fields.next();
    let foundation = next()?;
    let is_foundation = (1..=32).contains(&foundation.len())
        && foundation.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/'));
    let component: u16 = next()?.parse().ok()?;
    let transport = next()?.to_ascii_lowercase();
    let _priority: u32 = next()?.parse().ok()?;
    let address = next()?;
    let port: u16 = next()?.parse().ok()?;
    let is_type = next()? == "typ" && matches!(next()?, "host" | "srflx" | "prflx" | "relay");
    // Port 9 stands for an active TCP candidate. Below 1024 are the services of others, which nobody calls from.
    let is_port = port == 9 || port >= 1024;
    let is_transport = matches!(&*transport, "udp" | "tcp");
    (is_foundation && (1..=2).contains(&component) && is_transport && is_type && is_port && is_reachable(address))
        .then_some(())
}

fn is_reachable(address: &str) -> bool {
    if let Some(name) = address.strip_suffix(".local") {
        return name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    }
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => !(v4.is_multicast() || v4.is_broadcast() || v4.is_unspecified()),
        Ok(IpAddr::V6(v6)) => !(v6.is_multicast() || v6.is_unspecified()),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded() {
        for good in ["a", "Team-7_x", &"r".repeat(64)] {
            assert_eq!(room(good), Ok(()), "{good}");
        }
        for bad in ["", "a b", "../x", "ä", "a*", &"r".repeat(65)] {
            assert_eq!(room(bad), Err(Refusal::BadRoom), "{bad}");
        }
        assert_eq!(name("  Ann Müller 🎧 ").as_deref(), Ok("Ann Müller 🎧"));
        for bad in ["", "   ", "a\nb", "a\u{202e}b", &"n".repeat(41)] {
            assert_eq!(name(bad), Err(Refusal::BadName), "{bad:?}");
        }
    }

    #[test]
    fn an_identity_is_the_same_each_time_and_tells_nothing() {
        let secret = "0123456789abcdef";
        let id = identity(secret).unwrap();
        assert_eq!((identity(secret), id.len()), (Ok(id.clone()), 16));
        assert_ne!(identity("0123456789abcdeg").unwrap(), id);
        assert!(!secret.contains(&id));
        assert!(
            identity("short").is_err() && identity(&"x".repeat(65)).is_err() && identity("0123456789abcde\"").is_err()
        );
    }

    fn checked(attribute: &str) -> bool {
        let (sdp_mid, username_fragment) = (Some("0".into()), None);
        candidate(&IceCandidate { candidate: attribute.into(), sdp_mid, sdp_m_line_index: Some(0), username_fragment })
            .is_ok()
    }

    #[test]
    fn forged_candidates_are_refused() {
        for good in [
            "",
            "candidate:842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 0.0.0.0 rport 0 generation 0",
            "candidate:1 1 UDP 2122 3f9a2d7c-1111-4222-8333-abcdefabcdef.local 50000 typ host",
            "candidate:1 1 tcp 1518280447 192.168.1.2 9 typ host tcptype active",
            "candidate:a+/9 1 udp 41885439 2001:db8::1 40001 typ relay raddr :: rport 0",
        ] {
            assert!(checked(good), "{good}");
        }
        for bad in [
            "candidate:1 1 udp 2122 203.0.113.7 46154",
            "candidate:1 1 udp 2122 example.com 46154 typ host",
            "candidate:1 1 udp 2122 224.0.0.1 46154 typ host",
            "candidate:1 1 udp 2122 0.0.0.0 46154 typ host",
            "candidate:1 1 udp 2122 203.0.113.7 53 typ host",
            "candidate:1 1 udp 2122 203.0.113.7 99999 typ host",
            "candidate:1 3 udp 2122 203.0.113.7 46154 typ host",
            "candidate:1 1 sctp 2122 203.0.113.7 46154 typ host",
            "candidate:1 1 udp -4 203.0.113.7 46154 typ host",
            "candidate:1 1 udp 2122 203.0.113.7 46154 typ evil",
            "candidate:1 1 udp 2122 203.0.113.7 46154 typ host\r\na=setup:passive",
            "v=0",
        ] {
            assert!(!checked(bad), "{bad}");
        }
        assert!(!checked(&format!("candidate:1 1 udp 2122 203.0.113.7 46154 typ host {}", "x".repeat(512))));
    }

    #[test]
    fn only_audio_is_described() {
        let good = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n";
        assert_eq!(sdp(good), Ok(()));
        for bad in ["", "hello", "v=0\r\n", &format!("{good}m=video 9 UDP/TLS/RTP/SAVPF 96\r\n"), &format!("{good}\0")]
        {
            assert_eq!(sdp(bad), Err(Refusal::BadSdp), "{bad}");
        }
        assert_eq!(sdp(&format!("{good}a=candidate:1 1 udp 5 224.0.0.1 4000 typ host\r\n")), Err(Refusal::BadSdp));
    }
}
