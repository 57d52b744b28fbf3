//! `windlass status`: what a running daemon says of itself, and the newest runs of the ledger.
//!
//! A daemon is asked where the configuration says that it listens, and this machine is asked where it listens everywhere.
//! The ledger is only read, which a daemon that writes it bears; where no daemon answers it is all that there is.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde::Serialize;
use url::Url;
use windlass_console::{FlowStatus, Status};
use windlass_core::{Error, Kind, Result};
use windlass_http::{Proxy, Request, ReqwestTransport, SendError, Transport, TransportOptions};

use super::{Ended, history};
use crate::args::StatusArgs;
use crate::config::Layered;
use crate::flows::sync::kept_under;
use crate::out::Out;
use crate::text;

/// How long a daemon is waited for, all in all. One that is on this machine answers within milliseconds.
const PATIENCE: Duration = Duration::from_secs(2);

/// The longest answer that is read: a flow takes about 1 KiB, its failure may be told at length.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// What programs are told of the daemon, on a line of its own before those of its flows.
#[derive(Serialize)]
struct Told<'a> {
    url: &'a str,
    answers: bool,
    /// Why it does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(flatten)]
    daemon: Option<Daemon<'a>>,
}

#[derive(Serialize)]
struct Daemon<'a> {
    version: &'a str,
    ready: bool,
    reasons: &'a [String],
    since: jiff::Timestamp,
    draining: bool,
}

/// Shows how everything stands.
pub(crate) async fn run(args: &StatusArgs, layered: &Layered, out: Out) -> Result<Ended> {
    let told = match layered.config.watch.listen {
        Some(listen) => told(args, listen, out).await?,
        None if args.check => {
            let error = Error::new(Kind::Config, "there is no daemon to be checked");
            return Err(error.with_hint("set watch.listen to the address at which it is to answer"));
        }
        None => None,
    };
    let listed = history::runs(args, layered, out).await;
    match (&told, listed) {
        (_, Ok(())) => {}
        // Whoever runs as somebody else may ask the daemon and not read its ledger.
        (Some(_), Err(error)) => out.say(&format!("runs cannot be listed: {}", error.chain())),
        (None, Err(error)) => return Err(error),
    }
    let is_well = told.is_some_and(|is_well| is_well);
    Ok(match args.check && !is_well {
        true => Ended::WithFailures,
        false => Ended::Done,
    })
}

/// Asks a daemon and tells what it says; whether all is well with it, `None` where it does not answer.
async fn told(args: &StatusArgs, listen: SocketAddr, out: Out) -> Result<Option<bool>> {
    let url = url(listen);
    let shown = url.trim_end_matches("/status");
    let status = match ask(listen, &url).await {
        Ok(status) => status,
        Err(error) => {
            tell_silence(shown, &error, out)?;
            return Ok(None);
        }
    };
    let flows: Vec<&FlowStatus> = status
        .flows
        .iter()
        .filter(|flow| is_meant(args, flow))
        .collect();
    match out.json {
        true => tell_programs(shown, &status, &flows, out)?,
        false => out.data(&text::daemon(
            shown,
            &status,
            &flows,
            jiff::Timestamp::now(),
        ))?,
    }
    Ok(Some(status.ready && flows.iter().all(|flow| is_well(flow))))
}

/// Whether a flow, or the one whose way it is, was asked for.
fn is_meant(args: &StatusArgs, flow: &FlowStatus) -> bool {
    let name = &flow.standing.flow;
    let asked = args.flow.as_deref();
    asked.is_none_or(|asked| asked == name || asked == kept_under(name))
}

/// Whether its last pass came to its end, and no step of it failed. What is held is no failure, here as in a report.
fn is_well(flow: &FlowStatus) -> bool {
    let standing = &flow.standing;
    let failed = standing.last.as_ref().map_or(0, |last| last.failed);
    standing.failures == 0 && failed == 0
}

/// Where a daemon that listens here is asked: one that listens everywhere, on this machine.
fn url(listen: SocketAddr) -> String {
    let host = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}/status", SocketAddr::new(host, listen.port()))
}

/// Asks for the status, and no longer than for [`PATIENCE`].
async fn ask(listen: SocketAddr, url: &str) -> Result<Status> {
    if listen.port() == 0 {
        let message = "watch.listen lets the daemon take any free port";
        return Err(Error::new(Kind::Config, message));
    }
    let url = Url::parse(url).map_err(|error| other(format!("{url}: {error}")))?;
    let Ok(asked) = tokio::time::timeout(PATIENCE, answer(url)).await else {
        let message = format!("nothing was heard for {} s", PATIENCE.as_secs());
        return Err(Error::new(Kind::Unavailable, message));
    };
    asked
}

async fn answer(url: Url) -> Result<Status> {
    let transport = ReqwestTransport::new(TransportOptions {
        // What is on this machine, or was named as an address, needs nobody between.
        proxy: Proxy::Direct,
        ..TransportOptions::default()
    })?;
    // Its message says where and why; what the library says beneath is the same at length.
    let unheard = |error: SendError| Error::new(Kind::Unavailable, error.message);
    let answer = transport.send(Request::get(url)).await.map_err(unheard)?;
    let code = answer.status.as_u16();
    let body = answer.collect(ANSWER_BYTES_MAX).await.map_err(unheard)?;
    match code {
        200 => serde_json::from_slice(&body).map_err(other),
        code => Err(other(format!("it answers {code}"))),
    }
}

fn other(why: impl Display) -> Error {
    let message = format!("what answers there is no daemon of this version ({why})");
    Error::new(Kind::Unsupported, message)
}

fn tell_silence(url: &str, error: &Error, out: Out) -> Result<()> {
    if out.json {
        return out.record(
            "daemon",
            &Told {
                url,
                answers: false,
                message: Some(error.chain()),
                daemon: None,
            },
        );
    }
    out.say(&format!("no daemon answers at {url}: {}", error.message()));
    Ok(())
}

fn tell_programs(url: &str, status: &Status, flows: &[&FlowStatus], out: Out) -> Result<()> {
    let daemon = Daemon {
        version: &status.version,
        ready: status.ready,
        reasons: &status.reasons,
        since: status.since,
        draining: status.draining,
    };
    let told = Told {
        url,
        answers: true,
        message: None,
        daemon: Some(daemon),
    };
    out.record("daemon", &told)?;
    flows.iter().try_for_each(|flow| out.record("flow", flow))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_listens_everywhere_is_asked_on_this_machine() {
        let at = |listen: &str| url(listen.parse().unwrap());
        assert_eq!(at("0.0.0.0:8787"), "http://127.0.0.1:8787/status");
        assert_eq!(at("[::]:8787"), "http://[::1]:8787/status");
        assert_eq!(at("10.0.0.5:80"), "http://10.0.0.5:80/status");
    }
}
