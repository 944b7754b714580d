//! Who this server is: its key, id and names, made anew at every start.

use nkeys::{KeyPair, XKey};

use crate::config::Options;

/// The names others know this server by.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The public key: 56 characters, the first `N`. JSON: `server_id`.
    pub server_id: String,
    /// The configured name, or the id. JSON: `server_name`.
    pub server_name: String,
    /// The public curve key others encrypt for. JSON: `xkey`.
    pub xkey: String,
}

impl Identity {
    /// Makes new keys.
    pub fn generate(options: &Options) -> Self {
        let server_id = KeyPair::new_server().public_key();
        let server_name = options
            .identity
            .server_name
            .clone()
            .unwrap_or_else(|| server_id.clone());
        Self {
            server_id,
            server_name,
            xkey: XKey::new().public_key(),
        }
    }
}
