//! Every `-ERR` text of the client protocol, in one place and byte for byte the peer's.
//!
//! Owns: the texts and whether the connection closes after one. Not here: errors of links between servers
//! (`cluster`), log lines.

use std::fmt;

use super::quote::quote;

/// What a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientError<'a> {
    /// The parser cannot read the operation.
    UnknownOperation,
    /// Credentials are missing or wrong.
    AuthorizationViolation,
    /// No CONNECT came in time.
    AuthenticationTimeout,
    /// The user JWT expired while connected.
    UserAuthenticationExpired,
    /// The account JWT expired.
    AccountAuthenticationExpired,
    /// The user was revoked.
    UserAuthenticationRevoked,
    /// `max_connections` is reached.
    MaxConnectionsExceeded,
    /// The account's limit of connections is reached.
    MaxAccountConnectionsExceeded,
    /// The limit of subscriptions is reached; the subscription is not made.
    MaxSubscriptionsExceeded,
    /// A message is larger than `max_payload` or the account's limit.
    MaxPayloadViolation,
    /// A line is longer than `max_control_line`.
    MaxControlLineExceeded,
    /// Pedantic: the subject of a publication is not one.
    InvalidPublishSubject,
    /// The subject of a subscription is not one.
    InvalidSubject,
    /// Publishing there is denied.
    PublishDenied {
        /// The subject of the message.
        subject: &'a [u8],
    },
    /// The reply subject is denied or reserved.
    ReplyDenied {
        /// The reply of the message.
        reply: &'a [u8],
    },
    /// Subscribing there is denied.
    SubscribeDenied {
        /// The subject asked for.
        subject: &'a [u8],
        /// The queue group asked for.
        queue: Option<&'a [u8]>,
    },
    /// A subscription ended because permissions changed.
    SubscriptionRevoked {
        /// Its subject.
        subject: &'a [u8],
        /// Its queue group.
        queue: Option<&'a [u8]>,
        /// The client's name for it.
        sid: &'a [u8],
    },
    /// The subject has more tokens than `max_sub_tokens`.
    TooManyTokens {
        /// The subject asked for.
        subject: &'a [u8],
    },
    /// Too many PINGs had no PONG.
    StaleConnection,
    /// `protocol` in CONNECT is not 0 or 1.
    InvalidClientProtocol,
    /// `no_responders` without `headers` in CONNECT.
    NoRespondersRequiresHeaders,
    /// The account could not take the connection.
    FailedAccountRegistration,
    /// Plain bytes on a port that wants TLS.
    TlsRequired,
    /// Too many TLS handshakes at once.
    ConnectionThrottling,
}

impl ClientError<'_> {
    /// Whether the connection is closed after this text.
    pub fn closes(&self) -> bool {
        !matches!(
            self,
            ClientError::MaxSubscriptionsExceeded
                | ClientError::InvalidPublishSubject
                | ClientError::InvalidSubject
                | ClientError::PublishDenied { .. }
                | ClientError::ReplyDenied { .. }
                | ClientError::SubscribeDenied { .. }
                | ClientError::SubscriptionRevoked { .. }
                | ClientError::TooManyTokens { .. }
                | ClientError::FailedAccountRegistration
        )
    }

    /// The text, when it has no variable part.
    pub fn fixed_text(&self) -> Option<&'static str> {
        Some(match self {
            ClientError::UnknownOperation => "Unknown Protocol Operation",
            ClientError::AuthorizationViolation => "Authorization Violation",
            ClientError::AuthenticationTimeout => "Authentication Timeout",
            ClientError::UserAuthenticationExpired => "User Authentication Expired",
            ClientError::AccountAuthenticationExpired => "Account Authentication Expired",
            ClientError::UserAuthenticationRevoked => "User Authentication Revoked",
            ClientError::MaxConnectionsExceeded => "maximum connections exceeded",
            ClientError::MaxAccountConnectionsExceeded => "maximum account active connections exceeded",
            ClientError::MaxSubscriptionsExceeded => "maximum subscriptions exceeded",
            ClientError::MaxPayloadViolation => "Maximum Payload Violation",
            ClientError::MaxControlLineExceeded => "maximum control line exceeded",
            ClientError::InvalidPublishSubject => "Invalid Publish Subject",
            ClientError::InvalidSubject => "Invalid Subject",
            ClientError::StaleConnection => "Stale Connection",
            ClientError::InvalidClientProtocol => "invalid client protocol",
            ClientError::NoRespondersRequiresHeaders => "no responders requires headers support",
            ClientError::FailedAccountRegistration => "Failed Account Registration",
            ClientError::TlsRequired => "Secure Connection - TLS Required",
            ClientError::ConnectionThrottling => "Connection throttling is active. Please try again later.",
            ClientError::PublishDenied { .. }
            | ClientError::ReplyDenied { .. }
            | ClientError::SubscribeDenied { .. }
            | ClientError::SubscriptionRevoked { .. }
            | ClientError::TooManyTokens { .. } => return None,
        })
    }

    /// The text between the quotes of `-ERR '...'`. Foreign bytes in it are escaped: it is one line.
    pub fn text(&self) -> String {
        let mut out = Vec::new();
        self.write_text(&mut out);
        String::from_utf8(out).expect("fixed texts and quoted bytes are UTF-8")
    }

    /// Appends [`ClientError::text`].
    pub fn write_text(&self, out: &mut Vec<u8>) {
        if let Some(text) = self.fixed_text() {
            out.extend_from_slice(text.as_bytes());
            return;
        }
        match *self {
            ClientError::PublishDenied { subject } => {
                out.extend_from_slice(b"Permissions Violation for Publish to ");
                quote(out, subject);
            }
            ClientError::ReplyDenied { reply } => {
                out.extend_from_slice(b"Permissions Violation for Publish with Reply of ");
                quote(out, reply);
            }
            ClientError::SubscribeDenied { subject, queue } => write_subscription(out, subject, queue),
            ClientError::SubscriptionRevoked { subject, queue, sid } => {
                write_subscription(out, subject, queue);
                out.extend_from_slice(b" (sid ");
                quote(out, sid);
                out.push(b')');
            }
            ClientError::TooManyTokens { subject } => {
                write_subscription(out, subject, None);
                out.extend_from_slice(b", too many tokens");
            }
            _ => unreachable!("fixed_text covers every other error"),
        }
    }
}

fn write_subscription(out: &mut Vec<u8>, subject: &[u8], queue: Option<&[u8]>) {
    out.extend_from_slice(b"Permissions Violation for Subscription to ");
    quote(out, subject);
    if let Some(queue) = queue {
        out.extend_from_slice(b" using queue ");
        quote(out, queue);
    }
}

impl fmt::Display for ClientError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts with a variable part, and which errors leave the connection open.
    #[test]
    fn texts_with_names() {
        let subject = b"foo.\"bar";
        let cases: [(ClientError<'_>, &str, bool); 8] = [
            (
                ClientError::PublishDenied { subject },
                r#"Permissions Violation for Publish to "foo.\"bar""#,
                false,
            ),
            (
                ClientError::ReplyDenied { reply: b"r" },
                r#"Permissions Violation for Publish with Reply of "r""#,
                false,
            ),
            (
                ClientError::SubscribeDenied {
                    subject: b"a",
                    queue: None,
                },
                r#"Permissions Violation for Subscription to "a""#,
                false,
            ),
            (
                ClientError::SubscribeDenied {
                    subject: b"a",
                    queue: Some(b"q"),
                },
                r#"Permissions Violation for Subscription to "a" using queue "q""#,
                false,
            ),
            (
                ClientError::SubscriptionRevoked {
                    subject: b"a",
                    queue: Some(b"q"),
                    sid: b"7",
                },
                r#"Permissions Violation for Subscription to "a" using queue "q" (sid "7")"#,
                false,
            ),
            (
                ClientError::TooManyTokens { subject: b"a.b" },
                r#"Permissions Violation for Subscription to "a.b", too many tokens"#,
                false,
            ),
            (
                ClientError::MaxSubscriptionsExceeded,
                "maximum subscriptions exceeded",
                false,
            ),
            (
                ClientError::MaxPayloadViolation,
                "Maximum Payload Violation",
                true,
            ),
        ];
        for (error, text, closes) in cases {
            assert_eq!(error.text(), text);
            assert_eq!(error.closes(), closes, "{text}");
        }
    }
}
