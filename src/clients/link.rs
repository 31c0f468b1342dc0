//! Paging by `Link` headers (RFC 8288), with the origin pinned (G0, §11).
//!
//! A header that cannot be read is an error and never the end of a listing: an end that is not
//! certain would make leavers of everybody on the pages that were not read.

use percent_encoding::percent_decode_str;
use reqwest::header::{HeaderMap, LINK};
use url::Url;

/// Why the next page cannot be told.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum LinkError {
    /// Not the grammar of RFC 8288.
    #[error("its Link header cannot be read ({0})")]
    Grammar(&'static str),
    /// A target that is no URL.
    #[error("its next link is not a URL")]
    Target,
    /// Somebody else's server.
    #[error("its next link leads to another origin ({0})")]
    ForeignOrigin(String),
    /// Another listing.
    #[error("its next link leads to another path ({0})")]
    ForeignPath(String),
    /// A link that carries credentials.
    #[error("its next link carries a user name or password")]
    UserInfo,
    /// More than one next page.
    #[error("it has two different next links")]
    Ambiguous,
}

/// The URL of the page after `page`, or `None` when this was the last one.
pub(super) fn next_page(headers: &HeaderMap, page: &Url) -> Result<Option<Url>, LinkError> {
    let mut next: Option<Url> = None;
    for value in headers.get_all(LINK) {
        let text = String::from_utf8_lossy(value.as_bytes());
        for link in parse(&text)? {
            if !link.is_next_of(page)? {
                continue;
            }
            let mut url = page.join(&link.target).map_err(|_| LinkError::Target)?;
            url.set_fragment(None);
            pin(&url, page)?;
            match &next {
                Some(known) if *known != url => return Err(LinkError::Ambiguous),
                _ => next = Some(url),
            }
        }
    }
    Ok(next)
}

fn pin(url: &Url, page: &Url) -> Result<(), LinkError> {
    let origin = |url: &Url| {
        (
            url.scheme().to_owned(),
            url.host_str().map(str::to_owned),
            url.port_or_known_default(),
        )
    };
    if origin(url) != origin(page) {
        return Err(LinkError::ForeignOrigin(url.origin().ascii_serialization()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(LinkError::UserInfo);
    }
    if !is_same_path(url, page) {
        return Err(LinkError::ForeignPath(url.path().to_owned()));
    }
    Ok(())
}

/// Whether both are pages of one listing. A server may encode the path in another way, and write
/// the Team, whose letter case does not count, as it knows it.
fn is_same_path(url: &Url, page: &Url) -> bool {
    let segments = |url: &Url| -> Vec<Vec<u8>> {
        url.path()
            .trim_end_matches('/')
            .split('/')
            .map(|segment| percent_decode_str(segment).collect())
            .collect()
    };
    let (url, page) = (segments(url), segments(page));
    let team = page
        .windows(2)
        .position(|pair| pair == [b"v1".as_slice(), b"teams"]);
    let team = team.map(|at| at.saturating_add(2));
    url.len() == page.len()
        && url.iter().zip(&page).enumerate().all(|(at, (one, other))| {
            one == other || (Some(at) == team && one.eq_ignore_ascii_case(other))
        })
}

/// One link-value.
#[derive(Debug, Default, PartialEq, Eq)]
struct Link {
    target: String,
    /// Every `rel`; more than one is against the grammar.
    rels: Vec<String>,
    anchor: Option<String>,
}

impl Link {
    /// Whether this link says what comes after `page`. One with another anchor speaks of another
    /// resource.
    fn is_next_of(&self, page: &Url) -> Result<bool, LinkError> {
        let mut says_next = self.rels.iter().map(|rel| {
            rel.split_ascii_whitespace()
                .any(|kind| kind.eq_ignore_ascii_case("next"))
        });
        let Some(is_next) = says_next.next() else {
            return Ok(false);
        };
        if says_next.any(|other| other != is_next) {
            return Err(LinkError::Grammar("two rel parameters that disagree"));
        }
        let about_page = match &self.anchor {
            None => true,
            Some(anchor) => page.join(anchor).is_ok_and(|context| context == *page),
        };
        Ok(is_next && about_page)
    }
}

fn parse(text: &str) -> Result<Vec<Link>, LinkError> {
    let mut rest = text;
    let mut links = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Ok(links);
        }
        let inside = rest
            .strip_prefix('<')
            .ok_or(LinkError::Grammar("a target without “<”"))?;
        let (target, after) = inside
            .split_once('>')
            .ok_or(LinkError::Grammar("a target without “>”"))?;
        let mut link = Link {
            target: target.trim().to_owned(),
            ..Link::default()
        };
        rest = parameters(after, &mut link)?;
        links.push(link);
    }
}

/// Reads the parameters of one link; returns what follows it, from its comma on.
fn parameters<'t>(text: &'t str, link: &mut Link) -> Result<&'t str, LinkError> {
    let mut rest = skip_space(text);
    loop {
        if rest.is_empty() || rest.starts_with(',') {
            return Ok(rest);
        }
        rest = rest
            .strip_prefix(';')
            .map(skip_space)
            .ok_or(LinkError::Grammar("something else than “;” or “,”"))?;
        if rest.is_empty() || rest.starts_with([';', ',']) {
            continue;
        }
        let end = rest
            .find(|c: char| "=;, \t\"<>".contains(c))
            .unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        if name.is_empty() {
            return Err(LinkError::Grammar("a parameter without a name"));
        }
        let (value, after) = match skip_space(after).strip_prefix('=') {
            Some(after) => parameter_value(skip_space(after))?,
            None => (String::new(), after),
        };
        rest = skip_space(after);
        if name.eq_ignore_ascii_case("rel") {
            link.rels.push(value);
        } else if name.eq_ignore_ascii_case("anchor") && link.anchor.is_none() {
            link.anchor = Some(value);
        }
    }
}

fn parameter_value(text: &str) -> Result<(String, &str), LinkError> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',', ' ', '\t']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return if value.contains(['"', '<', '>']) {
            Err(LinkError::Grammar("a quote inside an unquoted value"))
        } else {
            Ok((value.to_owned(), rest))
        };
    };
    let mut value = String::new();
    let mut characters = quoted.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => return Ok((value, characters.as_str())),
            '\\' => value.extend(characters.next()),
            _ => value.push(c),
        }
    }
    Err(LinkError::Grammar("a quoted value without its end"))
}

fn skip_space(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
