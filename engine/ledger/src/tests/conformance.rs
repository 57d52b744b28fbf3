mod memory {
    use std::sync::Arc;

    use windlass_core::Clock;
    use windlass_core::memory::{ManualClock, MemoryLedger};

    use crate::conformance::Fixture;

    async fn make() -> Fixture {
        let clock = Arc::new(ManualClock::default());
        Fixture {
            ledger: Arc::new(MemoryLedger::new(Arc::clone(&clock) as Arc<dyn Clock>)),
            clock,
            keep: Box::new(()),
        }
    }

    crate::conformance_suite!(make);
}

mod sqlite {
    use std::sync::Arc;

    use windlass_core::memory::ManualClock;

    use crate::SqlLedger;
    use crate::conformance::Fixture;
    use crate::tests::options;

    async fn make() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::default());
        let file = folder.path().join("windlass.db");
        Fixture {
            ledger: SqlLedger::open(&file, options(&clock)).await.unwrap(),
            clock,
            keep: Box::new(folder),
        }
    }

    crate::conformance_suite!(make);
}

mod postgres {
    use std::sync::Arc;

    use windlass_core::memory::ManualClock;

    use crate::SqlLedger;
    use crate::conformance::{Fixture, TestServer};
    use crate::tests::options;

    async fn make() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::default());
        let place = TestServer::shared().place(folder.path()).await;
        let ledger = SqlLedger::open_at(place, options(&clock)).await;
        Fixture {
            ledger: ledger.unwrap(),
            clock,
            keep: Box::new(folder),
        }
    }

    crate::conformance_suite!(make);
}
