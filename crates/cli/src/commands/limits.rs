//! What may nginx use, and what does it serve, as the doctor wants to know it?

use std::path::Path;

use doctor::limits::{LimitsSeen, files_of, free_memory};
use nginx::{NginxHost, Tuning};

/// Looks at the configuration, at the master that runs, and at the memory.
pub(super) async fn observe(host: &NginxHost) -> LimitsSeen {
    let tuning = host.tuning().await;
    let master = host.master().await;
    of(&tuning, master)
}

/// Puts together what `tuning` and the kernel say.
pub(super) fn of(tuning: &Tuning, master: Option<u32>) -> LimitsSeen {
    let proc = Path::new("/proc");
    let processors = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let connections = tuning.connections.clone();
    LimitsSeen {
        workers: tuning.processes.unwrap_or_else(|| processors() as u64),
        connections: match connections {
            Some((connections, place)) => (connections, Some(place)),
            None => (CONNECTIONS_BUILT_IN, None),
        },
        files: tuning.files.clone(),
        events: tuning.events.clone(),
        inherited: master.and_then(|master| files_of(proc, master)),
        servers: tuning.servers as u64,
        listens: tuning.listens.len() as u64,
        logs: tuning.logs.len() as u64,
        memory: free_memory(proc),
    }
}

/// What nginx takes where `worker_connections` is not said.
const CONNECTIONS_BUILT_IN: u64 = 512;
