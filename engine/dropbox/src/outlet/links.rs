//! Links: made on terms, changed to them, and ended.

use jiff::Timestamp;
use windlass_core::{Error, Kind, LinkTerms, Result, SharedLink};

use crate::endpoint::DropboxEndpoint;
use crate::errors::{
    Circumstances, CreateLinkError, Failure, LinkError, LinkSettingsError, ListLinksError,
    LookupError, There,
};
use crate::wire::{LinkMetadata, LinkSettings};

/// How often it is begun anew because somebody revoked the link in that moment.
const ROUNDS: u32 = 3;

/// How many pages of links one file may have. One account makes one or two links to a file.
const PAGES_MAX: usize = 100;

/// What a link shall be.
struct Wanted {
    /// In whole seconds, as Dropbox keeps them.
    expires: Option<Timestamp>,
    /// The end is a date, which also moves on; days are counted from when the link was made.
    is_exact: bool,
    team_only: bool,
    now: Timestamp,
}

/// What there is to do about the end of a link that is there.
#[derive(PartialEq)]
enum End {
    Keep,
    Set,
    Remove,
}

impl Wanted {
    fn new(terms: &LinkTerms, now: Timestamp) -> Result<Self> {
        let seconds = |at: Timestamp| Timestamp::from_second(at.as_second()).unwrap_or(at);
        let expires = terms.ends(now).map(seconds);
        if expires.is_some_and(|at| at <= now) {
            return Err(
                Error::new(Kind::InvalidInput, "the link would have ended already")
                    .with_context("end", terms.until.unwrap_or(now)),
            );
        }
        Ok(Wanted {
            expires,
            is_exact: terms.days.is_none(),
            team_only: terms.team_only,
            now,
        })
    }

    fn settings(&self, with_expiry: bool) -> LinkSettings {
        LinkSettings {
            expires: self.expires.filter(|_| with_expiry).map(text),
            audience: self.team_only.then_some("team"),
        }
    }

    fn end(&self, link: &LinkMetadata) -> End {
        match (link.expires, self.expires) {
            (Some(there), Some(wanted)) => {
                let is_over = there > wanted || there <= self.now;
                match is_over || (self.is_exact && there != wanted) {
                    true => End::Set,
                    false => End::Keep,
                }
            }
            (None, Some(_)) => End::Set,
            (Some(_), None) => End::Remove,
            (None, None) => End::Keep,
        }
    }

    fn is_open_to_all(&self, link: &LinkMetadata) -> bool {
        self.team_only && !link.is_for_team()
    }
}

/// A time as settings want it.
fn text(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The refusal that Dropbox announces.
fn not_ours() -> Error {
    let circumstances = Circumstances {
        route: "sharing/revoke_shared_link",
        ..Circumstances::default()
    };
    Failure::Route(LinkError::AccessDenied, circumstances).into()
}

/// The link of a file, and whether it was made now.
struct Found {
    link: LinkMetadata,
    is_new: bool,
}

impl DropboxEndpoint {
    pub(super) async fn link_to(&self, id: &str, terms: &LinkTerms) -> Result<SharedLink> {
        let wanted = Wanted::new(terms, self.clock.now())?;
        for _ in 0..ROUNDS {
            let Some(found) = self.make_link(id, &wanted).await? else {
                continue;
            };
            let link = match found.is_new {
                true => Some(found.link),
                false => self.change_link(found.link, &wanted).await?,
            };
            let Some(link) = link else {
                continue;
            };
            if wanted.is_open_to_all(&link) {
                return Err(self.too_open(link, found.is_new).await);
            }
            return Ok(SharedLink {
                url: link.url,
                expires: link.expires,
            });
        }
        Err(Error::new(
            Kind::Unavailable,
            "links to the file vanish as soon as they are made",
        ))
    }

    /// A new link, or the one that is there; `None` where that vanished meanwhile. Without an end where the plan has none.
    async fn make_link(&self, id: &str, wanted: &Wanted) -> Result<Option<Found>> {
        let mut with_expiry = true;
        loop {
            let settings = wanted.settings(with_expiry);
            let failure = match self.api.create_link(id, &settings).await {
                Ok(link) => return Ok(Some(Found { link, is_new: true })),
                Err(failure) => failure,
            };
            match failure {
                Failure::Route(CreateLinkError::AlreadyExists(There(link)), _) => {
                    let link = match link {
                        Some(link) => Some(link),
                        None => self.links(id).await?.into_iter().next(),
                    };
                    return Ok(link.map(|link| Found {
                        link,
                        is_new: false,
                    }));
                }
                Failure::Route(CreateLinkError::Settings(LinkSettingsError::NotAuthorized), _)
                    if settings.expires.is_some() =>
                {
                    tracing::info!(id, "the Dropbox plan has no links that end");
                    with_expiry = false;
                }
                other => return Err(other.into()),
            }
        }
    }

    /// Brings a link to the terms; `None` where it vanished meanwhile.
    async fn change_link(
        &self,
        link: LinkMetadata,
        wanted: &Wanted,
    ) -> Result<Option<LinkMetadata>> {
        let mut end = wanted.end(&link);
        let audience = wanted.is_open_to_all(&link).then_some("team");
        loop {
            if end == End::Keep && audience.is_none() {
                return Ok(Some(link));
            }
            let settings = LinkSettings {
                expires: wanted.expires.filter(|_| end == End::Set).map(text),
                audience,
            };
            let remove = end == End::Remove;
            match self.api.modify_link(&link.url, &settings, remove).await {
                Ok(changed) => return Ok(Some(changed)),
                Err(Failure::Route(LinkError::NotFound, _)) => return Ok(None),
                // A plan without links that end: the rest of the terms still holds.
                Err(Failure::Route(LinkError::Settings(LinkSettingsError::NotAuthorized), _))
                    if end != End::Keep =>
                {
                    end = End::Keep;
                }
                Err(other) => return Err(other.into()),
            }
        }
    }

    /// The team's rules made the link open to more people than the terms allow. One that we made goes again.
    async fn too_open(&self, link: LinkMetadata, is_new: bool) -> Error {
        let error = Error::new(
            Kind::Denied,
            "Dropbox opens the link to people outside of the team",
        )
        .with_hint("allow links for the team only in the team's settings");
        if !is_new {
            return error.with_context("link", link.url);
        }
        match self.end_link(&link.url).await {
            Ok(_) => error,
            Err(left) => error
                .with_context("left behind", link.url)
                .with_context("because", left),
        }
    }

    /// Ends every link to exactly this item, and says which. `all` makes it an error that one could not be.
    pub(super) async fn end_links(&self, id: &str, all: bool) -> Result<Vec<String>> {
        let links = match self.links(id).await {
            Ok(links) => links,
            Err(error) if all => {
                return Err(error.with_hint(
                    "links to a file must end before it is kept elsewhere: give the app sharing.read and sharing.write, or let files that are taken back be deleted",
                ));
            }
            // They end with the file.
            Err(error) => {
                tracing::warn!(id, error = %error.chain(), "its links are not known");
                return Ok(Vec::new());
            }
        };
        let mut ended = Vec::new();
        for link in links {
            let ending = match link.link_permissions.can_revoke {
                true => self.end_link(&link.url).await,
                false => Err(not_ours()),
            };
            match ending {
                Ok(true) => ended.push(link.url),
                Ok(false) => {}
                Err(error) if all => return Err(error.with_context("link", link.url)),
                Err(error) => {
                    tracing::warn!(id, error = %error.chain(), "a link ends only with its file");
                    ended.push(link.url);
                }
            }
        }
        Ok(ended)
    }

    /// Ends a link. False for one that is gone already.
    async fn end_link(&self, url: &str) -> Result<bool> {
        match self.api.revoke_link(url).await {
            Ok(_) => Ok(true),
            Err(Failure::Route(LinkError::NotFound, _)) => Ok(false),
            Err(other) => Err(other.into()),
        }
    }

    /// The links to exactly this item. None where it is gone.
    async fn links(&self, id: &str) -> Result<Vec<LinkMetadata>> {
        let mut links = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let page = match self.api.list_links(id, cursor.as_deref()).await {
                Ok(page) => page,
                Err(Failure::Route(ListLinksError::Path(LookupError::NotFound), _)) => {
                    return Ok(Vec::new());
                }
                Err(other) => return Err(other.into()),
            };
            links.extend(page.links);
            match page.cursor.filter(|_| page.has_more) {
                Some(next) => cursor = Some(next),
                None => return Ok(links),
            }
        }
        Err(Error::new(
            Kind::Unexpected,
            "Dropbox lists links to one file without end",
        ))
    }
}
