//! Plan files on the command line: saved, shown, compared, and trusted before they are carried out.

use std::path::Path;

use windlass_core::sealed::canonical;
use windlass_core::{Blake3, Error, Kind, Result};
use windlass_flow::{PlanFileReader, ReadPlan};

use super::seal;
use crate::config::Layered;

/// Reads a plan file to its end. Nothing of it is believed before.
pub(crate) fn read(file: &Path) -> Result<ReadPlan> {
    PlanFileReader::open(seal::open(file)?)
        .and_then(PlanFileReader::finish)
        .map_err(|error| error.with_context("file", file.display()))
}

/// Opens a plan file that was read before, to go through its steps.
pub(crate) fn steps_of(file: &Path) -> Result<PlanFileReader<impl std::io::BufRead + Send>> {
    PlanFileReader::open(seal::open(file)?)
}

/// Refuses a plan of another flow than was named. Errors: `InvalidInput`.
pub(crate) fn check_flow(plan: &ReadPlan, flow: &str) -> Result<()> {
    let planned = &plan.header.flow;
    match planned == flow {
        true => Ok(()),
        false => Err(Error::new(
            Kind::InvalidInput,
            format!("the plan is one of flow {planned:?}, not of {flow:?}"),
        )),
    }
}

/// Refuses a file that is not the one that was read before. Errors: `Integrity`.
pub(crate) fn check_same(before: &ReadPlan, now: &ReadPlan) -> Result<()> {
    match before.seal.digest == now.seal.digest {
        true => Ok(()),
        false => Err(Error::new(
            Kind::Integrity,
            "the plan file was exchanged while it was read",
        )),
    }
}

/// Refuses a plan that does not belong here, and one whose signatures do not suffice.
///
/// Errors: `Conflict` as [`check_origin`], `Denied` where the wrong people or too few have signed it.
pub(crate) fn check(plan: &ReadPlan, layered: &Layered, ledger: &str) -> Result<()> {
    check_origin(plan, layered, ledger)?;
    check_signatures(plan, layered)
}

/// Refuses a plan of another ledger, or of a flow that leads elsewhere now. Errors: `Conflict`.
pub(crate) fn check_origin(plan: &ReadPlan, layered: &Layered, ledger: &str) -> Result<()> {
    let header = &plan.header;
    let flow = layered.config.flow(&header.flow)?;
    if header.ledger != ledger {
        return Err(Error::new(
            Kind::Conflict,
            "the plan was made with another ledger, which knew of other files",
        )
        .with_context("its ledger", &header.ledger)
        .with_context("this ledger", ledger)
        .with_hint(
            "plan anew with this ledger, or run it with the configuration it was made with",
        ));
    }
    let origin = &header.origin;
    if origin.source != flow.from() || origin.sink != flow.to() {
        return Err(Error::new(
            Kind::Conflict,
            format!(
                "the plan leads from {:?} to {:?}; flow {:?} leads from {:?} to {:?} now",
                origin.source,
                origin.sink,
                header.flow,
                flow.from(),
                flow.to()
            ),
        )
        .with_hint("plan anew"));
    }
    if header.endpoints != endpoints(layered, &header.flow)? {
        return Err(Error::new(
            Kind::Conflict,
            format!(
                "{:?} or {:?} is configured otherwise than when the plan was made",
                flow.from(),
                flow.to()
            ),
        )
        .with_hint("it may lead to another place than was reviewed; plan anew"));
    }
    Ok(())
}

/// The digest of how a flow's endpoints are configured: where they are and who we are there, never a secret.
pub(crate) fn endpoints(layered: &Layered, flow: &str) -> Result<Blake3> {
    let config = &layered.config;
    let flow = config.flow(flow)?;
    let text = canonical(&(&config.endpoint[flow.from()], &config.endpoint[flow.to()]))?;
    Ok(Blake3::of(&text))
}

fn check_signatures(plan: &ReadPlan, layered: &Layered) -> Result<()> {
    let flow = layered.config.flow(&plan.header.flow)?;
    let signers = &layered.config.signers;
    let signed_by = &plan.seal.signed_by;
    let unknown = signed_by
        .iter()
        .find(|key| !signers.is_empty() && !signers.values().any(|known| known == *key));
    if let Some(key) = unknown {
        return Err(Error::new(
            Kind::Denied,
            "the plan is signed by a key that is not among [signers]",
        )
        .with_context("key", key)
        .with_hint("who signed it? add the key to [signers], or have it signed by those who may"));
    }
    if signed_by.len() < flow.signatures() {
        return Err(Error::new(
            Kind::Denied,
            format!(
                "the plan has {} of the {} signatures that flow {:?} asks for",
                signed_by.len(),
                flow.signatures(),
                plan.header.flow
            ),
        )
        .with_hint("`windlass sign FILE --key KEY` adds one"));
    }
    Ok(())
}
