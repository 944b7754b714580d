//! The operations a connection can receive, borrowed from the bytes they came in.
//!
//! Units: sizes in bytes. `message` is headers and payload together, `payload` has no headers.
//! Subjects, sids and queue names are bytes as they came: not empty, without blanks, not checked further.

/// One operation. It borrows from the read buffer, or from the parser when it came in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// `CONNECT`: the JSON text.
    Connect(&'a [u8]),
    /// `INFO`: the JSON text.
    Info(&'a [u8]),
    /// `PUB`
    Pub(Pub<'a>),
    /// `HPUB`
    Hpub(Hpub<'a>),
    /// `SUB`
    Sub(Sub<'a>),
    /// `UNSUB`
    Unsub(Unsub<'a>),
    /// `PING`
    Ping,
    /// `PONG`
    Pong,
    /// `+OK`: accepted and ignored.
    Ok,
    /// `-ERR`: the text, quotes included.
    Err(&'a [u8]),
    /// `RMSG`, `LMSG` or `HMSG` of a route, gateway or leaf node.
    RoutedMsg(RoutedMsg<'a>),
    /// `RS+` or `LS+`
    RemoteSub(RemoteSub<'a>),
    /// `RS-` or `LS-`
    RemoteUnsub(RemoteUnsub<'a>),
    /// `A+`: the account's name.
    AccountSub(&'a [u8]),
    /// `A-`: the account's name.
    AccountUnsub(&'a [u8]),
}

/// `PUB <subject> [reply] <size>`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pub<'a> {
    /// Where to.
    pub subject: &'a [u8],
    /// Where answers go.
    pub reply: Option<&'a [u8]>,
    /// The message.
    pub payload: &'a [u8],
}

/// `HPUB <subject> [reply] <header size> <total size>`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hpub<'a> {
    /// Where to.
    pub subject: &'a [u8],
    /// Where answers go.
    pub reply: Option<&'a [u8]>,
    /// Size of the header block at the front of `message`; 0 means that there is none.
    pub header_size: usize,
    /// Headers and payload. `header_size <= message.len()`.
    pub message: &'a [u8],
}

/// `SUB <subject> [queue] <sid>`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sub<'a> {
    /// What it listens to; may hold wildcards.
    pub subject: &'a [u8],
    /// The queue group.
    pub queue: Option<&'a [u8]>,
    /// The name the client gave it.
    pub sid: &'a [u8],
}

/// `UNSUB <sid> [max]`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsub<'a> {
    /// The name the client gave it.
    pub sid: &'a [u8],
    /// Deliveries since it subscribed after which it ends; absent means now. A number that cannot be read, or 0,
    /// means now as well.
    pub max: Option<u32>,
}

/// A message from another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoutedMsg<'a> {
    /// The cluster of the leaf node it came from (`LMSG` on a route).
    pub origin: Option<&'a [u8]>,
    /// The account; absent on a route of one account and on leaf nodes.
    pub account: Option<&'a [u8]>,
    /// Where to.
    pub subject: &'a [u8],
    /// Where answers go.
    pub reply: Option<&'a [u8]>,
    /// The queue groups to deliver to, separated by blanks; see [`RoutedMsg::queues`].
    pub queue_list: &'a [u8],
    /// Size of the header block at the front of `message`, when the operation names one.
    pub header_size: Option<usize>,
    /// Headers and payload.
    pub message: &'a [u8],
}

impl<'a> RoutedMsg<'a> {
    /// The queue groups to deliver to.
    pub fn queues(&self) -> impl Iterator<Item = &'a [u8]> {
        super::line::Tokens::new(self.queue_list)
    }
}

/// `RS+` or `LS+`: interest of another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteSub<'a> {
    /// The interest comes from a leaf node (`LS+`).
    pub from_leaf: bool,
    /// The cluster of that leaf node (`LS+` on a route).
    pub origin: Option<&'a [u8]>,
    /// The account; absent on a route of one account and on leaf nodes.
    pub account: Option<&'a [u8]>,
    /// What it listens to.
    pub subject: &'a [u8],
    /// The queue group and how many members it has there.
    pub queue: Option<(&'a [u8], u32)>,
}

/// `RS-` or `LS-`: the end of that interest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteUnsub<'a> {
    /// The interest came from a leaf node (`LS-`).
    pub from_leaf: bool,
    /// The cluster of that leaf node.
    pub origin: Option<&'a [u8]>,
    /// The account; absent on a route of one account and on leaf nodes.
    pub account: Option<&'a [u8]>,
    /// What it listened to.
    pub subject: &'a [u8],
    /// The queue group.
    pub queue: Option<&'a [u8]>,
}
