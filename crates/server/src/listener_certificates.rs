//! Certificates of the instance's own authority for listeners of gateways: made, renewed, left where the gateway reads them.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use towpath_artifact::AuthorityError;
use towpath_artifact::authority::{SERVER_LIFE, end_of};
use towpath_engine::EngineError;
use towpath_engine::gateways::own_certificate;
use x509_parser::extensions::GeneralName;

use crate::app::App;
use crate::local::private_dir;

/// How often the certificates are looked at where nothing changes.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Why a certificate was not made.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Keeps them until the server stops.
pub(crate) async fn keep(app: App) {
    let mut changes = app.engine.signals().routes();
    loop {
        changes.mark_unchanged();
        if let Err(error) = look(&app).await {
            tracing::error!(%error, "certificates of listeners were not looked at");
        }
        tokio::select! {
            () = app.stopping.cancelled() => return,
            _ = changes.changed() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

async fn look(app: &App) -> Result<(), EngineError> {
    for (key, names) in app.engine.listener_names().await? {
        let path = app.data_dir.join("gateway").join(own_certificate(&key));
        let now = (app.clock)();
        if is_good(&path, &names, now) {
            continue;
        }
        let made = app.authority.listener_certificate(&names, now).map_err(Problem::from);
        match made.and_then(|made| Ok(write(&path, &format!("{}{}", made.chain, made.key.as_str()))?)) {
            Ok(()) => {
                tracing::info!(environment = %key, names = names.join(", "), "a listener has a new certificate")
            }
            Err(error) => tracing::error!(environment = %key, %error, "a listener gets no certificate"),
        }
    }
    Ok(())
}

/// Whether the file has a certificate for these names that is not due yet.
fn is_good(path: &Path, names: &[String], now: Timestamp) -> bool {
    let Ok(der) = CertificateDer::from_pem_file(path) else { return false };
    let ends = end_of(&der);
    let renewed_from = ends.map(|ends| ends.saturating_sub(SERVER_LIFE / 3).unwrap_or(Timestamp::MIN));
    renewed_from.is_ok_and(|from| now < from)
        && names_of(&der) == Some(names.iter().map(|it| normal(it)).collect())
}

fn names_of(der: &CertificateDer<'_>) -> Option<BTreeSet<String>> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let names = certificate.subject_alternative_name().ok()??;
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some(normal(name)),
        GeneralName::IPAddress([a, b, c, d]) => Some(IpAddr::from([*a, *b, *c, *d]).to_string()),
        GeneralName::IPAddress(bytes) => Some(IpAddr::from(<[u8; 16]>::try_from(*bytes).ok()?).to_string()),
        _ => None,
    };
    Some(names.value.general_names.iter().filter_map(name).collect())
}

/// As an address or a name is written in a certificate.
fn normal(name: &str) -> String {
    name.parse::<IpAddr>().map_or_else(|_| name.to_ascii_lowercase(), |address| address.to_string())
}

/// Certificate and key in one file, so that neither is ever seen without the other.
fn write(path: &Path, pem: &str) -> io::Result<()> {
    let directory = path.parent().unwrap_or(path);
    private_dir(directory)?;
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
    file.write_all(pem.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    fs::File::open(directory)?.sync_all()
}
