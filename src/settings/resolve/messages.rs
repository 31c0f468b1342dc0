//! `[notify]` and `[smtp]`: who is told, and through which server.

use std::collections::HashSet;

use secrecy::ExposeSecret as _;
use url::Url;

use super::Resolver;
use super::directories::plain_http;
use crate::domain::base_url::{InvalidBaseUrl, PlainHttp, check_server, is_loopback_host};
use crate::settings::secrets::{self, Found};
use crate::settings::sections::Sections;
use crate::settings::{NotifyFormat, NotifySettings, SmtpSecurity, SmtpSettings};

pub(super) fn notify(r: &mut Resolver<'_>, sections: &Sections) -> Option<NotifySettings> {
    let notify = &sections.notify;
    let file = notify.webhook_url_file.as_deref();
    let webhook_url = match secrets::read(r, "notify.webhook_url", &notify.webhook_url, file) {
        Found::Secret(address, key) => {
            let checked = Url::parse(address.expose_secret())
                .map_err(InvalidBaseUrl::NotAnAddress)
                .and_then(|url| check_server(&url, plain_http(sections)));
            if let Err(problem) = checked {
                r.refuse(&key, problem.to_string());
                return None;
            }
            Some(address)
        }
        Found::NotSet => None,
        Found::Refused => return None,
    };
    let file = notify.routing_key_file.as_deref();
    let routing_key = match secrets::read(r, "notify.routing_key", &notify.routing_key, file) {
        Found::Secret(routing_key, _) => Some(routing_key),
        Found::NotSet if notify.format == NotifyFormat::Pagerduty && webhook_url.is_some() => {
            r.refuse(
                "notify.routing_key",
                "notify.format = \"pagerduty\" needs the integration key of a PagerDuty service: \
                 set notify.routing_key_file",
            );
            return None;
        }
        Found::NotSet => None,
        Found::Refused => return None,
    };
    Some(NotifySettings {
        webhook_url,
        format: notify.format,
        routing_key,
        include_people: notify.include_people,
        repeat_after: notify.repeat_after,
        timeout: notify.timeout,
    })
}

/// The mail server; `None` where none is named.
pub(super) fn smtp(r: &mut Resolver<'_>, sections: &Sections) -> Option<SmtpSettings> {
    let smtp = &sections.smtp;
    let login = smtp_login(r, sections);
    let Some(host) = smtp.host.clone() else {
        if !smtp.to.is_empty() {
            r.require(
                &["smtp.host"],
                "is required with smtp.to: it is the mail server's name",
            );
        }
        return None;
    };
    if smtp.security == SmtpSecurity::None
        && plain_http(sections) == PlainHttp::LoopbackOnly
        && !is_loopback_host(&host)
    {
        r.refuse(
            "smtp.security",
            "sends messages and the password unencrypted to another machine; set \"starttls\" or \
             \"tls\", or http.allow_insecure = true if it is meant",
        );
    }
    if smtp.from.is_none() {
        r.require(
            &["smtp.from"],
            "is required with smtp.host, e.g. \"rolecall <rolecall@example.com>\"",
        );
    }
    if smtp.to.is_empty() {
        r.require(
            &["smtp.to"],
            "is required with smtp.host, e.g. [\"identity@example.com\"]",
        );
    }
    let port = match u16::try_from(smtp.port.0) {
        Ok(0) | Err(_) => smtp.security.usual_port(),
        Ok(port) => port,
    };
    let mut known = HashSet::new();
    let to = smtp.to.iter().map(|recipient| &recipient.0);
    let to = to.filter(|mailbox| known.insert(mailbox.email.to_string().to_lowercase()));
    Some(SmtpSettings {
        host,
        port,
        security: smtp.security,
        login,
        from: smtp.from.clone()?,
        to: to.cloned().collect(),
    })
}

fn smtp_login(
    r: &mut Resolver<'_>,
    sections: &Sections,
) -> Option<(String, secrecy::SecretString)> {
    let smtp = &sections.smtp;
    let file = smtp.password_file.as_deref();
    let password = secrets::read(r, "smtp.password", &smtp.password, file);
    match (smtp.username.is_empty(), password) {
        (false, Found::Secret(password, _)) => Some((smtp.username.clone(), password)),
        (false, Found::NotSet) => {
            r.require(
                &["smtp.password", "smtp.password_file"],
                "is required with smtp.username; set it or smtp.password_file",
            );
            None
        }
        (true, Found::Secret(..)) => {
            r.require(&["smtp.username"], "is required with smtp.password");
            None
        }
        (true, Found::NotSet) | (_, Found::Refused) => None,
    }
}
