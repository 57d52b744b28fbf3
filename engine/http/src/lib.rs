//! The network as one function: a request goes in, a response comes out.
//!
//! [`Transport`] is that function; the reqwest implementation is the only code that names reqwest.
//! [`Client`] adds what every service call needs: authorization with single-flight refresh, the retry
//! table of four cases, and redaction. A [`Governor`] for each account holds its calls to what it bears: rate, calls
//! at once, waits that the service asked for, priorities, and a month's budget.

mod auth;
mod client;
mod governor;
mod limit;
mod options;
pub mod redact;
mod reqwest;
mod retry;
mod transport;
mod tries;

pub use auth::{Anonymous, Authorizer, OAuth2Options, OAuth2Refresh, StaticHeader};
pub use client::{Answer, Call, Client, Judge, Judged, Reply, Whole};
pub use governor::{
    BudgetForecast, BudgetStanding, CallBudget, Governor, GovernorOptions, GovernorSnapshot,
    GovernorState, LaneOptions, MonthlyBudget, Priority, Waiting,
};
pub use options::ClientOptions;
pub use reqwest::{Proxy, ReqwestTransport, TransportOptions};
pub use retry::{Jitter, Repeat, retry_after};
pub use transport::{
    Body, ByteStream, CountedTransport, Pieces, Request, Response, SendError, Sent, Transport,
};

#[cfg(test)]
mod tests;
