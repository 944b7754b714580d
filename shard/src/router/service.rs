//! Messages that change their account: requests to services of others, and the answers.
//!
//! The shard where a request came in follows all imports on its way, through every account of the chain: it knows the
//! rules of all accounts. In each account the message goes to who is subscribed there, on every shard. The answer comes to
//! the shard that keeps the entry of its reply subject and is carried on from there in the account of who asked.
//!
//! Owns: following imports, `Nats-Request-Info`, the end of replies. Not here: which subjects an import is about
//! (`rules::ServiceRoute`), the entries of replies (`service_replies`), streams (`conn::imports`).

use std::rc::Rc;
use std::sync::Arc;

use super::deliver::Inbound;
use super::last_match::LastMatch;
use super::publish::Publication;
use super::service_replies::{OpenReply, ReplyOwner, SERVICE_REPLY};
use crate::account::Account;
use crate::conn::Connection;
use crate::limits::SERVICE_CHAIN_MAX;
use crate::mesh::Message;
use crate::proto::headers;
use crate::proto::{RequestInfo, REQUEST_INFO};
use crate::rules::{ResponseType, ServiceRoute};
use crate::runtime::Shard;
use crate::subject::mapping::Selected;

/// Replies that are acks of JetStream keep their subject: its own subscriptions serve them.
const JETSTREAM_ACK: &[u8] = b"$JS.ACK.";

/// A message on its way through accounts.
#[derive(Clone, Copy)]
struct Carried<'a> {
    account: &'a Rc<Account>,
    message: Inbound<'a>,
    /// The client of this shard that published it, if it is one's.
    publisher: Option<&'a Rc<Connection>>,
    /// The origin wants to know when nobody got it.
    request: u32,
    /// The imports it came by.
    trail: Option<&'a Trail<'a>>,
}

/// An import on the way.
#[derive(Clone, Copy)]
struct Trail<'a> {
    route: &'a ServiceRoute,
    before: Option<&'a Trail<'a>>,
    info: &'a RequestInfo,
    length: usize,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Came {
    /// Somebody on this shard got it.
    pub(super) delivered: bool,
    /// So many parts of it went to other shards.
    pub(super) parts: u32,
}

impl Came {
    fn add(&mut self, other: Came) {
        self.delivered |= other.delivered;
        self.parts += other.parts;
    }

    fn is_nowhere(self) -> bool {
        !self.delivered && self.parts == 0
    }
}

impl Shard {
    /// Publishes in an account that imports services, or to the reply subject of one.
    #[cold]
    pub(super) fn publish_across(
        &self,
        connection: &Rc<Connection>,
        account: &Rc<Account>,
        publication: &Publication<'_>,
    ) {
        let wants_answer = publication.reply.is_some() && connection.no_responders.get();
        let request = if wants_answer { self.begin_request() } else { 0 };
        let came = self.carry(&Carried {
            account,
            message: publication.inbound(connection.id, self.id().0),
            publisher: Some(connection),
            request,
            trail: None,
        });
        if came.is_nowhere() {
            self.nobody(connection, account, publication);
        }
        if wants_answer {
            self.settle_request(request, if came.delivered { None } else { Some(came.parts) });
        }
    }

    /// What comes from another shard to a reply subject: an answer, if this shard keeps it.
    pub(super) fn receive_answer(&self, account: &Rc<Account>, envelope: &Message<'_>) -> bool {
        let carried = Carried {
            account,
            message: Inbound::of(envelope),
            publisher: None,
            request: 0,
            trail: None,
        };
        match self.reply_owner(envelope.subject) {
            ReplyOwner::Here(token) => !self.carry_answer(&carried, token).is_nowhere(),
            // From another run of a server; or somebody made it up.
            ReplyOwner::Shard(_) | ReplyOwner::Nobody => false,
        }
    }

    pub(super) fn is_service_reply(subject: &[u8]) -> bool {
        subject.starts_with(SERVICE_REPLY)
    }

    fn reply_owner(&self, subject: &[u8]) -> ReplyOwner {
        self.service_replies().borrow().owner(subject)
    }

    /// What the mappings of an account make of a subject, appended to `out`.
    pub(crate) fn map_subject(&self, account: &Account, subject: &[u8], out: &mut Vec<u8>) -> Selected {
        let rules = self.rules_ref();
        let cluster = rules.cluster().as_bytes();
        let random = self.io().entropy();
        account.rules().mappings.select(subject, cluster, random, out)
    }

    /// Brings a message to everyone in one account, and on through its service imports.
    fn carry(&self, carried: &Carried<'_>) -> Came {
        let Carried { account, message, .. } = *carried;
        let mut came = Came::default();
        let mut keeper = None;
        if Self::is_service_reply(message.subject) {
            match self.reply_owner(message.subject) {
                ReplyOwner::Here(token) => came = self.carry_answer(carried, token),
                ReplyOwner::Shard(shard) => {
                    let is_other = shard < self.mesh().shard_count() && shard != self.id().index();
                    keeper = is_other.then_some(shard);
                }
                ReplyOwner::Nobody => {}
            }
        }
        let result = match (carried.publisher, carried.trail) {
            (Some(publisher), None) => LastMatch::find(&publisher.last_match, account, message.subject),
            _ => account.sublist.borrow_mut().matches(message.subject),
        };
        let mut spread = self.spread(&result, &message, carried.publisher);
        if let Some(shard) = keeper {
            spread.add_plain(shard);
        }
        came.add(Came {
            delivered: spread.delivered,
            parts: spread.parts(),
        });
        self.cross(&spread, account.id, &message, carried.request, carried.publisher);
        if account.has_services.get() {
            let routes = match (carried.publisher, carried.trail) {
                (Some(publisher), None) => {
                    LastMatch::services(&publisher.last_match, account, message.subject)
                }
                _ => services(account, message.subject),
            };
            for route in &*routes {
                came.add(self.carry_request(carried, route));
            }
        }
        came
    }

    /// Brings a request into the account that exports the service.
    fn carry_request(&self, carried: &Carried<'_>, route: &ServiceRoute) -> Came {
        let is_known =
            |trail: &Trail<'_>| trail.route.account == route.account && trail.route.export == route.export;
        let mut steps = std::iter::successors(carried.trail, |trail| trail.before);
        let length = carried.trail.map_or(0, |trail| trail.length) + 1;
        if steps.any(is_known) || length > SERVICE_CHAIN_MAX {
            return Came::default();
        }
        let Some(account) = self.account(route.account) else {
            return Came::default();
        };
        let message = &carried.message;
        let mut subject = Vec::new();
        route.rewrite(message.subject, &mut subject);
        if account.has_mappings.get() {
            let mut mapped = Vec::new();
            match self.map_subject(&account, &subject, &mut mapped) {
                Selected::Unmapped => {}
                Selected::Mapped => subject = mapped,
                Selected::Dropped => return Came::default(),
            }
        }
        let owed = message
            .reply
            .filter(|reply| !reply.starts_with(JETSTREAM_ACK))
            .map(|reply| {
                let owed = OpenReply {
                    exporter: account.id,
                    importer: carried.account.id,
                    reply: reply.into(),
                    subject: message.subject.into(),
                    response: route.response,
                    threshold: route.threshold,
                };
                self.owe(owed)
            });
        let info = self.request_info(carried, route);
        let (header_size, bytes) = with_request_info(message, &info);
        let trail = Trail {
            route,
            before: carried.trail,
            info: &info,
            length,
        };
        let came = self.carry(&Carried {
            account: &account,
            message: Inbound {
                subject: &subject,
                reply: owed.as_deref().or(message.reply),
                header_size: Some(header_size),
                message: &bytes,
                is_from_service: true,
                ..*message
            },
            trail: Some(&trail),
            ..*carried
        });
        if let (true, Some(owed)) = (came.is_nowhere(), &owed) {
            self.service_replies().borrow_mut().close_subject(owed);
        }
        came
    }

    /// Keeps where an answer goes, and gives the reply subject that leads there.
    fn owe(&self, owed: OpenReply) -> Vec<u8> {
        let now = self.io().now();
        self.expect_time(now + owed.threshold);
        self.service_replies().borrow_mut().open(owed, now)
    }

    /// Brings an answer to who asked.
    fn carry_answer(&self, carried: &Carried<'_>, token: u64) -> Came {
        let (now, message) = (self.io().now(), &carried.message);
        let Some(reply) = self.service_replies().borrow().get(token, now) else {
            return Came::default();
        };
        if reply.exporter != carried.account.id {
            return Came::default();
        }
        let Some(account) = self.account(reply.importer) else {
            return Came::default();
        };
        // An answer that wants an answer: the same, the other way round.
        let owed = message.reply.map(|subject| {
            let owed = OpenReply {
                exporter: reply.importer,
                importer: reply.exporter,
                reply: subject.into(),
                subject: message.subject.into(),
                ..reply
            };
            self.owe(owed)
        });
        let came = self.carry(&Carried {
            account: &account,
            message: Inbound {
                subject: &reply.reply,
                reply: owed.as_deref(),
                is_from_service: true,
                ..*message
            },
            trail: None,
            ..*carried
        });
        let is_last = match reply.response {
            ResponseType::Singleton => true,
            ResponseType::Stream | ResponseType::Chunked => message.message.is_empty(),
        };
        let mut replies = self.service_replies().borrow_mut();
        if is_last || came.is_nowhere() {
            replies.close(token);
        } else {
            replies.renew(token, now);
        }
        if let (true, Some(owed)) = (came.is_nowhere(), &owed) {
            replies.close_subject(owed);
        }
        came
    }

    /// Who asked `subject` with the service reply `reply` in the first place, and by which subjects: nobody answers.
    pub(super) fn close_chain(&self, subject: &[u8], reply: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let (mut subject, mut reply) = (subject.to_vec(), reply.to_vec());
        let mut replies = self.service_replies().borrow_mut();
        while let Some(owed) = replies.close_subject(&reply) {
            (subject, reply) = (owed.subject.into(), owed.reply.into());
        }
        (subject, reply)
    }

    /// What a service is told of who asks.
    fn request_info(&self, carried: &Carried<'_>, route: &ServiceRoute) -> RequestInfo {
        let (shares, mut info) = match (carried.trail, carried.publisher) {
            (Some(trail), _) => {
                let info = RequestInfo {
                    svc: carried.account.name.to_string(),
                    ..trail.info.clone()
                };
                (trail.route.share, info)
            }
            (None, Some(publisher)) => (route.share, self.client_info(publisher, route.share)),
            (None, None) => (route.share, RequestInfo::default()),
        };
        if !shares && (route.share || self.is_system_account(route.account)) {
            self.add_server(&mut info);
        }
        info
    }

    fn add_server(&self, info: &mut RequestInfo) {
        info.server = self.settings_ref().info.server_name.clone();
        info.cluster = self.rules_ref().cluster().to_owned();
    }

    fn client_info(&self, connection: &Connection, is_detailed: bool) -> RequestInfo {
        let mut info = RequestInfo {
            acc: connection.account().name.to_string(),
            rtt: u64::try_from(connection.rtt().as_nanos()).unwrap_or(u64::MAX),
            ..RequestInfo::default()
        };
        if !is_detailed {
            return info;
        }
        self.add_server(&mut info);
        let connect = connection.connect();
        info.start = connection.started().1.to_string();
        info.host = connection.peer().ip().to_string();
        info.id = connection.id.0;
        info.name = connect.name.clone();
        info.lang = connect.lang.clone();
        info.ver = connect.version.clone();
        info.jwt = connect.jwt.clone();
        info.kind = connection.kind.name().to_owned();
        info.client_type = "nats".to_owned();
        if let Some(grant) = connection.grant() {
            info.user = grant.identity.user.to_string();
            info.issuer_key = grant.identity.issuer_key.to_string();
            info.name_tag = grant.identity.name_tag.to_string();
            info.tags = grant.identity.tags.to_vec();
        }
        info
    }
}

/// The service imports of an account that take a subject.
pub(super) fn services(account: &Account, subject: &[u8]) -> Rc<[Arc<ServiceRoute>]> {
    let rules = account.rules();
    let takes = |route: &&Arc<ServiceRoute>| route.takes(subject);
    rules.service_routes.iter().filter(takes).cloned().collect()
}

/// The message with `Nats-Request-Info`, which replaces one the client sent.
fn with_request_info(message: &Inbound<'_>, info: &RequestInfo) -> (usize, Vec<u8>) {
    let (block, payload) = message.message.split_at(message.header_size.unwrap_or(0));
    let mut bytes = block.to_vec();
    headers::remove(&mut bytes, REQUEST_INFO);
    let mut json = Vec::new();
    info.write_json(&mut json);
    headers::append(&mut bytes, REQUEST_INFO, &json);
    let header_size = bytes.len();
    bytes.extend_from_slice(payload);
    (header_size, bytes)
}
