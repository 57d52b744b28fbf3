//! `windlass plugin replay`: a call on which a plugin failed is made again.

use windlass_core::{Error, Kind, Result};
use windlass_plugin::{Call, FailedCall, Replayed};

use super::{code_cache, component_of};
use crate::args::ReplayArgs;
use crate::commands::Ended;
use crate::out::Out;

/// Makes a failed call again.
pub(crate) async fn replay(args: &ReplayArgs, out: Out) -> Result<Ended> {
    let call = FailedCall::read(&args.file)?;
    let component = match &args.plugin {
        Some(plugin) => Some(component_of(plugin, out).await?),
        None => None,
    };
    let (call, replayed) = tokio::task::spawn_blocking(move || {
        let replayed = call.replay(component.as_deref(), code_cache())?;
        Ok::<_, Error>((call, replayed))
    })
    .await
    .map_err(|error| {
        Error::new(Kind::Unexpected, "making the call ended abnormally").with_source(error)
    })??;
    if out.json {
        out.record("replayed", &replayed)?;
    } else {
        out.data(&replayed_lines(&call, &replayed))?;
    }
    Ok(match replayed.stopped {
        None => Ended::Done,
        Some(_) => Ended::WithFailures,
    })
}

fn replayed_lines(call: &FailedCall, replayed: &Replayed) -> String {
    let plugin = &call.plugin;
    let about = match &call.call {
        Call::Start => "while it started".to_owned(),
        Call::Describe { asset } | Call::Route { asset, .. } => format!("on {}", asset.path),
        Call::Decide { release } => {
            format!("on {} for {:?}", release.asset.path, release.audience)
        }
    };
    let mut lines = format!(
        "{} {} failed {about} at {}\n  {}: {}\n",
        plugin.name, plugin.version, call.at, call.stopped.rule, call.stopped.reason
    );
    let whose = match replayed.same_component {
        true => "the same component".to_owned(),
        false => format!("another component ({})", replayed.digest),
    };
    match &replayed.stopped {
        Some(stopped) if *stopped == call.stopped => {
            lines.push_str(&format!("now, {whose}: it fails in the same way"));
        }
        Some(stopped) => lines.push_str(&format!(
            "now, {whose}: it fails in another way\n  {}: {}",
            stopped.rule, stopped.reason
        )),
        None => {
            let answer = replayed.answer.as_ref();
            let answer = answer.and_then(|answer| serde_json::to_string_pretty(answer).ok());
            let answer = answer.filter(|answer| answer != "null").unwrap_or_default();
            lines.push_str(&format!("now, {whose}: it answers\n{answer}"));
        }
    }
    lines.trim_end().to_owned()
}
