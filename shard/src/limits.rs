//! Every bound of a shard: name, unit, and what happens at the bound.

/// Shards of one server: bits of a news word. More are refused at start.
pub const SHARDS_MAX: usize = 64;
/// Bytes one read takes at most; more stays in the socket.
pub const READ_SIZE_MAX: usize = 256 * 1024;
/// Reads of one connection in a row before others get their turn.
pub const READS_IN_A_ROW_MAX: u32 = 4;
/// Connections accepted in a row before the others of the shard get their turn.
pub const ACCEPTS_IN_A_ROW_MAX: u32 = 64;
/// Interest changes waiting in one lane. Beyond: kept as the newest state per subject, and nothing
/// later leaves the shard until the lane took it.
pub const INTEREST_LANE_CAPACITY: usize = 1024;
/// Batches waiting in one data lane. Beyond: the generators that feed it stop.
pub const DATA_LANE_CAPACITY: usize = 256;
/// Bytes in flight from one shard to another. Beyond: the generators that feed it stop; one message
/// may pass the bound.
pub const CREDIT_SIZE: usize = 1024 * 1024;
/// Bytes of answers to mesh input (hand-ons, not delivered, stall) kept for one full lane. Beyond:
/// dropped and counted.
pub const ANSWER_OVERFLOW_SIZE_MAX: usize = 4 * 1024 * 1024;
/// Requests in several parts (shards, queue groups) whose "not delivered" answers are counted at the same time.
/// Beyond: the oldest gets no 503.
pub const OPEN_REQUESTS_MAX: usize = 4096;
/// Empty buffers a shard keeps for outbound data, by count; the rest goes back to the allocator.
pub const POOLED_BUFFERS_MAX: usize = 2048;
/// Bytes of all of them; the rest goes back to the allocator.
pub const POOL_SIZE_MAX: usize = 16 * 1024 * 1024;
/// Capacity, in bytes, a pooled buffer may have; larger ones go back to the allocator.
pub const POOLED_BUFFER_SIZE_MAX: usize = 256 * 1024;
/// Bytes of one piece of a connection's outbound queue; a longer message makes a longer piece.
pub const OUTBOUND_PIECE_SIZE: usize = 64 * 1024;
/// Pieces of work (password hashes) that one shard has done elsewhere at a time. Beyond: they wait for their turn, as long
/// as the authentication timeout lets them.
pub const OFFLOADS_OPEN_MAX: usize = 64;
/// Bytes of a TLS handshake message that has not come as a whole. Beyond: the connection is closed.
pub const UNFINISHED_RECORD_SIZE_MAX: usize = 128 * 1024;
/// Bytes of an HTTP request for a WebSocket. Beyond: 431, and the connection is closed.
pub const UPGRADE_HEAD_SIZE_MAX: usize = 64 * 1024;
/// How long such a request may take where the configuration sets no time. Beyond: the connection is closed.
pub const UPGRADE_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(30);
/// Bytes that were framed for a socket and wait for it; operations beyond wait unframed.
pub const FRAMED_SIZE_MAX: usize = 256 * 1024;
/// Closed connections whose details a shard keeps at most, whatever `max_closed_clients` asks for.
pub const CLOSED_CONNECTIONS_MAX: usize = 100_000;
/// How long a producer is held at most for one read because its consumers are behind.
pub const STALL_MAX: std::time::Duration = std::time::Duration::from_millis(10);
/// Publish subjects of one connection whose permission is remembered. Beyond: all are looked up again.
pub const ANSWERS_REMEMBERED_MAX: usize = 128;
/// Requests that a connection with `allow_responses` may still answer. Beyond: the oldest may not be answered any more.
pub const REPLIES_REMEMBERED_MAX: usize = 65_536;
/// Requests to services of other accounts whose answers a shard waits for. Beyond: the oldest gets no answer.
pub const SERVICE_REPLIES_MAX: usize = 262_144;
/// Messages of the server itself (events) that wait to be sent on one shard. Beyond: dropped and counted.
pub const ANNOUNCEMENTS_MAX: usize = 4096;
/// Accounts a request goes through by service imports. Beyond: nobody there gets it.
pub const SERVICE_CHAIN_MAX: usize = 16;

const _: () = assert!(UNFINISHED_RECORD_SIZE_MAX < READ_SIZE_MAX);
const _: () = assert!(SHARDS_MAX <= u64::BITS as usize);
