//! The budget never grants more than there is, serves in order, and never locks up.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::FutureExt;
use proptest::prelude::*;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use windlass_core::UploadOrder;

use super::support::{FakeSink, FakeSource, MIB, Pace, content, engine, request, rest, sheet};
use crate::budget::{Account, Budget, Grant};
use crate::pool::Pool;

async fn admit(budget: &Arc<Budget>, bytes: u64) -> Account {
    budget.admit(budget.customer(bytes), bytes).await
}

type Waiting<T> = Pin<Box<dyn Future<Output = T> + Send>>;

#[derive(Clone, Debug)]
enum Act {
    Admit(u64),
    Grant { account: usize, bytes: u64 },
    Finish(usize),
    Release(usize),
    Forget(usize),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (1u64..40).prop_map(Act::Admit),
        (any::<usize>(), 1u64..40).prop_map(|(account, bytes)| Act::Grant { account, bytes }),
        any::<usize>().prop_map(Act::Finish),
        any::<usize>().prop_map(Act::Release),
        any::<usize>().prop_map(Act::Forget),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_the_budget_is_kept_and_comes_back(acts in prop::collection::vec(act(), 0..120)) {
        let budget = Budget::new(100, 15, 40);
        let mut entering: VecDeque<Waiting<Account>> = VecDeque::new();
        let mut accounts: Vec<Account> = Vec::new();
        let mut asking: VecDeque<Waiting<Grant>> = VecDeque::new();
        let mut grants: Vec<Grant> = Vec::new();
        for act in acts {
            match act {
                Act::Admit(bytes) => {
                    let budget = Arc::clone(&budget);
                    entering.push_back(Box::pin(async move { admit(&budget, bytes).await }));
                }
                Act::Grant { account, bytes } if !accounts.is_empty() => {
                    let account = &accounts[account % accounts.len()];
                    asking.push_back(Box::pin(account.grant(bytes)));
                }
                Act::Finish(n) if !accounts.is_empty() => drop(accounts.swap_remove(n % accounts.len())),
                Act::Release(n) if !grants.is_empty() => drop(grants.swap_remove(n % grants.len())),
                Act::Forget(n) if !asking.is_empty() => drop(asking.remove(n % asking.len())),
                _ => {}
            }
            for _ in 0..entering.len() {
                let mut waiting = entering.pop_front().unwrap();
                match waiting.as_mut().now_or_never() {
                    Some(account) => accounts.push(account),
                    None => entering.push_back(waiting),
                }
            }
            for _ in 0..asking.len() {
                let mut waiting = asking.pop_front().unwrap();
                match waiting.as_mut().now_or_never() {
                    Some(grant) => grants.push(grant),
                    None => asking.push_back(waiting),
                }
            }
            prop_assert!(budget.used_bytes() <= budget.total_bytes());
            prop_assert!(budget.waiting() <= (entering.len() + asking.len()) as u64);
            prop_assert!(!accounts.is_empty() || !grants.is_empty() || !asking.is_empty() || entering.is_empty(),
                "with nothing held, whoever wants in is let in");
        }
        drop((entering, accounts, asking, grants));
        prop_assert_eq!(budget.used_bytes(), 0);
        prop_assert_eq!(budget.waiting(), 0);
    }
}

#[tokio::test]
async fn a_transfer_always_gets_its_own_chunk_even_when_everything_else_is_taken() {
    let budget = Budget::new(20, 1, 20);
    let account = admit(&budget, 10).await;
    let first = account.grant(10).await;
    let shared = account.grant(10).await;
    let mut starved = Box::pin(account.grant(10));
    assert!(starved.as_mut().now_or_never().is_none());
    assert_eq!(budget.waiting(), 1);
    // Its own chunk comes back, while everyone's is still gone.
    drop(first);
    let again = starved.now_or_never().unwrap();
    assert_eq!((budget.waiting(), budget.used_bytes()), (0, 20));
    drop(account);
    drop(shared);
    assert_eq!(
        budget.used_bytes(),
        10,
        "bytes in the own chunk keep it paid for"
    );
    drop(again);
    assert_eq!(budget.used_bytes(), 0);
}

#[tokio::test]
async fn waiters_are_served_in_the_order_they_came() {
    let budget = Budget::new(10, 1, 10);
    let holder = admit(&budget, 10).await;
    let mut large = Box::pin(admit(&budget, 8));
    let mut small = Box::pin(admit(&budget, 1));
    let mut last = Box::pin(admit(&budget, 10));
    for waiting in [&mut large, &mut small, &mut last] {
        assert!(waiting.as_mut().now_or_never().is_none());
    }
    drop(holder);
    assert!(last.as_mut().now_or_never().is_none());
    let large = large.now_or_never().unwrap();
    let small = small.now_or_never().unwrap();
    assert!(last.as_mut().now_or_never().is_none());
    drop((large, small));
    assert!(last.now_or_never().is_some());
}

#[tokio::test]
async fn buffers_are_reused_and_what_is_kept_makes_room_for_what_is_needed() {
    let budget = Budget::new(32 << 10, 1, 32 << 10);
    let pool = Pool::new(Arc::clone(&budget), 16 << 10);
    let account = admit(&budget, 16 << 10).await;
    let mut buffer = pool.buffer(account.grant(16 << 10).await, 16 << 10);
    buffer.bytes_mut().extend_from_slice(&content(16 << 10));
    let bytes = buffer.freeze();
    let clone = bytes.slice(5..);
    let place = bytes.as_ptr();
    drop(bytes);
    assert_eq!((pool.live_bytes(), pool.idle_bytes()), (16 << 10, 0));
    drop(clone);
    assert_eq!((pool.live_bytes(), pool.idle_bytes()), (0, 16 << 10));

    let again = pool.buffer(account.grant(16 << 10).await, 16 << 10);
    assert_eq!(again.as_ref().len(), 0);
    let mut again = again;
    assert_eq!(again.bytes_mut().as_ptr(), place);
    drop(again);

    // Other transfers take the rest of the budget in small pieces: the kept buffer has to go.
    let others = admit(&budget, 16 << 10).await;
    let small = pool.buffer(others.grant(9 << 10).await, 9 << 10);
    assert_eq!((pool.live_bytes(), pool.idle_bytes()), (9 << 10, 0));
    drop(small);
    assert_eq!(
        pool.idle_bytes(),
        0,
        "small buffers are left to the allocator"
    );
}

#[tokio::test]
async fn the_bytes_of_a_large_buffer_begin_at_a_page_each_time_it_is_used() {
    const CHUNK: usize = 1 << 20;
    let budget = Budget::new(2 << 20, 1, 2 << 20);
    let pool = Pool::new(Arc::clone(&budget), CHUNK);
    let account = admit(&budget, CHUNK as u64).await;
    let bytes = content(CHUNK);
    for _ in 0..2 {
        let mut buffer = pool.buffer(account.grant(CHUNK as u64).await, CHUNK);
        buffer.bytes_mut().extend_from_slice(&bytes[..100]);
        buffer.restart();
        assert_eq!(buffer.len(), 0);
        buffer.bytes_mut().extend_from_slice(&bytes);
        assert_eq!(buffer.len(), CHUNK);
        let frozen = buffer.freeze();
        assert_eq!(frozen.as_ptr().align_offset(4 << 10), 0);
        assert!(frozen == bytes);
        drop(frozen);
        assert_eq!((pool.live_bytes(), pool.idle_bytes()), (0, CHUNK as u64));
    }
}

#[tokio::test]
async fn a_buffer_that_a_source_made_grow_is_not_kept() {
    let budget = Budget::new(64 << 10, 1, 64 << 10);
    let pool = Pool::new(Arc::clone(&budget), 1 << 10);
    let account = admit(&budget, 1 << 10).await;
    let mut buffer = pool.buffer(account.grant(1 << 10).await, 1 << 10);
    buffer.bytes_mut().extend_from_slice(&content(3 << 10));
    drop(buffer);
    assert_eq!((pool.live_bytes(), pool.idle_bytes()), (0, 0));
}

/// Fifty transfers of several chunks, with memory for one chunk each or for far fewer, and windows
/// that ask for more than there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_transfers_on_one_chunk_of_budget_each_do_not_lock_up() {
    for (budget_chunks, order) in [
        (50, UploadOrder::InOrder),
        (3, UploadOrder::Any),
        (1, UploadOrder::InOrder),
    ] {
        let engine = engine(budget_chunks, budget_chunks.min(8), 2);
        let bytes = content(9 * MIB + 4321);
        let mut transfers = JoinSet::new();
        for number in 0..50 {
            let mut source = FakeSource::new(bytes.clone());
            source.pace.yields = vec![number % 5, 3, 0];
            let mut sheet = sheet();
            sheet.upload_order = order;
            sheet.states_content_hash = false;
            source.asset.content_hash = None;
            let pace = Pace {
                yields: vec![1, number % 3],
                ..Pace::default()
            };
            let sink = FakeSink::new(sheet, pace, None);
            let engine = engine.clone();
            transfers.spawn(async move {
                let request = request(&source);
                let done = engine
                    .transfer(&source, &sink, &request, &CancellationToken::new())
                    .await
                    .unwrap();
                assert_eq!(sink.only_content(), source.content);
                done.digests.blake3
            });
        }
        let all = tokio::time::timeout(std::time::Duration::from_secs(120), transfers.join_all());
        let digests = all.await.expect("no transfer waits for ever");
        let whole = windlass_core::Blake3::of(&bytes);
        assert!(digests.iter().all(|digest| *digest == whole));
        rest(&engine).await;
        let gauges = engine.gauges();
        assert!(
            gauges.idle_bytes <= budget_chunks * 4 * MIB as u64,
            "{gauges:?}"
        );
        engine.trim();
        assert_eq!(engine.gauges().idle_bytes, 0);
    }
}
