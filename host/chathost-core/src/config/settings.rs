//! `chathost.json`: what Pomelo sets in code.
//!
//! An environment has the sections `web`, `log`, `handlers` and `stop` and the number `threads` for the whole host, `all`
//! for every type of server, and one per type, which goes before `all`. Every key is a field below, or
//! [`Cluster::threads`](super::Cluster::threads); its documentation is the key's.

mod read;

pub(super) use read::Host;

use std::{collections::HashMap, sync::Arc, time::Duration};

/// How each type of server runs.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    all: Arc<TypeSettings>,
    types: HashMap<String, Arc<TypeSettings>>,
}

impl Settings {
    /// The settings of a type.
    pub fn for_type(&self, server_type: &str) -> Arc<TypeSettings> {
        self.types.get(server_type).unwrap_or(&self.all).clone()
    }
}

/// How one type of server runs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TypeSettings {
    /// The options of its connector, directly in the section.
    pub connector: ConnectorSettings,
    /// The options of its sessions, directly in the section.
    pub session: SessionSettings,
    /// `limits`: of each connection.
    pub limits: LimitSettings,
    /// `rpc`: of calls to other servers.
    pub rpc: RpcSettings,
    /// `script`: what handlers may use.
    pub script: ScriptSettings,
}

/// A frontend's connector. Names are Pomelo's.
#[derive(Debug, Clone, PartialEq)]
pub struct ConnectorSettings {
    /// `heartbeat`: seconds between heartbeats; without it there are none.
    pub heartbeat: Option<u32>,
    /// `heartbeatTimeout`: seconds without a heartbeat until a client counts as gone; twice `heartbeat` if not set.
    pub heartbeat_timeout: Option<u32>,
    /// `useDict`: two-byte codes instead of routes.
    pub use_dict: bool,
    /// `useProtobuf`: protobuf for the routes of `serverProtos.json` and `clientProtos.json`.
    pub use_protobuf: bool,
    /// `setNoDelay`: small packages leave at once. On if not set.
    pub set_no_delay: bool,
    /// `distinctHost`: listen on `host` only, not on every interface.
    pub distinct_host: bool,
}

impl Default for ConnectorSettings {
    fn default() -> Self {
        Self {
            heartbeat: None,
            heartbeat_timeout: None,
            use_dict: false,
            use_protobuf: false,
            set_no_delay: true,
            distinct_host: false,
        }
    }
}

impl ConnectorSettings {
    /// How long a client may be silent.
    pub fn silence(&self, limits: &LimitSettings) -> Duration {
        let heartbeat = self
            .heartbeat
            .map(|heartbeat| self.heartbeat_timeout.unwrap_or(heartbeat * 2));
        Duration::from_secs(heartbeat.unwrap_or(limits.idle_seconds).into())
    }
}

/// Sessions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SessionSettings {
    /// `singleSession`: a uid can be bound to one session of a frontend at a time.
    pub single_session: bool,
}

/// What a connection may use.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitSettings {
    /// `packageBytes`: of a package's body. More closes the connection.
    pub package_bytes: usize,
    /// `handshakeSeconds`: until the handshake, and from there to its ack.
    pub handshake_seconds: u32,
    /// `idleSeconds`: without a byte, where no heartbeat is configured.
    pub idle_seconds: u32,
    /// `writeSeconds`: in which the client's side takes nothing of what waits for it.
    pub write_seconds: u32,
    /// `outboxBytes`: that may wait for a client.
    pub outbox_bytes: usize,
    /// `outboxPolicy`: what happens when more do: `disconnect`, or `drop-oldest` for pushes.
    pub outbox_policy: OutboxPolicy,
    /// `latestRoutes`: pushes of which only the newest counts for a client that is behind.
    pub latest_routes: Vec<String>,
    /// `requestsInFlight`: of one session. More are answered with 429.
    pub requests_in_flight: u16,
    /// `messagesPerSecond`: of one session. More are answered with 429, a burst more closes the connection.
    pub messages_per_second: u32,
    /// `burst`: messages that may come at once.
    pub burst: u32,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            package_bytes: 64 << 10,
            handshake_seconds: 5,
            idle_seconds: 90,
            write_seconds: 30,
            outbox_bytes: 256 << 10,
            outbox_policy: OutboxPolicy::Disconnect,
            latest_routes: Vec::new(),
            requests_in_flight: 64,
            messages_per_second: 100,
            burst: 200,
        }
    }
}

impl LimitSettings {
    /// Time to the handshake, and from there to its ack.
    pub fn handshake_timeout(&self) -> Duration {
        Duration::from_secs(self.handshake_seconds.into())
    }

    /// Time in which a client may take nothing.
    pub fn write_timeout(&self) -> Duration {
        Duration::from_secs(self.write_seconds.into())
    }
}

/// What happens when an outbox is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutboxPolicy {
    /// The connection is closed.
    Disconnect,
    /// The oldest pushes are dropped.
    DropOldest,
}

/// Calls to other servers.
#[derive(Debug, Clone, PartialEq)]
pub struct RpcSettings {
    /// `timeoutSeconds`: until a call that was not answered fails.
    pub timeout_seconds: u32,
    /// `maxPending`: calls that may wait for one server. One more fails at once.
    pub max_pending: usize,
}

impl Default for RpcSettings {
    fn default() -> Self {
        Self {
            timeout_seconds: 30,
            max_pending: 10_000,
        }
    }
}

impl RpcSettings {
    /// Time until a call fails.
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds.into())
    }
}

/// What handlers may use.
#[derive(Debug, Clone, PartialEq)]
pub struct ScriptSettings {
    /// `callMs`: milliseconds that a call may compute.
    pub call_ms: u32,
    /// `deadlineSeconds`: from a call's start to its end, waiting included.
    pub deadline_seconds: u32,
    /// `memoryMb`: of a server's VM, in MiB.
    pub memory_mb: u32,
    /// `keptMb`: of what a server's handlers keep outside of their VM (channels, members, settings, values), in MiB.
    pub kept_mb: u32,
    /// `loadMs`: milliseconds that all files of a generation may compute while they load.
    pub load_ms: u32,
    /// `responseBytes`: of JSON in one response, push or call.
    pub response_bytes: usize,
    /// `pushes`: that one call may make.
    pub pushes: u32,
    /// `rpcCalls`: calls of other servers that one call may make.
    pub rpc_calls: u32,
    /// `timers`: that one call may set.
    pub timers: u32,
}

impl Default for ScriptSettings {
    fn default() -> Self {
        Self {
            call_ms: 100,
            deadline_seconds: 30,
            memory_mb: 64,
            kept_mb: 256,
            load_ms: 1000,
            response_bytes: 1 << 20,
            pushes: 1000,
            rpc_calls: 1000,
            timers: 1000,
        }
    }
}

/// `web`: the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSettings {
    /// `enabled`: whether it is served.
    pub enabled: bool,
    /// `host`: where.
    pub host: String,
    /// `port`: where.
    pub port: u16,
}

impl Default for WebSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            host: "127.0.0.1".into(),
            port: 3001,
        }
    }
}

/// `handlers`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HandlerSettings {
    /// `watch`: whether handlers are replaced when their files change. If not set: in the environment `development`.
    pub watch: Option<bool>,
}

/// `log`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// `level`: `info`, `debug`, … or per target: `info,script=debug`.
    pub level: String,
    /// `files`: daily files that are kept under `logs/`; 0 for none.
    pub files: usize,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            level: "info".into(),
            files: 7,
        }
    }
}

/// `stop`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopSettings {
    /// `graceSeconds`: in which calls that run may end, and the leave logic after them.
    pub grace_seconds: u32,
}

impl Default for StopSettings {
    fn default() -> Self {
        Self { grace_seconds: 3 }
    }
}

impl StopSettings {
    /// Time for calls that run to end.
    pub fn grace(&self) -> Duration {
        Duration::from_secs(self.grace_seconds.into())
    }
}
