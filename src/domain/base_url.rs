//! The address of a server, parsed once: `https`, or plain `http` where it is allowed (§11).

use std::fmt;

use url::{Host, Url};

/// Where plain `http` may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlainHttp {
    /// To this machine only.
    LoopbackOnly,
    /// Anywhere: `http.allow_insecure`.
    Anywhere,
}

impl PlainHttp {
    /// What `http.allow_insecure` says.
    pub fn allowed_if(allow_insecure: bool) -> Self {
        if allow_insecure {
            Self::Anywhere
        } else {
            Self::LoopbackOnly
        }
    }
}

/// Why an address is none that a credential may be sent to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBaseUrl {
    /// Not an address.
    #[error("is not the address of a server ({0})")]
    NotAnAddress(url::ParseError),
    /// Another scheme.
    #[error("must begin with https://")]
    Scheme,
    /// An address without a host.
    #[error("has no host name")]
    NoHost,
    /// Credentials in the address.
    #[error("must not hold a user name or password; credentials have their own keys")]
    UserInfo,
    /// More than an address.
    #[error("must not have a ? or # part")]
    QueryOrFragment,
    /// Plain HTTP to another machine.
    #[error(
        "must be https: over plain http to {0} everybody on the way can read the credentials \
         (http.allow_insecure = true permits it)"
    )]
    PlainHttp(String),
}

/// The address of a server that a credential may be sent to. A path, such as a proxy's, is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(Url);

impl BaseUrl {
    /// Parses `text`.
    ///
    /// # Errors
    /// What keeps it from being one.
    pub fn parse(text: &str, plain_http: PlainHttp) -> Result<Self, InvalidBaseUrl> {
        let url = Url::parse(text.trim()).map_err(InvalidBaseUrl::NotAnAddress)?;
        check_server(&url, plain_http)?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidBaseUrl::QueryOrFragment);
        }
        Ok(Self(url))
    }

    /// The URL.
    pub fn as_url(&self) -> &Url {
        &self.0
    }

    /// Whether it is on this machine.
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.0)
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

/// Whether something secret may be sent to `url`, whatever its path and query.
///
/// # Errors
/// What speaks against it.
pub fn check_server(url: &Url, plain_http: PlainHttp) -> Result<(), InvalidBaseUrl> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(InvalidBaseUrl::Scheme);
    }
    let Some(host) = url.host_str() else {
        return Err(InvalidBaseUrl::NoHost);
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err(InvalidBaseUrl::UserInfo);
    }
    if url.scheme() == "http" && plain_http == PlainHttp::LoopbackOnly && !is_loopback(url) {
        return Err(InvalidBaseUrl::PlainHttp(host.to_owned()));
    }
    Ok(())
}

/// Whether `url` is on this machine, and certainly so: a name below `localhost` may be resolved to
/// another machine.
pub fn is_loopback(url: &Url) -> bool {
    url.host().is_some_and(|host| is_loopback_host(&host))
}

/// Whether `host` is this machine, and certainly so.
pub fn is_loopback_host<S: AsRef<str>>(host: &Host<S>) -> bool {
    match host {
        Host::Domain(name) => name.as_ref().eq_ignore_ascii_case("localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_on_this_machine_unless_allowed() {
        for text in [
            "http://localhost:1",
            "http://127.9.9.9",
            "http://[::1]:8080",
            "https://opa.example",
        ] {
            assert!(
                BaseUrl::parse(text, PlainHttp::LoopbackOnly).is_ok(),
                "{text}"
            );
        }
        for text in [
            "http://opa.example",
            "http://10.0.0.1",
            "http://x.localhost",
            "http://localhost.evil.example",
        ] {
            let error = BaseUrl::parse(text, PlainHttp::LoopbackOnly).unwrap_err();
            assert!(error.to_string().contains("http.allow_insecure"), "{error}");
            assert!(BaseUrl::parse(text, PlainHttp::Anywhere).is_ok(), "{text}");
        }
    }

    #[test]
    fn an_address_with_credentials_or_a_query_is_refused() {
        for text in [
            "https://u:p@opa.example",
            "https://opa.example/?a=b",
            "https://opa.example/#a",
            "ftp://opa.example",
            "opa.example",
            "",
        ] {
            assert!(BaseUrl::parse(text, PlainHttp::Anywhere).is_err(), "{text}");
        }
    }
}
