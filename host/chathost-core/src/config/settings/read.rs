//! The keys of `chathost.json`, their places and the values they may have. What they mean is said at the fields.

use super::{
    super::{
        node::{Node, Problems},
        section::{self, Section},
    },
    HandlerSettings, LimitSettings, LogSettings, OutboxPolicy, Settings, StopSettings, TypeSettings,
    WebSettings,
};
use std::sync::Arc;

/// Everything in the file.
#[derive(Debug, Default)]
pub(in crate::config) struct Host {
    pub(in crate::config) settings: Settings,
    pub(in crate::config) web: WebSettings,
    pub(in crate::config) log: LogSettings,
    pub(in crate::config) stop: StopSettings,
    pub(in crate::config) handlers: HandlerSettings,
    pub(in crate::config) threads: u32,
}

impl Host {
    /// Reads an environment. `types`: those of `servers.json`; none if that could not be read, and then any may be one.
    pub(in crate::config) fn read(
        &mut self,
        node: Node<'_>,
        types: &[&str],
        env: &str,
        problems: &mut Problems,
    ) {
        section::read(node, "", problems, |host| {
            host.group("web", |web| {
                web.flag("enabled", &mut self.web.enabled);
                web.text("host", &mut self.web.host);
                web.port("port", &mut self.web.port);
            });
            host.group("log", |log| {
                let cause =
                    "has to be off, error, warn, info, debug or trace, or target=level, with commas between";
                log.set("level", &mut self.log.level, cause, |node| {
                    node.value::<String>()
                        .filter(|text| text.split(',').all(is_level))
                });
                size(log, "files", &mut self.log.files, 0, 1000);
            });
            host.group("handlers", |handlers| {
                let cause = "has to be true or false";
                handlers.set("watch", &mut self.handlers.watch, cause, |node| {
                    node.value().map(Some)
                });
            });
            host.group("stop", |stop| {
                stop.number("graceSeconds", &mut self.stop.grace_seconds, 0..=600);
            });
            host.number("threads", &mut self.threads, 0..=1024);
            let mut all = TypeSettings::default();
            host.group("all", |section| all.read(section));
            for (name, node) in host.rest() {
                if !types.is_empty() && !types.contains(&name.as_str()) {
                    // The environment: it may be what was mistyped.
                    let known = [types, &["web", "log", "handlers", "stop", "threads", "all", env]].concat();
                    host.unknown(&name, node, &known);
                    continue;
                }
                let mut own = all.clone();
                section::read(node, &name, host.problems, |section| own.read(section));
                self.settings.types.insert(name, Arc::new(own));
            }
            self.settings.all = Arc::new(all);
        });
    }
}

impl TypeSettings {
    fn read(&mut self, section: &mut Section<'_, '_>) {
        let connector = &mut self.connector;
        let beats = section.has("heartbeat") || section.has("heartbeatTimeout");
        section.optional("heartbeat", &mut connector.heartbeat, 1..=3600);
        section.optional("heartbeatTimeout", &mut connector.heartbeat_timeout, 1..=7200);
        if let (true, Some(every), Some(timeout)) = (beats, connector.heartbeat, connector.heartbeat_timeout)
            && timeout <= every
        {
            let cause = format!("{timeout} has to be more than heartbeat, {every}: nobody could stay");
            section.wrong("heartbeatTimeout", &cause);
        }
        section.flag("useDict", &mut connector.use_dict);
        section.flag("useProtobuf", &mut connector.use_protobuf);
        section.flag("setNoDelay", &mut connector.set_no_delay);
        section.flag("distinctHost", &mut connector.distinct_host);
        section.flag("singleSession", &mut self.session.single_session);
        section.group("limits", |section| self.limits.read(section));
        section.group("rpc", |rpc| {
            rpc.number("timeoutSeconds", &mut self.rpc.timeout_seconds, 1..=3600);
            size(rpc, "maxPending", &mut self.rpc.max_pending, 1, 10_000_000);
        });
        section.group("script", |script| {
            script.number("callMs", &mut self.script.call_ms, 1..=60_000);
            script.number("deadlineSeconds", &mut self.script.deadline_seconds, 1..=3600);
            script.number("memoryMb", &mut self.script.memory_mb, 1..=65_536);
            script.number("keptMb", &mut self.script.kept_mb, 1..=65_536);
            script.number("loadMs", &mut self.script.load_ms, 10..=60_000);
            size(
                script,
                "responseBytes",
                &mut self.script.response_bytes,
                64,
                0xff_ffff,
            );
            script.number("pushes", &mut self.script.pushes, 1..=1_000_000);
            script.number("rpcCalls", &mut self.script.rpc_calls, 1..=1_000_000);
            script.number("timers", &mut self.script.timers, 1..=1_000_000);
        });
    }
}

impl LimitSettings {
    fn read(&mut self, section: &mut Section<'_, '_>) {
        // Three bytes hold a package's length.
        size(section, "packageBytes", &mut self.package_bytes, 64, 0xff_ffff);
        section.number("handshakeSeconds", &mut self.handshake_seconds, 1..=3600);
        section.number("idleSeconds", &mut self.idle_seconds, 1..=86_400);
        section.number("writeSeconds", &mut self.write_seconds, 1..=3600);
        size(section, "outboxBytes", &mut self.outbox_bytes, 1024, 1 << 30);
        section.set(
            "outboxPolicy",
            &mut self.outbox_policy,
            "has to be \"disconnect\" or \"drop-oldest\"",
            |node| match node.value::<&str>()? {
                "disconnect" => Some(OutboxPolicy::Disconnect),
                "drop-oldest" => Some(OutboxPolicy::DropOldest),
                _ => None,
            },
        );
        section.list("latestRoutes", &mut self.latest_routes);
        let mut in_flight = u32::from(self.requests_in_flight);
        section.number("requestsInFlight", &mut in_flight, 1..=65_535);
        self.requests_in_flight = u16::try_from(in_flight).unwrap_or(u16::MAX);
        section.number("messagesPerSecond", &mut self.messages_per_second, 1..=1_000_000);
        section.number("burst", &mut self.burst, 1..=1_000_000);
    }
}

fn size(section: &mut Section<'_, '_>, key: &str, value: &mut usize, least: u32, most: u32) {
    let mut number = u32::try_from(*value).unwrap_or(u32::MAX);
    section.number(key, &mut number, least..=most);
    *value = usize::try_from(number).unwrap_or(usize::MAX);
}

fn is_level(filter: &str) -> bool {
    let level = filter.rsplit('=').next().unwrap_or_default().trim();
    ["off", "error", "warn", "info", "debug", "trace"].contains(&level)
}
