//! STUN and TURN servers, with time-limited credentials by coturn's REST scheme
//! (draft-uberti-behave-turn-rest-00): the user name is `EXPIRY:USER`, the password the HMAC-SHA1 of it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac};
use sha1::Sha1;

use crate::signalling::protocol::IceServer;

/// STUN and TURN servers, and the secret that the TURN servers share with this one.
#[derive(Clone, Default)]
pub struct IceServers {
    /// `stun:HOST:PORT`.
    pub stun: Vec<String>,
    /// `turn:HOST:PORT?transport=udp`.
    pub turn: Vec<String>,
    /// coturn's `static-auth-secret`.
    pub secret: String,
    /// Time for which a credential is valid.
    pub valid_for: Duration,
}

impl IceServers {
    /// Servers for a user, from `now` on.
    pub fn for_user(&self, user: &str, now: SystemTime) -> Vec<IceServer> {
        let mut servers = Vec::new();
        if !self.stun.is_empty() {
            servers.push(IceServer { urls: self.stun.clone(), username: None, credential: None });
        }
        if !self.turn.is_empty() {
            let expiry = (now + self.valid_for).duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let username = format!("{expiry}:{user}");
            let credential = credential(self.secret.as_bytes(), &username);
            servers.push(IceServer { urls: self.turn.clone(), username: Some(username), credential: Some(credential) });
        }
        servers
    }
}

/// The secret is not printed.
impl std::fmt::Debug for IceServers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IceServers({:?}, {:?}, {:?})", self.stun, self.turn, self.valid_for)
    }
}

fn credential(secret: &[u8], username: &str) -> String {
    // A key of any length will do: HMAC hashes what is longer than a block.
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(secret) else { return String::new() };
    mac.update(username.as_bytes());
    BASE64_STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_coturns() {
        // echo -n 1700000000:ann | openssl dgst -sha1 -hmac north -binary | base64
        assert_eq!(credential(b"north", "1700000000:ann"), "jeamH6dA5l2I9g3jmieza7CzEDo=");
    }

    #[test]
    fn a_credential_ends_and_shows_no_secret() {
        let servers = IceServers {
            stun: vec!["stun:a:3478".into()],
            turn: vec!["turn:a:3478".into()],
            secret: "north".into(),
            valid_for: Duration::from_secs(600),
        };
        let given = servers.for_user("ann", UNIX_EPOCH + Duration::from_secs(1_699_999_400));
        assert_eq!(given[1].username.as_deref(), Some("1700000000:ann"));
        assert!(given[0].username.is_none() && given[1].credential.is_some());
        assert!(!format!("{servers:?}{given:?}").contains("north"));
        assert!(IceServers::default().for_user("ann", UNIX_EPOCH).is_empty());
    }
}
