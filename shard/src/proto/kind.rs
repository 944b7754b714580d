//! Who is at the other end of a connection, and which operations it may send.
//!
//! Owns: the command matrix. An operation that the matrix refuses is an unknown operation to the parser.

use super::verb::Verb;

/// The kinds of connection. The last three live inside the server and have no wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnKind {
    /// An application.
    Client,
    /// A server of the same cluster.
    Route,
    /// A server of another cluster.
    Gateway,
    /// A leaf node, or the hub of one.
    Leaf,
    /// The server's own client in the system account.
    System,
    /// The server's own client of JetStream.
    JetStream,
    /// The server's own client of an account.
    Account,
}

impl ConnKind {
    /// Whether this kind may send `verb`.
    ///
    /// INFO from a client is read and has no effect, as at the peer; A+ and A- likewise on a route.
    pub fn accepts(self, verb: Verb) -> bool {
        use ConnKind::{Account, Client, Gateway, JetStream, Leaf, Route, System};
        match self {
            System | JetStream | Account => false,
            Client | Route | Gateway | Leaf => match verb {
                Verb::Connect | Verb::Info | Verb::Ping | Verb::Pong | Verb::Ok | Verb::Err => true,
                Verb::Pub | Verb::Hpub | Verb::Sub | Verb::Unsub => self == Client,
                Verb::RsPlus | Verb::RsMinus | Verb::APlus | Verb::AMinus | Verb::Rmsg => {
                    matches!(self, Route | Gateway)
                }
                Verb::LsPlus | Verb::LsMinus | Verb::Lmsg => matches!(self, Route | Leaf),
                Verb::Hmsg => self != Client,
            },
        }
    }

    /// How much longer than `max_control_line` a line of this kind may be: links between servers carry
    /// account, origin, reply and queue groups in one line.
    pub fn control_line_factor(self) -> u64 {
        match self {
            ConnKind::Client => 1,
            _ => LINK_CONTROL_LINE_FACTOR,
        }
    }

    /// The word log lines use for this kind.
    pub fn name(self) -> &'static str {
        match self {
            ConnKind::Client => "Client",
            ConnKind::Route => "Router",
            ConnKind::Gateway => "Gateway",
            ConnKind::Leaf => "Leafnode",
            ConnKind::System => "System",
            ConnKind::JetStream => "JetStream",
            ConnKind::Account => "Account",
        }
    }
}

/// Lines of routes, gateways and leaf nodes may be this many times `max_control_line`.
const LINK_CONTROL_LINE_FACTOR: u64 = 16;
