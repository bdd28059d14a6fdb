//! Mail, by the server that the operator names.

use std::time::Duration;

use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message as Mail};
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use towpath_artifact::SecretValue;
use towpath_model::notify::Channel;
use towpath_model::notify::message::Message;
use towpath_store::people::users;

use super::send::Untold;
use crate::error::chain;
use crate::{Engine, EngineError};

/// How long the mail server may take for one message.
const PATIENCE: Duration = Duration::from_secs(20);

/// The mail server.
#[derive(Debug, Clone)]
pub struct Smtp {
    /// Its name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is kept private.
    pub security: MailSecurity,
    /// Who signs in, with what; nobody where it takes mail from this host as it is.
    pub login: Option<(String, SecretValue)>,
    /// The sender, as `Towpath <towpath@example.com>`.
    pub from: String,
}

/// How the connection to the mail server is kept private.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailSecurity {
    /// Plain at first, then TLS, or not at all: the port 587.
    #[default]
    Starttls,
    /// TLS from the beginning: the port 465.
    Tls,
    /// Never: for a mail server on this host.
    None,
}

impl Engine {
    /// Sends one mail to an address, or to a person by their login.
    pub(super) async fn mail(
        &self,
        (channel, recipient): (&Channel, &str),
        message: &Message,
        words: &str,
        id: &str,
    ) -> Result<Result<(), Untold>, EngineError> {
        let Some(smtp) = &self.0.parts.smtp else {
            return Ok(Err(Untold::never(
                "this server sends no mail; its operator sets `smtp` in server.yaml",
            )));
        };
        let mut body = format!("{words}\n\n{}\n", message.url);
        let address = match recipient.strip_prefix('@') {
            None => recipient.to_owned(),
            Some(login) => {
                let found = users::by_login(&mut *self.db().reader().await?, login).await?;
                let Some(user) = found.filter(|user| !user.disabled && !user.email.is_empty()) else {
                    return Ok(Err(Untold::never(format!("this server knows no address of {login}"))));
                };
                if matches!(channel, Channel::Email { links: true, .. })
                    && let Some(link) = self.link_for(&user, message).await?
                {
                    body.push_str(&link);
                }
                user.email
            }
        };
        let mail = match write(smtp, &address, message, body, id) {
            Ok(mail) => mail,
            Err(problem) => return Ok(Err(Untold::never(problem))),
        };
        let transport = match transport(smtp) {
            Ok(transport) => transport,
            Err(problem) => return Ok(Err(Untold::never(problem))),
        };
        Ok(match transport.send(mail).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_permanent() => Err(Untold::never(chain(&error))),
            Err(error) => Err(Untold { words: chain(&error), again: Some(None) }),
        })
    }
}

fn transport(smtp: &Smtp) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    let builder = match smtp.security {
        MailSecurity::Starttls => AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(&smtp.host),
        MailSecurity::Tls => AsyncSmtpTransport::<Tokio1Executor>::relay(&smtp.host),
        MailSecurity::None => Ok(AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&smtp.host)),
    };
    let builder = builder.map_err(|error| chain(&error))?.port(smtp.port).timeout(Some(PATIENCE));
    let builder = match &smtp.login {
        Some((user, password)) => {
            let password = password.expose_text().unwrap_or_default().trim().to_owned();
            builder.credentials(Credentials::new(user.clone(), password))
        }
        None => builder,
    };
    Ok(builder.build())
}

fn write(smtp: &Smtp, to: &str, message: &Message, body: String, id: &str) -> Result<Mail, String> {
    let mailbox =
        |text: &str| text.parse::<Mailbox>().map_err(|error| format!("`{text}` is no address: {error}"));
    let mail = Mail::builder()
        .from(mailbox(&smtp.from)?)
        .to(mailbox(to)?)
        .subject(format!("[towpath] {}", message.title()))
        // The same news, sent again after a crash, is the same mail.
        .message_id(Some(format!("<{id}.{}@towpath>", message.at.as_microsecond())));
    mail.header(ContentType::TEXT_PLAIN).body(body).map_err(|error| chain(&error))
}
