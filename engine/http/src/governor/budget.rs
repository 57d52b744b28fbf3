//! Calls that an account has per month.
//!
//! Some plans bound the number of upload calls in a calendar month, for all applications together;
//! beyond it every such call is refused until the first of the next. So calls are counted before they
//! are sent, a forecast is possible, and the last one that fits is the last one sent.
//!
//! The count outlives the process in somebody else's record. [`MonthlyBudget`] gives out what was not
//! recorded yet ([`MonthlyBudget::take_unrecorded`]) and takes the record's new total back, so that calls
//! of other processes count as well; one write covers as many calls as were made since the last.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;
use windlass_core::{CallCount, Clock, Error, Kind};

/// What an account may still spend. Shared by all calls of the account, so methods return at once.
pub trait CallBudget: Send + Sync + Debug {
    /// Takes one call out of the month, before it is sent.
    ///
    /// Errors: the standing, when nothing is left.
    fn spend(&self) -> Result<(), BudgetStanding>;

    /// Gives one call back that certainly never left.
    fn give_back(&self);

    /// The month so far.
    fn standing(&self) -> BudgetStanding;

    /// Whether so many more calls fit into the month.
    fn forecast(&self, calls: u64) -> BudgetForecast {
        let standing = self.standing();
        BudgetForecast {
            fit: calls.min(standing.left()),
            over: calls.saturating_sub(standing.left()),
            standing,
        }
    }
}

/// A budget at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BudgetStanding {
    /// Calls of this month, as far as they are known here.
    pub used: u64,
    /// Calls that the month has.
    pub quota: u64,
    /// When the next month begins.
    pub renews: Timestamp,
}

impl BudgetStanding {
    /// Calls that may still be made.
    pub fn left(&self) -> u64 {
        self.quota.saturating_sub(self.used)
    }

    /// The error of a call that did not fit. `name` is the account's, as people know it.
    pub fn spent_error(&self, name: &str) -> Error {
        Error::new(
            Kind::Capacity,
            format!(
                "the month's calls to {name} are spent: {} of {}, renewed on {}",
                self.used,
                self.quota,
                date(self.renews),
            ),
        )
        .with_hint("run again when the month is over, or raise the account's budget of calls if its plan allows more")
    }
}

/// What becomes of calls that are planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BudgetForecast {
    /// How many of them fit into this month.
    pub fit: u64,
    /// How many do not.
    pub over: u64,
    /// The month so far.
    pub standing: BudgetStanding,
}

/// A budget that counts in memory, by calendar months of UTC.
#[derive(Debug)]
pub struct MonthlyBudget {
    account: String,
    quota: u64,
    clock: Arc<dyn Clock>,
    month: Mutex<Month>,
}

#[derive(Debug)]
struct Month {
    first: Date,
    /// What the record says, or was told.
    recorded: u64,
    /// What was spent here since.
    unrecorded: u64,
    /// Spent in months that ended before it was recorded; the oldest first, at most twelve.
    overdue: Vec<CallCount>,
}

/// More months than these without a record are not kept: no quota looks back that far.
const OVERDUE_MAX: usize = 12;

impl MonthlyBudget {
    /// A budget of `quota` calls in each month, none of them used. `account` names it in the record.
    pub fn new(account: impl Into<String>, quota: u64, clock: Arc<dyn Clock>) -> Self {
        let first = first_of_month(clock.now());
        MonthlyBudget {
            account: account.into(),
            quota,
            clock,
            month: Mutex::new(Month {
                first,
                recorded: 0,
                unrecorded: 0,
                overdue: Vec::new(),
            }),
        }
    }

    /// Calls spent that nobody recorded yet, by month; empty when there are none. Whoever takes them records
    /// them, answers with [`MonthlyBudget::recorded`] or, if that failed, hands them back to
    /// [`MonthlyBudget::not_recorded`].
    pub fn take_unrecorded(&self) -> Vec<CallCount> {
        let mut month = self.month();
        let mut counts = std::mem::take(&mut month.overdue);
        let calls = std::mem::take(&mut month.unrecorded);
        if calls > 0 {
            month.recorded = month.recorded.saturating_add(calls);
            counts.push(self.count(month.first, calls));
        }
        counts
    }

    /// The record's total of a month, which includes the calls of other processes. Months other than the current
    /// one are ignored.
    pub fn recorded(&self, month: &str, total: u64) {
        let mut now = self.month();
        if month == name_of(now.first) {
            now.recorded = total;
        }
    }

    /// Takes back what could not be recorded, to be given out again.
    pub fn not_recorded(&self, counts: Vec<CallCount>) {
        let mut month = self.month();
        let current = name_of(month.first);
        for count in counts {
            if count.month == current {
                month.recorded = month.recorded.saturating_sub(count.calls);
                month.unrecorded = month.unrecorded.saturating_add(count.calls);
            } else {
                month.overdue.push(count);
            }
        }
        month.keep_overdue();
    }

    /// The question to a record that has no answer yet: none to add, which asks for the total.
    pub fn asking(&self) -> CallCount {
        self.count(self.month().first, 0)
    }

    fn count(&self, first: Date, calls: u64) -> CallCount {
        CallCount {
            account: self.account.clone(),
            month: name_of(first),
            calls,
        }
    }

    /// The month that it is now.
    fn month(&self) -> MutexGuard<'_, Month> {
        let first = first_of_month(self.clock.now());
        let mut month = self.month.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that is set back does not open an old month again.
        if first > month.first {
            if month.unrecorded > 0 {
                let late = self.count(month.first, month.unrecorded);
                month.overdue.push(late);
                month.keep_overdue();
            }
            month.first = first;
            month.recorded = 0;
            month.unrecorded = 0;
        }
        month
    }

    fn standing_of(&self, month: &Month) -> BudgetStanding {
        BudgetStanding {
            used: month.recorded.saturating_add(month.unrecorded),
            quota: self.quota,
            renews: after(month.first),
        }
    }
}

impl Month {
    fn keep_overdue(&mut self) {
        let beyond = self.overdue.len().saturating_sub(OVERDUE_MAX);
        self.overdue.drain(..beyond);
    }
}

impl CallBudget for MonthlyBudget {
    fn spend(&self) -> Result<(), BudgetStanding> {
        let mut month = self.month();
        let standing = self.standing_of(&month);
        if standing.left() == 0 {
            return Err(standing);
        }
        month.unrecorded += 1;
        Ok(())
    }

    fn give_back(&self) {
        let mut month = self.month();
        if month.unrecorded > 0 {
            month.unrecorded -= 1;
        }
    }

    fn standing(&self) -> BudgetStanding {
        self.standing_of(&self.month())
    }
}

fn date(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

fn first_of_month(at: Timestamp) -> Date {
    date(at).first_of_month()
}

/// A month as the record writes it.
fn name_of(first: Date) -> String {
    format!("{:04}-{:02}", first.year(), first.month())
}

/// When the month after this one begins; the end of time itself has none.
fn after(first: Date) -> Timestamp {
    first
        .last_of_month()
        .tomorrow()
        .and_then(|next| next.to_zoned(TimeZone::UTC))
        .map_or(Timestamp::MAX, |next| next.timestamp())
}
