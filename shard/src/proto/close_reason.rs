//! Why a connection was closed: the texts of `/connz` and of disconnect events, byte for byte the peer's.

macro_rules! close_reasons {
    ($($name:ident = $code:literal, $text:literal;)*) => {
        /// Why a connection was closed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum CloseReason {
            $(#[doc = $text] $name = $code,)*
        }

        impl CloseReason {
            /// Every reason, in the order of its number.
            pub const ALL: &'static [CloseReason] = &[$(CloseReason::$name,)*];

            /// The text others see.
            pub fn text(self) -> &'static str {
                match self {
                    $(CloseReason::$name => $text,)*
                }
            }
        }
    };
}

close_reasons! {
    ClientClosed = 1, "Client Closed";
    AuthenticationTimeout = 2, "Authentication Timeout";
    AuthenticationFailure = 3, "Authentication Failure";
    TlsHandshakeError = 4, "TLS Handshake Failure";
    SlowConsumerPendingBytes = 5, "Slow Consumer (Pending Bytes)";
    SlowConsumerWriteDeadline = 6, "Slow Consumer (Write Deadline)";
    WriteError = 7, "Write Error";
    ReadError = 8, "Read Error";
    ParseError = 9, "Parse Error";
    StaleConnection = 10, "Stale Connection";
    ProtocolViolation = 11, "Protocol Violation";
    BadClientProtocolVersion = 12, "Bad Client Protocol Version";
    WrongPort = 13, "Incorrect Port";
    MaxAccountConnectionsExceeded = 14, "Maximum Account Connections Exceeded";
    MaxConnectionsExceeded = 15, "Maximum Connections Exceeded";
    MaxPayloadExceeded = 16, "Maximum Message Payload Exceeded";
    MaxControlLineExceeded = 17, "Maximum Control Line Exceeded";
    MaxSubscriptionsExceeded = 18, "Maximum Subscriptions Exceeded";
    DuplicateRoute = 19, "Duplicate Route";
    RouteRemoved = 20, "Route Removed";
    ServerShutdown = 21, "Server Shutdown";
    AuthenticationExpired = 22, "Authentication Expired";
    WrongGateway = 23, "Wrong Gateway";
    MissingAccount = 24, "Missing Account";
    Revocation = 25, "Credentials Revoked";
    InternalClient = 26, "Internal Client";
    MsgHeaderViolation = 27, "Message Header Violation";
    NoRespondersRequiresHeaders = 28, "No Responders Requires Headers";
    ClusterNameConflict = 29, "Cluster Name Conflict";
    DuplicateRemoteLeafnodeConnection = 30, "Duplicate Remote LeafNode Connection";
    DuplicateClientId = 31, "Duplicate Client ID";
    DuplicateServerName = 32, "Duplicate Server Name";
    MinimumVersionRequired = 33, "Minimum Version Required";
    ClusterNamesIdentical = 34, "Cluster Names Identical";
    Kicked = 35, "Kicked";
    ProxyNotTrusted = 36, "Proxy Not Trusted";
    ProxyRequired = 37, "Proxy Required";
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers count from 1 without a gap: they appear in stored events.
    #[test]
    fn numbers_have_no_gap() {
        for (index, reason) in CloseReason::ALL.iter().enumerate() {
            assert_eq!(usize::from(*reason as u8), index + 1);
        }
        assert_eq!(CloseReason::ALL.len(), 37);
        assert_eq!(
            CloseReason::SlowConsumerWriteDeadline.text(),
            "Slow Consumer (Write Deadline)"
        );
    }
}
