//! The mail server that messages go through: connection, encryption and login. Nothing is sent.

use super::model::CheckReport;
use crate::clients::{MailServer, Transport};
use crate::domain::text::{counted, error_chain, length};
use crate::settings::{Settings, SmtpSecurity};

pub(super) async fn examine(transport: &Transport, settings: &Settings) -> CheckReport {
    let mut report = CheckReport::default();
    let name = "smtp.server";
    let Some(smtp) = &settings.smtp else {
        return report;
    };
    let server = match MailServer::new(transport, smtp, settings.notify.timeout) {
        Ok(server) => server,
        Err(error) => {
            report.failure(name, error_chain(&error), "correct [smtp] or [http]");
            return report;
        }
    };
    match server.try_login().await {
        Ok(()) => {
            let login = smtp
                .login
                .as_ref()
                .map_or("without a login", |_| "with a login");
            let tls = match smtp.security {
                SmtpSecurity::None => "unencrypted",
                SmtpSecurity::Starttls | SmtpSecurity::Tls => "over TLS",
            };
            let addresses = counted(length(&smtp.to), "address", "addresses");
            report.ok(
                name,
                format!(
                    "{} answers {tls}, {login}, for messages to {addresses}; none was sent",
                    server.name()
                ),
            );
        }
        Err(error) => report.failure(name, error_chain(&error), error.remedy()),
    }
    report
}
