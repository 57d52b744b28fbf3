//! Web hooks, without a word about whose they are.

use std::fmt;

use bytes::Bytes;

/// A request to a bell.
#[derive(Clone)]
pub struct Knock {
    /// Whether it is a POST and not a GET.
    pub is_post: bool,
    /// What stands for `{token}` in the bell's path; empty where its path has none.
    pub token: String,
    /// What follows the question mark, as it came.
    pub query: String,
    /// The headers that are texts, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, of bounded size.
    pub body: Bytes,
}

impl fmt::Debug for Knock {
    /// Tokens and signatures are nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Knock(post: {}, {} bytes)",
            self.is_post,
            self.body.len()
        )
    }
}

impl Knock {
    /// The first header of a name, which is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// What a bell answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// A plain text.
    pub text: String,
    /// The endpoints at which something may have changed, by their names in the configuration.
    pub rings: Vec<String>,
}

impl Answer {
    /// A text, which rings for nobody.
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        Answer {
            status,
            text: text.into(),
            rings: Vec::new(),
        }
    }

    /// It was understood, and rings for these endpoints.
    pub fn rings(endpoints: Vec<String>) -> Self {
        Answer {
            rings: endpoints,
            ..Answer::text(200, "")
        }
    }
}

/// A web hook.
pub trait Bell: Send + Sync + fmt::Debug {
    /// Where it is, such as `/hooks/somebody` or `/hooks/somebody/{token}`.
    fn path(&self) -> &str;

    /// What is answered, and for whom it rings. Quick, and never told twice why somebody is refused.
    fn answer(&self, knock: &Knock) -> Answer;
}

/// Compares secrets in a time that does not depend on where they differ, so that nobody guesses one piece by piece.
pub fn same(ours: &str, theirs: &str) -> bool {
    let (ours, theirs) = (ours.as_bytes(), theirs.as_bytes());
    let mut difference = u8::from(ours.len() != theirs.len());
    for (at, our) in ours.iter().enumerate() {
        let their = theirs.get(at).copied().unwrap_or(0);
        difference = std::hint::black_box(difference | (our ^ their));
    }
    difference == 0
}
