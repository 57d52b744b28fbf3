//! How a ledger is opened.

use std::sync::Arc;
use std::time::Duration;

use windlass_core::{ByteSize, Clock, LOST_LEASES_MAX, SystemClock};

/// How a ledger is opened. The defaults are right for everything but tests and special machines.
#[derive(Clone, Debug)]
pub struct LedgerOptions {
    /// Tells when leases expire and steps are due.
    pub clock: Arc<dyn Clock>,
    /// Opens an existing ledger for reading, beside the process that writes it. Writing calls fail.
    pub read_only: bool,
    /// How long to wait for another process to let go of the ledger.
    pub lock_wait: Duration,
    /// How many lost leases a step survives; at least 1.
    pub lost_leases_max: u32,
    /// How large the file may grow; `None` leaves it to the disk. A server's database is not limited.
    pub file_bytes_max: Option<ByteSize>,
    /// A file up to this size is checked from end to end when it is opened.
    pub check_bytes_max: ByteSize,
    /// Pages that the writer keeps in memory. More helps when millions of contents are known.
    pub cache: ByteSize,
    /// How large the file of jots may grow while the ledger cannot be written, 64 MiB at most. They are in memory
    /// too meanwhile; the default is some 150,000 parts.
    pub jots_bytes_max: ByteSize,
    /// How many reads run at the same time.
    pub readers: u32,
    /// How long a database server that goes away is waited for, such as while it starts again or another takes over.
    pub server_wait: Duration,
}

impl Default for LedgerOptions {
    fn default() -> Self {
        LedgerOptions {
            clock: Arc::new(SystemClock),
            read_only: false,
            // Enough for a process that is just ending.
            lock_wait: Duration::from_secs(1),
            lost_leases_max: LOST_LEASES_MAX,
            file_bytes_max: None,
            // About a fifth of a second of reading.
            check_bytes_max: ByteSize::mib(64),
            cache: ByteSize::mib(32),
            jots_bytes_max: ByteSize::mib(32),
            readers: 4,
            server_wait: Duration::from_secs(120),
        }
    }
}
